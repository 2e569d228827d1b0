"""Small networks, and few rows: one kernel for all layers, because a call for each layer would take longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from numpy.typing import NDArray

from fastfnn.execution.layerwise import use_gradients
from fastfnn.execution.options import Penalty
from fastfnn.execution.plan import ExecutionPlan
from fastfnn.execution.preparation import Batch
from fastfnn.layers import Dense
from fastfnn.layers.dense import arguments_of_layer
from fastfnn.model import LayerGradients, Model, start_gradients
from fastfnn.parameters import FlatArrays


class StackForward:
    """The outputs of a few rows.

    Parameters
    ----------
    model : Model
        Network of fused dense layers; each call uses their current parameters.
    plan : ExecutionPlan
        Plan for few rows.

    Attributes
    ----------
    max_rows : int
        Largest number of rows.
    """

    def __init__(self, model: Model, plan: ExecutionPlan) -> None:
        self._model = model
        self._kernels = model.kernels
        self._layers = [layer for layer in model.layers if isinstance(layer, Dense)]
        self._skip_below = plan.skip_below
        self.max_rows = plan.rows_of_block

    def logits(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the last layer's outputs."""
        if X.dtype != self._model.dtype or not X.flags.c_contiguous:
            X = self._model.samples(X).dense(slice(None))
        weights, biases, activations = zip(*map(arguments_of_layer, self._layers), strict=True)
        return self._kernels.stack_forward(X, weights, biases, activations, self._skip_below)


class WholeStackGradient:
    """The gradient of a batch's loss, with one call for each row block.

    Parameters
    ----------
    model : Model
        Network of fused dense layers whose parameters are stored without gaps, with a loss that kernels compute.
    penalty : Penalty
        Penalty added to the loss.

    Attributes
    ----------
    gradients : FlatArrays
        Gradients of all parameters.
    """

    def __init__(self, model: Model, penalty: Penalty) -> None:
        self.gradients = cast("FlatArrays", start_gradients(model))
        self._layers = [layer for layer in model.layers if isinstance(layer, Dense)]
        self._layer_gradients = [layer.gradient for layer in self._layers]
        self._kernels = model.kernels
        self._loss = model.loss
        self._n_outputs = model.widths[-1]
        self._network = (
            cast("FlatArrays", model.parameter_arrays).vector,
            tuple(layer.n_outputs for layer in self._layers),
            tuple(layer.activation for layer in self._layers),
            tuple(layer.use_bias for layer in self._layers),
        )
        self._penalty = penalty

    def write_to(self, gradients: LayerGradients) -> None:
        """Compute the gradients of the next batches in other arrays."""
        self.gradients, self._layer_gradients = gradients

    def run(
        self, batch: Batch, total_weight: float, seeds: Sequence[int | None] | None = None, first_row: int = 0
    ) -> tuple[float, int]:
        """Set each layer's gradient to that of the batch's mean loss; see `LayerwiseGradient.run`."""
        use_gradients(self._layers, self._layer_gradients)
        loss, n_correct, penalty = 0.0, 0, self._penalty.factors(total_weight)
        for i, (x, targets) in enumerate(batch):
            losses = self._loss.row_losses(targets)
            of_block, correct_of_block, _ = self._kernels.stack_gradient(
                cast("NDArray[Any]", x),
                *self._network,
                losses,
                losses.scale_of_mean(self._n_outputs, total_weight),
                *penalty,
                self.gradients.vector,
                i > 0,
            )
            loss, n_correct, penalty = loss + of_block, n_correct + correct_of_block, (0.0, 0.0)
        return loss, n_correct if self._loss.counts_correct else 0
