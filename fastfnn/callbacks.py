"""Callbacks: early stopping, and loggers of each epoch's record.

A callback is any callable that takes an `Epoch`. Raising `StopTraining` ends training, after the other callbacks have
seen the epoch. A class may have methods `start` and `finish`, which take the `Training`: they are called before the
first step, and after the last one whatever ended training. State of a callback begins anew with each training run.
"""

from __future__ import annotations

import csv
import math
import os
import time
import weakref
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fastfnn._checks import check_count
from fastfnn._monitor import Best
from fastfnn._warnings import warn
from fastfnn.history import Record
from fastfnn.training.events import Epoch, StopTraining, Training


class EarlyStopping:
    """Stop training when a metric no longer improves, and restore the best parameters.

    They are restored whatever ended training: its last epoch, another callback, Ctrl-C or an exception. In a resumed
    run the earlier epochs count too, but their parameters are gone: if the best epoch is one of them, nothing is
    restored, and a warning says so.

    Parameters
    ----------
    patience : int
        Number of epochs without improvement after which training stops.
    monitor : str
        Name of the metric in the epoch's record.
    mode : {"auto", "min", "max"}
        Whether smaller or larger values are better. "auto" knows that losses fall; accuracies and scores rise.
    min_delta : float
        Smallest change that counts as an improvement.
    restore_best : bool
        Whether to restore the parameters of the best epoch.

    Attributes
    ----------
    best_epoch : int or None
        Number of the best epoch so far.
    best : float
        Value of the metric in that epoch.

    Raises
    ------
    ValueError
        If an argument is out of range, or "auto" does not know the metric.
    """

    reads_record = True

    def __init__(
        self,
        patience: int = 10,
        monitor: str = "validation_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self._patience, self._monitor = check_count("patience", patience), monitor
        self._mode, self._min_delta, self._restore_best = mode, min_delta, restore_best
        self._begin()

    def _begin(self) -> None:
        self._best = Best(self._monitor, self._mode, self._min_delta)
        self._best_parameters: dict[str, NDArray[Any]] = {}
        self.best_epoch: int | None = None

    @property
    def best(self) -> float:
        """Value of the metric in the best epoch so far; infinite before the first one."""
        return self._best.value

    def start(self, training: Training) -> None:
        """Forget earlier training runs; count the epochs of a resumed one."""
        self._begin()
        for record in training.history.records:
            self._improves(record)

    def __call__(self, epoch: Epoch) -> None:
        """Check one epoch, and stop training when `patience` is exhausted."""
        if self._monitor not in epoch.record:
            raise ValueError(
                f"EarlyStopping watches {self._monitor!r}, which is not recorded; there are {', '.join(epoch.record)}"
            )
        if self._improves(epoch.record):
            kept = epoch.network.parameters.items() if self._restore_best else ()
            self._best_parameters = {name: array.copy() for name, array in kept}
        if epoch.number - (self.best_epoch or 0) >= self._patience:
            raise StopTraining

    def finish(self, training: Training) -> None:
        """Restore the best parameters."""
        if self._best_parameters:
            training.restore(self._best_parameters)
        elif self._restore_best and self.best_epoch is not None:
            warn(
                f"the best epoch, {self.best_epoch}, came before training was resumed: its parameters are gone, and "
                f"those after the last epoch stay"
            )

    def _improves(self, record: Record) -> bool:
        """Tell whether an epoch is the best so far, and remember it if so."""
        if not self._best.improves(record.get(self._monitor, math.nan)):
            return False
        self.best_epoch = int(record["epoch"])
        return True


class CsvLogger:
    """Write each epoch's record as a line of a CSV file, during training.

    Parameters
    ----------
    path : path-like
        The file. Each training run overwrites it; a resumed run writes its earlier epochs again. The columns are
        the names in the first epoch's record.

    Raises
    ------
    OSError
        If the file cannot be written.
    """

    reads_record = True
    writes_files = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._columns: list[str] = []
        self._path.write_text("", encoding="utf-8")

    def start(self, training: Training) -> None:
        """Begin a new file, with the earlier epochs of a resumed training run."""
        self._columns = []
        self._path.write_text("", encoding="utf-8")
        if training.history.records:
            self._write(training.history.records)

    def __call__(self, epoch: Epoch) -> None:
        """Write one line; a value missing from the record stays empty."""
        self._write([epoch.record])

    def _write(self, records: list[Record]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            if not self._columns:
                self._columns = list(records[0])
                lines.writerow(self._columns)
            lines.writerows([record.get(name, "") for name in self._columns] for record in records)


class TensorBoardLogger:
    """Write each epoch's record for TensorBoard, which shows it during training.

    Parameters
    ----------
    folder : path-like
        Created if missing. Each training run adds its own file. From that run's first epoch on, TensorBoard hides
        the values of earlier files: a resumed run continues its curves, and a restarted one begins new curves.

    Raises
    ------
    ImportError
        If tensorboardX is not installed.
    OSError
        If the folder or the file cannot be created.
    """

    reads_record = True
    writes_files = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._next_epoch: int | None = None
        self._file: Any = self._opened()

    def _opened(self) -> Any:
        """Open a new file in the folder."""
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ModuleNotFoundError as error:
            raise ImportError(
                "TensorBoard's files are written by tensorboardX, which is not installed: "
                'pip install "fastfnn[tensorboard]"'
            ) from error
        self._folder.mkdir(parents=True, exist_ok=True)
        # EventsWriter, because SummaryWriter writes in a thread, and its `flush` does not wait for that thread.
        # A file's name holds the second of its creation; the suffix distinguishes files of the same second.
        file = EventsWriter(str(self._folder / "events"), f".{time.time_ns()}")
        weakref.finalize(self, file.close)
        return file

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file: a copy opens its own at its first epoch."""
        return self.__dict__ | {"_file": None, "_next_epoch": None}

    def start(self, training: Training) -> None:
        """Begin new curves."""
        self._next_epoch = None

    def __call__(self, epoch: Epoch) -> None:
        """Write one epoch's record and flush it to the disk."""
        if self._file is None:
            self._file = self._opened()
        if epoch.number != self._next_epoch:
            self._write(epoch.number, session_log={"status": "START"})
        self._next_epoch = epoch.number + 1
        figures = [{"tag": name, "simple_value": value} for name, value in epoch.record.items() if name != "epoch"]
        self._write(epoch.number, summary={"value": figures})
        self._file.flush()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write_event(Event(wall_time=time.time(), step=step, **content))
