"""Training that diverges: it ends, and the last parameters with a finite loss come back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.training.events import Epoch, StopTraining, Training

Parameters = dict[str, NDArray[Any]]


class DivergenceError(ArithmeticError):
    """The loss of a training run became infinite or NaN."""


class Divergence:
    """A callback that ends training at a loss that is infinite or NaN, and restores the last good parameters.

    A finite loss of an epoch proves that the parameters before it were good. So two copies are kept: of the
    parameters after an epoch, and of those before it.

    Attributes
    ----------
    iteration : int or None
        The iteration whose loss, or whose update, was not finite.
    n_good : int
        Number of iterations behind the parameters that are restored.
    """

    def __init__(self) -> None:
        self.iteration: int | None = None
        self.n_good = 0
        self._good: Parameters = {}
        self._latest: Parameters = {}

    def start(self, training: Training) -> None:
        """Copy the initial parameters."""
        self.iteration, self.n_good = None, len(training.history)
        self._good, self._latest = _copied(training.network.parameters), _copied(training.network.parameters)

    def __call__(self, epoch: Epoch) -> None:
        """Keep the parameters before an epoch with a finite loss."""
        if not math.isfinite(epoch.record["loss"]):
            self.stop(epoch.number)
        self._good, self._latest, self.n_good = self._latest, self._good, epoch.number - 1
        for name, array in epoch.network.parameters.items():
            self._latest[name][...] = array

    def stop(self, iteration: int) -> None:
        """End training in this iteration."""
        self.iteration = iteration
        raise StopTraining

    def finish(self, training: Training) -> None:
        """Restore the good parameters, if the loss or the last update was not finite."""
        if self.iteration is None and not all(np.isfinite(array).all() for array in training.parameters.values()):
            self.iteration = len(training.history)
        if self.iteration is not None:
            training.restore(self._good)

    def require_good(self) -> None:
        """Raise DivergenceError if training diverged before an iteration proved any parameters good."""
        if self.iteration is not None and self.n_good == 0:
            raise self._diverged("no model was written")

    def require_none(self) -> None:
        """Raise DivergenceError if training diverged."""
        if self.iteration is not None:
            raise self._diverged(f"the model is that of iteration {self.n_good:,}")

    def _diverged(self, consequence: str) -> DivergenceError:
        return DivergenceError(
            f"the loss became infinite or NaN in iteration {self.iteration:,}, and {consequence}: "
            f"lower the learning rate"
        )


def _copied(parameters: Parameters) -> Parameters:
    return {name: array.copy() for name, array in parameters.items()}
