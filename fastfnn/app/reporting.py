"""The reports of a training run: when they are due, and what they say."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from fastfnn._warnings import TrainingWarning, warn
from fastfnn.app.divergence import Divergence
from fastfnn.app.progress import NoProgress, ProgressBar, ProgressLines
from fastfnn.app.run_folder import write_history
from fastfnn.checkpoints import Checkpoint
from fastfnn.files.described import reason_of
from fastfnn.grid_search import Trial
from fastfnn.history import History
from fastfnn.training.events import Epoch, Training

Report = dict[str, Any]


class Reporter:
    """A callback that makes and shows reports when they are due, and shows the progress between them.

    Parameters
    ----------
    make_report : callable
        Epoch -> report, from the recipe.
    every : int
        Iterations between reports; the first and the last are always reported.
    display : ProgressBar, ProgressLines or NoProgress
        Display of the reports and the progress.
    divergence : Divergence
        Told of a report whose loss is infinite or NaN.
    reports : iterable of dict
        Reports of earlier iterations, in a resumed training run.

    Attributes
    ----------
    reports : list of dict
        All reports in order.
    """

    def __init__(
        self,
        make_report: Callable[[Epoch], Report],
        every: int,
        display: ProgressBar | ProgressLines | NoProgress,
        divergence: Divergence,
        reports: Iterable[Report] = (),
    ) -> None:
        self._make_report = make_report
        self._every = every
        self._display = display
        self._divergence = divergence
        self.reports: list[Report] = list(reports)
        self._last_epoch: Epoch | None = None

    def __call__(self, epoch: Epoch) -> None:
        """Report an iteration, or show its progress."""
        self._last_epoch = epoch
        if epoch.number == self._divergence.iteration:
            return
        if is_due(epoch.number, self._every, epoch.n_epochs):
            self._report(epoch)
        else:
            self._display.advance(epoch)

    def report_last(self, history: History) -> None:
        """Report the iteration after which training was interrupted, unless it was reported.

        After an interrupt between two steps of an iteration, the network is no longer that of the last iteration.
        """
        last = self._last_epoch
        if last is not None and history.unfinished is None and self.reports[-1]["iteration"] != last.number:
            self._report(last)

    def _report(self, epoch: Epoch) -> None:
        report = self._make_report(epoch)
        if not math.isfinite(report["loss"]):
            self._divergence.stop(epoch.number)
        self.reports.append(report)
        self._display.report(epoch, describe(report, epoch.n_epochs))


def is_due(iteration: int, every: int, n_iterations: int) -> bool:
    """Tell whether an iteration is reported: the first, every `every`-th after it, and the last."""
    return iteration == n_iterations or (iteration - 1) % every == 0


class SavedReports:
    """A callback that writes the reports so far whenever a checkpoint is due, and at the end.

    Parameters
    ----------
    path : Path
        The file.
    reporter : Reporter
        Maker of the reports.
    checkpoint : Checkpoint
        The checkpoint.
    """

    writes_files = True

    def __init__(self, path: Path, reporter: Reporter, checkpoint: Checkpoint) -> None:
        self._path = path
        self._reporter = reporter
        self._checkpoint = checkpoint

    def __call__(self, epoch: Epoch) -> None:
        """Write the reports if a checkpoint is due after this epoch."""
        if self._checkpoint.is_due(epoch):
            self._write()

    def finish(self, training: Training) -> None:
        """Write the reports."""
        self._write()

    def _write(self) -> None:
        try:
            write_history(self._path, self._reporter.reports)
        except OSError as error:
            warn(f"the history was not written, and training goes on: {reason_of(error)}")


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Print a `TrainingWarning` as a line; interrupts and losses of NaN are reported in another way."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", TrainingWarning)
        for reported in ("training was interrupted", "the loss became"):
            warnings.filterwarnings("ignore", reported, TrainingWarning)
        warnings.showwarning = show
        yield


def describe(report: Mapping[str, Any], n_iterations: int) -> str:
    """Return the text of a report: a line of figures, then a line for each tensor with figures of its step."""
    lines = [
        f"iteration {report['iteration']:,} of {n_iterations:,}: loss {report['loss']:.9g}, "
        f"accuracy {report['accuracy']:.4%}, {_held_out(report)}{report['seconds']:.1f} s"
    ]
    for tensor, step in report.get("steps", {}).items():
        figures = "  ".join(f"{name.replace('_', ' ')} {value:<11.5g}" for name, value in step.items())
        lines.append(f"    {tensor:<10}  {figures}".rstrip())
    return "\n".join(lines)


def describe_trial(trial: Trial) -> str:
    """Return the text of a trial: a combination of settings, and the accuracy it reached."""
    return f"{', '.join(f'{name} {text}' for name, text in trial.texts.items())}: {trial.score:.2%}"


def _held_out(report: Mapping[str, Any]) -> str:
    if "validation_loss" not in report:
        return ""
    return f"held out {report['validation_loss']:.9g}, {report['validation_accuracy']:.4%}, "
