"""How a training goes: what `Network.fit` was asked for, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastfnn.clipping import Clipping
from fastfnn.counts import check_count
from fastfnn.schedules import Schedule


@dataclass(frozen=True)
class Batching:
    """How an epoch's samples are handed out.

    Attributes
    ----------
    size : int, optional
        Samples an update sees; all of them when None.
    shuffle : bool
        Whether their order is drawn anew for each epoch.
    drop_last : bool
        Whether a last batch that would be smaller is left out.

    Raises
    ------
    ValueError
        If `size` is no whole number from 1 up.
    """

    size: int | None = None
    shuffle: bool = True
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.size is not None:
            check_count("batch_size", self.size)

    def check(self, n_samples: int) -> None:
        """Raise ValueError if there would be no batch of so many samples."""
        if self.size is not None and self.drop_last and self.size > n_samples:
            raise ValueError(
                f"drop_last leaves no batch: batch_size is {self.size}, and there are {n_samples} samples"
            )


@dataclass(frozen=True)
class Penalty:
    """What is added to a loss: (weights / 2) * sum of squared weights + (bias / 2) * sum of squared biases.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.
    """

    weights: float = 0.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("l2", self.weights), ("l2_bias", self.bias)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number from 0 up; got {value}")

    def __bool__(self) -> bool:
        return self.weights != 0 or self.bias != 0


ALL_AT_ONCE, NO_PENALTY, NO_BOUNDS = Batching(), Penalty(), Clipping()


@dataclass(frozen=True)
class Plan:
    """Epochs, batches, and what happens at each of them.

    Attributes
    ----------
    epochs : int
        Passes over the samples.
    batching : Batching
        How they are handed out.
    penalty : Penalty
        What is added to the loss.
    clipping : Clipping
        Bounds of the gradient.
    schedule : callable, optional
        The learning rate of each epoch, see `fastfnn.schedules`; the optimizer's own when None.
    callbacks, step_callbacks : tuple of callables
        Called after each epoch, and after each step.

    Raises
    ------
    TypeError, ValueError
        If one of them does not fit.
    """

    epochs: int = 1
    batching: Batching = ALL_AT_ONCE
    penalty: Penalty = NO_PENALTY
    clipping: Clipping = NO_BOUNDS
    schedule: Schedule | None = None
    callbacks: tuple[Callable[..., Any], ...] = ()
    step_callbacks: tuple[Callable[..., Any], ...] = ()

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs)
        if self.schedule is not None and not callable(self.schedule):
            raise TypeError(f"schedule must be callable, such as those of fastfnn.schedules; got {self.schedule!r}")
        for callback in (*self.callbacks, *self.step_callbacks):
            if not callable(callback):
                raise TypeError(f"a callback must be callable; got {callback!r}")
