"""Callbacks: early stopping, and logs of the figures of each epoch.

A callback is any callable that takes an `Epoch`. Raising `StopTraining` ends the training.
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

from fastfnn._checks import check_count, check_non_negative
from fastfnn.history import Record
from fastfnn.training.events import Epoch, StopTraining


class EarlyStopping:
    """End the training when a figure has not become better for a while, with the best parameters restored.

    They are restored as well when the training comes to the end it was asked for. In a training that is resumed the
    earlier epochs count as well, but their parameters are gone: if the best is one of them, nothing is restored.

    Parameters
    ----------
    patience : int
        Epochs without a better figure after which the training ends.
    monitor : str
        Name of the figure in the epoch's record.
    mode : {"min", "max"}
        Whether smaller or larger is better.
    min_delta : float
        By how much, at least.
    restore_best : bool
        Whether the network gets back the parameters of its best epoch.

    Attributes
    ----------
    best_epoch : int or None
        Number of the best epoch so far.
    best : float
        Its figure.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        patience: int = 10,
        monitor: str = "validation_loss",
        mode: str = "min",
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        patience = check_count("patience", patience)
        if mode not in ("min", "max"):
            raise ValueError(f'mode must be "min" or "max"; got {mode!r}')
        self._patience, self._monitor = patience, monitor
        self._min_delta = check_non_negative("min_delta", min_delta)
        self._sign = 1 if mode == "min" else -1
        self._restore_best = restore_best
        self._best_parameters: dict[str, NDArray[Any]] = {}
        self.best_epoch: int | None = None
        self.best = self._sign * math.inf

    def __call__(self, epoch: Epoch) -> None:
        """Look at one epoch."""
        if self._monitor not in epoch.record:
            raise ValueError(
                f"EarlyStopping watches {self._monitor!r}, which is not recorded; there are {', '.join(epoch.record)}"
            )
        if self.best_epoch is None:
            for record in epoch.history.records[:-1]:
                self._is_best(record)
        if self._is_best(epoch.record):
            kept = epoch.network.parameters.items() if self._restore_best else ()
            self._best_parameters = {name: array.copy() for name, array in kept}
        waited = epoch.number - (self.best_epoch or 0)
        if waited >= self._patience or epoch.number == epoch.n_epochs:
            for name, array in self._best_parameters.items():
                epoch.network.parameters[name][...] = array
        if waited >= self._patience:
            raise StopTraining

    def _is_best(self, record: Record) -> bool:
        """Tell whether an epoch is the best so far, and note it if it is."""
        figure = record.get(self._monitor, math.nan)
        if not self._sign * figure < self._sign * self.best - self._min_delta:
            return False
        self.best_epoch, self.best = int(record["epoch"]), figure
        return True


class CsvLogger:
    """Write the figures of each epoch into a CSV file, line by line while the training runs.

    Parameters
    ----------
    path : path-like
        The file; one that is there is written anew, with all epochs of a training that is resumed. Its columns are
        the figures of the first epoch.

    Raises
    ------
    OSError
        If it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._columns: list[str] = []
        self._path.write_text("", encoding="utf-8")

    def __call__(self, epoch: Epoch) -> None:
        """Write one line; a figure that an epoch has not stays empty."""
        records = [epoch.record] if self._columns else epoch.history.records
        with self._path.open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            if not self._columns:
                self._columns = list(records[0])
                lines.writerow(self._columns)
            lines.writerows([record.get(name, "") for name in self._columns] for record in records)


class TensorBoardLogger:
    """Write the figures of each epoch for TensorBoard, which shows them while the training runs.

    Parameters
    ----------
    folder : path-like
        Made if it is not there. A training adds a file of its own; from its first epoch on, TensorBoard no longer
        shows what others wrote there before. So a resumed training goes on with its curves, and one that is begun
        again begins new ones.

    Raises
    ------
    ImportError
        If tensorboardX is not installed.
    OSError
        If the folder or the file cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._next_epoch: int | None = None
        self._file: Any = self._opened()

    def _opened(self) -> Any:
        """Begin a new file in the folder."""
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ModuleNotFoundError as error:
            raise ImportError(
                "TensorBoard's files are written by tensorboardX, which is not installed: "
                'pip install "fastfnn[tensorboard]"'
            ) from error
        self._folder.mkdir(parents=True, exist_ok=True)
        # EventsWriter, because SummaryWriter writes in a thread, and its `flush` does not wait for that thread.
        # A file's name holds the second it was made in; the suffix tells files of the same second apart.
        file = EventsWriter(str(self._folder / "events"), f".{time.time_ns()}")
        weakref.finalize(self, file.close)
        return file

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file: a copy begins one of its own at its first epoch."""
        return self.__dict__ | {"_file": None, "_next_epoch": None}

    def __call__(self, epoch: Epoch) -> None:
        """Write the figures of one epoch through to the disk."""
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
