"""The reports of a training run: when they are due, what they say, and the check that the loss stays finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastfnn.app.progress import ProgressBar, ProgressLines
from fastfnn.grid_search import Trial
from fastfnn.training.events import Epoch

Report = dict[str, Any]


class Reporter:
    """A callback that makes and shows reports when they are due, and shows the progress between them.

    Parameters
    ----------
    make_report : callable
        Epoch -> report, from the recipe.
    every : int
        Iterations between reports; the first and the last are always reported.
    display : ProgressBar or ProgressLines
        Display of the reports and the progress.
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
        display: ProgressBar | ProgressLines,
        reports: Iterable[Report] = (),
    ) -> None:
        self.reports: list[Report] = list(reports)
        self._make_report = make_report
        self._every = every
        self._display = display
        self._last_epoch: Epoch | None = None

    def __call__(self, epoch: Epoch) -> None:
        """Report an iteration or show its progress; raise ValueError if its loss is infinite or NaN."""
        self._last_epoch = epoch
        _require_finite(epoch.record["loss"], epoch.number)
        if epoch.number == epoch.n_epochs or (epoch.number - 1) % self._every == 0:
            self._report(epoch)
        else:
            self._display.advance(epoch)

    def report_last(self) -> None:
        """Report the iteration at which Ctrl-C ended training, unless it was reported."""
        if self._last_epoch is not None and self.reports[-1]["iteration"] != self._last_epoch.number:
            self._report(self._last_epoch)

    def _report(self, epoch: Epoch) -> None:
        report = self._make_report(epoch)
        _require_finite(report["loss"], epoch.number)
        self.reports.append(report)
        self._display.report(epoch, describe(report, epoch.n_epochs))


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


def _require_finite(loss: float, iteration: int) -> None:
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss became {loss} in iteration {iteration:,}, and no model was written: lower the learning rate"
        )
