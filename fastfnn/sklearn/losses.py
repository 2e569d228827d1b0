"""Losses as scikit-learn's multilayer perceptrons define them: their gradients are sums over a sample's outputs.

A model file names the usual loss, which gives the same predictions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastfnn_kernels.batches import RowLosses
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn.inputs.targets import Targets
from fastfnn.losses import BinaryCrossEntropy, MeanSquaredError, Poisson


class SummedCrossEntropy(BinaryCrossEntropy):
    """Cross-entropy of the sigmoid, summed over outputs."""

    kind = "BinaryCrossEntropy"
    counts_correct = False

    def loss_and_gradient(
        self, kernels: Kernels, outputs: NDArray[Any], targets: Targets, scale: float, out: NDArray[Any] | None
    ) -> tuple[float, NDArray[Any]]:
        """Compute the loss and its gradient."""
        return super().loss_and_gradient(kernels, outputs, targets, scale * outputs.shape[1], out)

    def row_losses(self, targets: Targets, gradient_factor: float = 1.0, value_factor: float = 1.0) -> RowLosses:
        """Describe the loss and its targets to kernels of whole networks."""
        n_outputs = float(targets.values.shape[1])
        return super().row_losses(targets, n_outputs * gradient_factor, n_outputs * value_factor)

    def count_correct(self, kernels: Kernels, outputs: NDArray[Any], targets: Targets) -> int:
        """Count none: scikit-learn's estimators score by themselves."""
        return 0


class HalfSquaredError(MeanSquaredError):
    """(output - y)**2 / 2: the loss is the mean over outputs, the gradient that of the sum (scikit-learn#8349)."""

    kind = "MeanSquaredError"

    def loss_and_gradient(
        self, kernels: Kernels, outputs: NDArray[Any], targets: Targets, scale: float, out: NDArray[Any] | None
    ) -> tuple[float, NDArray[Any]]:
        """Compute the loss and its gradient."""
        n_outputs = outputs.shape[1]
        loss, grad = super().loss_and_gradient(kernels, outputs, targets, scale / 2 * n_outputs, out)
        return loss / n_outputs, grad

    def row_losses(self, targets: Targets, gradient_factor: float = 1.0, value_factor: float = 1.0) -> RowLosses:
        """Describe the loss and its targets to kernels of whole networks."""
        return super().row_losses(targets, targets.values.shape[1] / 2 * gradient_factor, value_factor / 2)


class PoissonDeviance(Poisson):
    """exp(output) - y * output + y log(y) - y, summed over outputs: half the deviance."""

    kind = "Poisson"

    def loss_and_gradient(
        self, kernels: Kernels, outputs: NDArray[Any], targets: Targets, scale: float, out: NDArray[Any] | None
    ) -> tuple[float, NDArray[Any]]:
        """Compute the loss and its gradient."""
        loss, grad = super().loss_and_gradient(kernels, outputs, targets, scale * outputs.shape[1], out)
        y, weights = targets.values.astype(np.float64), targets.weights
        with np.errstate(invalid="ignore"):  # negative targets give NaN, as scikit-learn's do
            constants = (y * np.log(np.where(y == 0, 1, y)) - y).sum(axis=1)
        return loss + scale * float(constants.sum() if weights is None else constants @ weights), grad
