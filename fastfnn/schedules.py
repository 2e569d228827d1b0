"""Schedules: learning rates that change from epoch to epoch.

A schedule is a function of the epoch's number, which counts from 1, and of the history so far. It keeps no state, so
a resumed training run continues with the rate it would have had. Any function of these two arguments is a schedule.
"""

from __future__ import annotations

import copy
import math
import reprlib
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from fastfnn._checks import check_count, check_held, check_positive
from fastfnn._monitor import Best
from fastfnn.history import History

Schedule: TypeAlias = "Callable[[int, History], float]"


def step_decay(learning_rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Multiply the rate by `factor` after every `every` epochs."""
    return partial(_stepped, learning_rate, check_count("every", every), check_positive("factor", factor))


def exponential_decay(learning_rate: float, factor: float) -> Schedule:
    """Multiply the rate by `factor` after every epoch."""
    return step_decay(learning_rate, 1, factor)


def cosine_decay(learning_rate: float, n_epochs: int, last: float = 0.0) -> Schedule:
    """Lower the rate from `learning_rate` to `last` along half a cosine over `n_epochs`, and keep it there.

    Loshchilov & Hutter, arXiv 1608.03983, equation 5, without restarts.
    """
    return partial(_cosine, learning_rate, check_count("n_epochs", n_epochs), last)


def warm_up(n_epochs: int, then: Schedule) -> Schedule:
    """Raise the rate in equal steps to the first rate of `then` over `n_epochs`, then follow `then` from epoch 1."""
    return partial(_warmed_up, check_count("n_epochs", n_epochs), then)


def on_plateau(
    learning_rate: float,
    factor: float = 0.1,
    patience: int = 10,
    monitor: str = "validation_loss",
    mode: str = "auto",
    min_delta: float = 0.0,
) -> Schedule:
    """Multiply the rate by `factor` whenever a metric has not improved for `patience` epochs.

    Parameters
    ----------
    learning_rate : float
        Initial rate.
    factor : float
        Factor of the rate, above 0.
    patience : int
        Number of epochs without improvement; the count restarts after each change of the rate.
    monitor : str
        Name of the metric in the history's records.
    mode, min_delta
        As in `fastfnn.callbacks.EarlyStopping`.

    Raises
    ------
    ValueError
        If an argument is out of range, or "auto" does not know the metric.
    """
    patience, factor = check_count("patience", patience), check_positive("factor", factor)
    watched = Best(monitor, mode, min_delta)
    return partial(_after_plateaus, learning_rate, factor, patience, monitor, watched)


def scheduled_rate(
    schedule: Schedule, epoch: int, history: History, dtype: np.dtype[Any], rate_factors: Collection[float] = ()
) -> float:
    """Return a schedule's learning rate for an epoch.

    Parameters
    ----------
    schedule : callable
        The schedule.
    epoch : int
        Number of the epoch, counted from 1.
    history : History
        Records of the epochs before.
    dtype : dtype
        dtype of the parameters.
    rate_factors : collection of float
        Factors of the rate in single layers.

    Raises
    ------
    TypeError
        If the schedule returns no number.
    ValueError
        If the rate is negative or not finite, or becomes 0 or infinite in `dtype`.
    """
    rate = _as_rate(schedule(epoch, history), epoch)
    if not 0 <= rate < math.inf:
        raise ValueError(
            f"the schedule returned a learning rate of {rate} for epoch {epoch}; it must be finite, from 0 up"
        )
    rates = {"": rate} | {f" times {factor}": rate * factor for factor in rate_factors}
    check_held(f"the schedule's learning rate for epoch {epoch}", rates, dtype)
    return rate


def _as_rate(returned: Any, epoch: int) -> float:
    """Return what a schedule has returned as a float, if it is a number."""
    try:
        if isinstance(returned, (bool, np.bool_, str, bytes)) or np.ndim(returned) != 0:
            raise TypeError
        return float(returned)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        raise TypeError(
            f"a schedule must return a learning rate, a number; got {reprlib.repr(returned)} for epoch {epoch}"
        ) from None


# Partial functions instead of closures: these can be pickled and copied.


def _stepped(learning_rate: float, every: int, factor: float, epoch: int, history: History) -> float:
    return learning_rate * factor ** ((epoch - 1) // every)


def _cosine(learning_rate: float, n_epochs: int, last: float, epoch: int, history: History) -> float:
    progress = min((epoch - 1) / n_epochs, 1)
    return last + (learning_rate - last) * (1 + math.cos(math.pi * progress)) / 2


def _warmed_up(n_epochs: int, then: Schedule, epoch: int, history: History) -> float:
    if epoch > n_epochs:
        return then(epoch - n_epochs, history)
    return then(1, History()) * epoch / (n_epochs + 1)


def _after_plateaus(
    learning_rate: float, factor: float, patience: int, monitor: str, watched: Best, epoch: int, history: History
) -> float:
    now, best, waited = learning_rate, copy.copy(watched), 0
    for figure in history[monitor] if len(history) else []:
        waited = 0 if best.improves(figure) else waited + 1
        if waited == patience:
            now, waited = now * factor, 0
    return now
