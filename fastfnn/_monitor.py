"""The figure of a record that early stopping and schedules watch, and the best value it has had."""

from __future__ import annotations

import math

from fastfnn._checks import check_choice, check_non_negative

MODES = ("auto", "min", "max")


class Best:
    """The best value of a figure so far.

    Parameters
    ----------
    monitor : str
        Name of the figure in the records.
    mode : {"auto", "min", "max"}
        Whether smaller or larger values are better. "auto" knows that losses fall; accuracies and scores rise.
    min_delta : float
        Smallest change that counts as an improvement.

    Raises
    ------
    ValueError
        If an argument is out of range, or "auto" does not know the figure.
    """

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        check_choice("mode", mode, MODES)
        self._min_delta = check_non_negative("min_delta", min_delta)
        self._sign = 1 if _direction(monitor, mode) == "min" else -1
        self.value = self._sign * math.inf

    def improves(self, figure: float) -> bool:
        """Tell whether a value is the best so far, and keep it if so; NaN never is."""
        if not self._sign * figure < self._sign * self.value - self._min_delta:
            return False
        self.value = figure
        return True


def _direction(monitor: str, mode: str) -> str:
    if mode != "auto":
        return mode
    last_word = monitor.rsplit("_", 1)[-1]
    if last_word not in ("loss", "accuracy", "score"):
        raise ValueError(
            f'mode="auto" knows that losses fall and accuracies and scores rise, not what {monitor!r} does: '
            f'say mode="min" or mode="max"'
        )
    return "min" if last_word == "loss" else "max"
