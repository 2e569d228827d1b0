"""Learning rates that change from epoch to epoch.

A schedule is a function of the epoch's number, from 1 on, and of the history so far: it keeps nothing itself, so a
training that is resumed goes on with the rate it would have had. Any function of the two will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from fastfnn.counts import check_count
from fastfnn.history import History

Schedule: TypeAlias = "Callable[[int, History], float]"


def step_decay(learning_rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Multiply the rate by `factor` after every `every` epochs."""
    check_count("every", every)
    _check_positive("factor", factor)
    return lambda epoch, history: learning_rate * factor ** ((epoch - 1) // every)


def exponential_decay(learning_rate: float, factor: float) -> Schedule:
    """Multiply the rate by `factor` after every epoch."""
    return step_decay(learning_rate, 1, factor)


def cosine_decay(learning_rate: float, n_epochs: int, last: float = 0.0) -> Schedule:
    """Fall from `learning_rate` to `last` along half a cosine over `n_epochs`, and stay there.

    Loshchilov & Hutter, arXiv 1608.03983, equation 5, without restarts.
    """
    check_count("n_epochs", n_epochs)

    def rate(epoch: int, history: History) -> float:
        progress = min((epoch - 1) / n_epochs, 1)
        return last + (learning_rate - last) * (1 + math.cos(math.pi * progress)) / 2

    return rate


def warm_up(n_epochs: int, then: Schedule) -> Schedule:
    """Rise in equal steps to the first rate of `then` over `n_epochs`, and go on with `then` from its first epoch."""
    check_count("n_epochs", n_epochs)

    def rate(epoch: int, history: History) -> float:
        if epoch > n_epochs:
            return then(epoch - n_epochs, history)
        return then(1, History()) * epoch / (n_epochs + 1)

    return rate


def on_plateau(
    learning_rate: float, factor: float = 0.1, patience: int = 10, monitor: str = "validation_loss"
) -> Schedule:
    """Multiply the rate by `factor` whenever a figure has not fallen for `patience` epochs.

    Parameters
    ----------
    learning_rate : float
        The first rate.
    factor : float
        Above 0.
    patience : int
        Epochs without a new lowest figure; they are counted anew after each change of the rate.
    monitor : str
        Name of the figure in the history's records.
    """
    check_count("patience", patience)
    _check_positive("factor", factor)

    def rate(epoch: int, history: History) -> float:
        now, lowest, waited = learning_rate, math.inf, 0
        for figure in history[monitor] if len(history) else []:
            waited = 0 if figure < lowest else waited + 1
            lowest = min(lowest, figure)
            if waited == patience:
                now, waited = now * factor, 0
        return now

    return rate


def scheduled_rate(schedule: Schedule, epoch: int, history: History) -> float:
    """Return what a schedule says for an epoch.

    Raises
    ------
    ValueError
        If it is negative or not finite.
    """
    rate = schedule(epoch, history)
    if not 0 <= rate < math.inf:
        raise ValueError(
            f"the schedule returned a learning rate of {rate} for epoch {epoch}; it must be finite, from 0 up"
        )
    return float(rate)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0; got {value}")
