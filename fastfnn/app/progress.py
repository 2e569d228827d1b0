"""Terminal output during training: reports, with a progress bar or occasional lines in between."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from fastfnn.training.events import Epoch

SECONDS_BETWEEN_LINES = 10.0

# The longest time that Python can write.
LONGEST_TIME = timedelta(days=timedelta.max.days)


def say(text: str) -> None:
    """Print a line immediately, even into a pipe; a bar on the terminal moves below it."""
    print(text, flush=True)


class _Shown:
    """A bar of Rich that is shown while a `with` block runs."""

    _bar: progress.Progress

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


class ProgressBar(_Shown):
    """A bar on a terminal, with the figures of the last iteration.

    Parameters
    ----------
    console : Console
        The terminal.
    n_iterations : int
        Number of iterations of the whole training run.
    n_samples : int
        Number of samples in one iteration.
    """

    def __init__(self, console: Console, n_iterations: int, n_samples: int) -> None:
        self._n_samples = n_samples
        self._bar = progress.Progress(
            progress.TextColumn("{task.completed}/{task.total}"),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.fields[figures]}"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("", total=n_iterations, figures="")

    def report(self, epoch: Epoch, text: str) -> None:
        """Print `text` above the bar."""
        self.advance(epoch)
        say(text)

    def advance(self, epoch: Epoch) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=epoch.number, figures=_figures(epoch, self._n_samples))


class _Plain:
    """A display with nothing to begin or to end around a `with` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


class ProgressLines(_Plain):
    """Lines for output other than a terminal: all reports, and between them at most one in ten seconds.

    Parameters
    ----------
    n_samples : int
        Number of samples in one iteration.
    """

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples
        self._last_line = time.perf_counter()

    def report(self, epoch: Epoch, text: str) -> None:
        """Print `text`."""
        self._print(text)

    def advance(self, epoch: Epoch) -> None:
        """Print the progress, unless a line was printed in the last ten seconds."""
        if time.perf_counter() - self._last_line >= SECONDS_BETWEEN_LINES:
            figures = _figures(epoch, self._n_samples)
            self._print(f"iteration {epoch.number:,} of {epoch.n_epochs:,}: {figures}, {_time_left(epoch)} left")

    def _print(self, text: str) -> None:
        say(text)
        self._last_line = time.perf_counter()


class NoProgress(_Plain):
    """Nothing: another process shows the progress."""

    def report(self, epoch: Epoch, text: str) -> None:
        """Print nothing."""

    def advance(self, epoch: Epoch) -> None:
        """Print nothing."""


class StageDisplay(_Shown):
    """A bar that moves with each stage of a task; lines for output other than a terminal.

    Parameters
    ----------
    console : Console
        Output, a terminal or not.
    n_stages : int
        Number of stages.
    """

    def __init__(self, console: Console, n_stages: int) -> None:
        self._on_terminal = console.is_terminal
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[detail]}"),
            console=console,
            disable=not self._on_terminal,
        )
        self._task = self._bar.add_task("", total=n_stages, detail="")
        self._n_begun = 0

    def begin(self, name: str) -> None:
        """Begin the next stage."""
        self._bar.update(self._task, description=name, completed=self._n_begun)
        self._n_begun += 1
        if not self._on_terminal:
            say(name)

    def show(self, detail: str) -> None:
        """Show a detail of the current stage."""
        self._bar.update(self._task, detail=detail)


def progress_display(console: Console, n_iterations: int, n_samples: int) -> ProgressBar | ProgressLines:
    """Choose a bar for a terminal, and lines for anything else."""
    return ProgressBar(console, n_iterations, n_samples) if console.is_terminal else ProgressLines(n_samples)


def _figures(epoch: Epoch, n_samples: int) -> str:
    record = epoch.record
    samples_per_second = epoch.number * n_samples / record["seconds"]
    return f"loss {record['loss']:.4g}, accuracy {record['accuracy']:.2%}, {samples_per_second:,.0f} samples/s"


def _time_left(epoch: Epoch) -> timedelta:
    seconds = epoch.record["seconds"] / epoch.number * (epoch.n_epochs - epoch.number)
    return timedelta(seconds=round(min(seconds, LONGEST_TIME.total_seconds())))
