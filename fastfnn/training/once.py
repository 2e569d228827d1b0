"""One plan, one evaluation or one gradient of a network, by one process or by several."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from fastfnn.execution.communicator import Communicator
from fastfnn.execution.gradient import loss_and_gradients
from fastfnn.execution.options import Options, Penalty
from fastfnn.execution.plan import ExecutionPlan
from fastfnn.execution.prediction import evaluate_samples
from fastfnn.execution.preparation import plan_checked
from fastfnn.inputs.validation import Inputs, check_input_format
from fastfnn.layers import Gradient
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.training.agreement import agreement_of, together
from fastfnn.training.prepared import SharedSamples, evaluate_shared, plan_shared
from fastfnn.training.reduction import shared_loss_and_gradients


def plan(
    model: Model, X: Inputs, y: ArrayLike, optimizer: Optimizer, options: Options, sample_weight: Any
) -> ExecutionPlan:
    """Plan a training run; see `fastfnn.Network.plan`."""
    agreement = agreement_of(options.communicator)
    with together(agreement):
        samples = model.check_samples(X, y, sample_weight=sample_weight)
        if agreement is None:
            return plan_checked(model, *samples, options, optimizer)
        return plan_shared(model, SharedSamples(agreement, *samples), options, optimizer)


def evaluate(
    model: Model, X: Inputs, y: ArrayLike, input_format: str, communicator: Communicator | None
) -> tuple[float, float]:
    """Return loss and accuracy; see `fastfnn.Network.evaluate`."""
    check_input_format(input_format)
    agreement = agreement_of(communicator)
    with together(agreement):
        samples = model.check_samples(X, y)
        if agreement is None:
            return evaluate_samples(model, *samples, input_format)
        return evaluate_shared(model, *samples, input_format, agreement)


def gradients(
    model: Model, X: Inputs, y: ArrayLike, penalty: Penalty, input_format: str, communicator: Communicator | None
) -> tuple[float, list[Gradient]]:
    """Return the loss and its gradient; see `fastfnn.Network.loss_and_gradients`."""
    check_input_format(input_format)
    agreement = agreement_of(communicator)
    with together(agreement):
        samples = model.check_samples(X, y)
        model.store_parameters()
        if agreement is None:
            return loss_and_gradients(model, *samples, penalty, input_format)
        return shared_loss_and_gradients(model, *samples, penalty, input_format, agreement)
