"""The gradient of a batch's loss, computed as the plan specifies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from fastfnn._checks import check_held
from fastfnn.execution.layerwise import LayerwiseGradient
from fastfnn.execution.options import Penalty
from fastfnn.execution.plan import ExecutionPlan, Propagation, plan_gradient
from fastfnn.execution.preparation import Batch, in_order, prepare
from fastfnn.execution.whole_stack import WholeStackGradient
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.density import profile
from fastfnn.inputs.targets import Targets
from fastfnn.layers import Gradient
from fastfnn.model import LayerGradients, Model


class LossGradient(Protocol):
    """The gradient of a batch's loss, in arrays that every call reuses."""

    @property
    def gradients(self) -> Sequence[NDArray[Any]]:
        """Gradients of all parameters, stored like the parameters."""
        ...

    def write_to(self, gradients: LayerGradients) -> None:
        """Compute the gradients of the next batches in other arrays."""
        ...

    def run(
        self, batch: Batch, total_weight: float, seeds: Sequence[int | None] | None = None, first_row: int = 0
    ) -> tuple[float, int]:
        """Set each layer's gradient; return the mean loss with its penalty, and the number of correct samples."""
        ...


def loss_gradient(model: Model, n_rows: int, penalty: Penalty, plan: ExecutionPlan) -> LossGradient:
    """Return an object that computes gradients of batches, with its memory allocated.

    Parameters
    ----------
    model : Model
        Network.
    n_rows : int
        Largest number of rows in a batch.
    penalty : Penalty
        Penalty added to the loss.
    plan : ExecutionPlan
        Plan of the training run.
    """
    if plan.propagation is Propagation.WHOLE_STACK:
        return WholeStackGradient(model, penalty)
    return LayerwiseGradient(model, min(n_rows, plan.rows_of_block), penalty, plan.propagation)


def loss_and_gradients(
    model: Model, X: NDArray[Any] | Csr, y: Targets, penalty: Penalty, input_format: str
) -> tuple[float, list[Gradient]]:
    """Compute the loss over checked samples, and its gradient; see `fastfnn.Network.loss_and_gradients`."""
    check_held("", {"l2": penalty.weights, "l2_bias": penalty.bias}, model.dtype)
    plan = plan_gradient(model, profile(X, model.dtype, is_weighted=y.weights is not None), input_format)
    gradient = loss_gradient(model, len(y), penalty, plan)
    loss, _ = gradient.run(in_order(prepare(model, X, plan), y), y.total_weight)
    return loss, [layer.gradient for layer in model.layers]
