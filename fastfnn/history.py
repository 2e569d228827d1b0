"""What a training recorded, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator

Record = dict[str, float]


class History:
    """One record an epoch: its number, loss, accuracy, seconds, and validation figures where there are any.

    Attributes
    ----------
    records : list of dict
        `epoch` counts from 1; `loss` is the mean over the epoch's batches, each before its update, penalty
        included; `accuracy` is the share of samples classified right on the way; `seconds` is the time since
        the training began; `validation_loss` and `validation_accuracy` are taken after the epoch.
    interrupted : bool
        Whether Ctrl-C ended the training.

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
        """Return one column, without the epochs that have none."""
        column = [record[name] for record in self.records if name in record]
        if self.records and not column:
            known = sorted({key for record in self.records for key in record})
            raise KeyError(f"{name!r} is not recorded; there are {', '.join(known)}")
        return column

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        if not self.records:
            return "History(no epochs)"
        last = ", ".join(f"{name}={value:.6g}" for name, value in self.records[-1].items())
        return f"History({len(self)} epochs; last: {last})"
