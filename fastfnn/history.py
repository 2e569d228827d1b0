"""History: the record of a training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

Record = dict[str, float]


@dataclass(slots=True)
class Sums:
    """Sums over samples: of their weighted losses, of their weights, and the numbers of correct ones and of all."""

    loss: float = 0.0
    weight: float = 0.0
    n_correct: int = 0
    n_rows: int = 0

    def add(self, loss: float, weight: float, n_correct: int, n_rows: int) -> None:
        """Add the sums over other samples."""
        self.loss += loss
        self.weight += weight
        self.n_correct += n_correct
        self.n_rows += n_rows

    def plus(self, other: Sums) -> Sums:
        """Return the sums over both sets of samples."""
        return Sums(
            self.loss + other.loss,
            self.weight + other.weight,
            self.n_correct + other.n_correct,
            self.n_rows + other.n_rows,
        )

    @property
    def mean_loss(self) -> float:
        """Weighted mean of the losses; 0 if all weights are 0."""
        return self.loss / self.weight if self.weight else 0.0

    @property
    def accuracy(self) -> float:
        """Share of the samples that are correct."""
        return self.n_correct / self.n_rows


@dataclass(frozen=True)
class Unfinished:
    """An epoch of mini-batches that ended before its last step; `fit` continues after the steps that were taken.

    Attributes
    ----------
    epoch : int
        Number of the epoch.
    batch_size : int
        Number of samples per update.
    order : str
        SHA-256 of the order of the samples.
    random : dict
        State of the random generator before it drew the order.
    total, call : Sums
        Sums over the samples whose steps were taken: without and in a call of many steps that was not finished. The
        training run that was never stopped adds the second to the first when the call ends.
    seconds : float
        Time since training began.
    """

    epoch: int
    batch_size: int
    order: str
    random: Mapping[str, Any]
    total: Sums
    call: Sums
    seconds: float

    @property
    def n_samples(self) -> int:
        """Number of samples whose steps were taken."""
        return self.total.n_rows + self.call.n_rows

    @property
    def mean_loss(self) -> float:
        """Mean loss of those samples, each before its step."""
        return self.total.plus(self.call).mean_loss


class History:
    """One record per epoch: number, loss, accuracy, seconds, and validation loss and accuracy if there are any.

    Attributes
    ----------
    records : list of dict
        `epoch` counts from 1. `loss` is the mean over the epoch's batches, each before its update, including the
        penalty. `accuracy` is the share of samples classified correctly before their update. `seconds` is the time
        since training began. `validation_loss` and `validation_accuracy` are measured after the epoch.
    interrupted : bool
        Whether Ctrl-C or SIGTERM ended training.
    unfinished : Unfinished or None
        The epoch in which training ended between two steps; it has no record.

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
        self.unfinished: Unfinished | None = None

    @property
    def seconds(self) -> float:
        """Time since training began."""
        if self.unfinished is not None:
            return self.unfinished.seconds
        return self.records[-1].get("seconds", 0.0) if self.records else 0.0

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
        parts = [f"{len(self)} epochs" if self.records else "no epochs"]
        if self.records:
            parts.append("last: " + ", ".join(f"{name}={value:.6g}" for name, value in self.records[-1].items()))
        if self.unfinished is not None:
            parts.append(f"epoch {self.unfinished.epoch} ended after {self.unfinished.n_samples:,} samples")
        return f"History({'; '.join(parts)})"
