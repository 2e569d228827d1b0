"""Choosing settings by trying them all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One combination of settings, and how good it is.

    Attributes
    ----------
    settings : dict
        A value for each name of the grid.
    score : float
        The larger the better.
    """

    settings: dict[str, Any]
    score: float

    @property
    def texts(self) -> dict[str, str]:
        """The settings as they are written on the command line."""
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
        The values to try, by name. The last name's change first.
    score : callable
        Takes one value for each name, as keyword arguments; returns how good they are, such as an accuracy on samples
        that the training has not seen.
    report : callable, optional
        Takes each trial as it is done.

    Returns
    -------
    list of Trial
        In order; `best_trial` finds the best of them.

    Raises
    ------
    ValueError
        If a name of the grid has no values.
    """
    for name, values in grid.items():
        if len(values) == 0:
            raise ValueError(f"the grid has no values for {name!r}")
    trials = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        trials.append(Trial(settings, float(score(**settings))))
        if report is not None:
            report(trials[-1])
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the first trial of the highest score; one that is NaN is never the best.

    Raises
    ------
    ValueError
        If there is none.
    """
    finite = [trial for trial in trials if not math.isnan(trial.score)]
    if not finite:
        raise ValueError("no trial has a score that is a number")
    return max(finite, key=lambda trial: trial.score)
