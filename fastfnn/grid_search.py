"""Grid search: try every combination of settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastfnn.training.interrupt import remembered_interrupt


@dataclass(frozen=True)
class Trial:
    """One combination of settings, and its score.

    Attributes
    ----------
    settings : dict
        A value for each name of the grid.
    score : float
        Larger is better.
    """

    settings: dict[str, Any]
    score: float

    @property
    def texts(self) -> dict[str, str]:
        """The settings in the form of the command line."""
        return {
            name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in self.settings.items()
        }


def grid_search(
    grid: Mapping[str, Sequence[Any]], score: Callable[..., float], report: Callable[[Trial], object] | None = None
) -> list[Trial]:
    """Try every combination of a grid.

    Parameters
    ----------
    grid : mapping of str to sequence
        Values to try for each name. The last name varies fastest.
    score : callable
        Takes one value for each name, as keyword arguments. Returns their score, such as an accuracy on held-out
        samples.
    report : callable, optional
        Called with each finished trial.

    Returns
    -------
    list of Trial
        Trials in the order of the grid; `best_trial` finds the best one.

    Raises
    ------
    ValueError
        If a name of the grid has no values.
    KeyboardInterrupt
        If Ctrl-C was pressed, even if it ended a training run inside of `score` that returned as usual.
    """
    for name, values in grid.items():
        if len(values) == 0:
            raise ValueError(f"the grid has no values for {name!r}")
    trials = []
    with remembered_interrupt() as interrupt:
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            scored = float(score(**settings))
            if interrupt.requested:
                raise KeyboardInterrupt
            trials.append(Trial(settings, scored))
            if report is not None:
                report(trials[-1])
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the first trial with the highest score, ignoring scores of NaN.

    Raises
    ------
    ValueError
        If no trial is left.
    """
    finite = [trial for trial in trials if not math.isnan(trial.score)]
    if not finite:
        raise ValueError("no trial has a score that is a number")
    return max(finite, key=lambda trial: trial.score)
