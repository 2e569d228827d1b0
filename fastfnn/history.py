"""History: the record of a training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

Record = dict[str, float]


class History:
    """One record per epoch: number, loss, accuracy, seconds, and validation loss and accuracy if there are any.

    Attributes
    ----------
    records : list of dict
        `epoch` counts from 1. `loss` is the mean over the epoch's batches, each before its update, including the
        penalty. `accuracy` is the share of samples classified correctly before their update. `seconds` is the time
        since training began. `validation_loss` and `validation_accuracy` are measured after the epoch.
    interrupted : bool
        Whether Ctrl-C ended training.

    Examples
    --------
    >>> history = History()
    >>> history.records.append({"epoch": 1, "loss": 2.0})
    >>> history["loss"]
    [2.0]
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.interrupted = False

    def __getitem__(self, name: str) -> list[float]:
        """Return one column, without the epochs that lack it."""
        column = [record[name] for record in self.records if name in record]
        if self.records and not column:
            known = sorted({key for record in self.records for key in record})
            raise KeyError(f"{name!r} is not recorded; there are {', '.join(known)}")
        return column

    def to_pandas(self) -> pandas.DataFrame:
        """Return a table with one row per epoch.

        The index is the epoch's number: `.plot()` draws against it, `.loc[3]` is the third epoch, and tables of
        several training runs join epoch by epoch. `.reset_index()` makes it a column.

        Returns
        -------
        pandas.DataFrame
            One column for each other recorded value, in the order of first recording; NaN where an epoch lacks it.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ImportError(
                'the table is made by pandas, which is not installed: pip install "fastfnn[pandas]"'
            ) from error
        names = dict.fromkeys(name for record in self.records for name in record if name != "epoch")
        epochs = pandas.Index([record["epoch"] for record in self.records], dtype="int64", name="epoch")
        return pandas.DataFrame(self.records, index=epochs, columns=list(names))

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        if not self.records:
            return "History(no epochs)"
        last = ", ".join(f"{name}={value:.6g}" for name, value in self.records[-1].items())
        return f"History({len(self)} epochs; last: {last})"
