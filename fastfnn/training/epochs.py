"""The updates of a training run, batch by batch."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastfnn.execution.fused_sgd import FusedSgd
from fastfnn.execution.gradient import loss_gradient
from fastfnn.execution.obstacles import has_rate_factors
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan, Steps, Update
from fastfnn.execution.preparation import Batch, gathered, in_order
from fastfnn.history import Record
from fastfnn.inputs.row_blocks import RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.layers import Gradient
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.parameters import FlatArrays
from fastfnn.training.events import Step, StopTraining
from fastfnn.training.interrupt import Interrupt


class _Means:
    """Loss and accuracy of an epoch so far."""

    def __init__(self) -> None:
        self.n_seen = 0
        self._loss, self._weight, self._n_correct = 0.0, 0.0, 0

    def add(self, loss: float, weight: float, n_correct: int, n_rows: int) -> None:
        """Add the mean loss of some rows, their total weight, and their number of correct samples."""
        self._loss, self._weight = self._loss + loss * weight, self._weight + weight
        self._n_correct, self.n_seen = self._n_correct + n_correct, self.n_seen + n_rows

    @property
    def loss(self) -> float:
        return self._loss / self._weight if self._weight else 0.0

    @property
    def accuracy(self) -> float:
        return self._n_correct / self.n_seen


class Epochs:
    """The updates of a training run, in memory that is allocated once.

    Parameters
    ----------
    model : Model
        Network to train.
    blocks : RowBlocks
        Samples, prepared as planned.
    y : Targets
        Targets of the samples.
    optimizer : Optimizer
        Optimizer of the parameters.
    options : Options
        Batches, penalty, clipping, and step callbacks.
    plan : ExecutionPlan
        Plan of the training run.

    Attributes
    ----------
    stopped : bool
        Whether a callback ended training.
    """

    def __init__(
        self,
        model: Model,
        blocks: RowBlocks,
        y: Targets,
        optimizer: Optimizer,
        options: Options,
        plan: ExecutionPlan,
    ) -> None:
        self.stopped = False
        self._model = model
        self._blocks = blocks
        self._y = y
        self._optimizer = optimizer
        self._options = options
        self._clipping = options.clipping
        self._plan = plan
        batch_size = options.batch_size
        self._gradient = loss_gradient(model, min(batch_size or len(y), len(y)), options.penalty, plan)
        self._is_random = any(layer.is_random for layer in model.layers)
        self._rate_factors = _rate_factors(model)
        self._fused_sgd: FusedSgd | None = None
        if batch_size is not None and plan.steps is not Steps.ONE_BY_ONE:
            self._fused_sgd = FusedSgd(model, blocks, y, optimizer, batch_size, plan)

    def run(self, interrupt: Interrupt) -> Record:
        """Run one epoch, or the part of it before Ctrl-C; return its mean loss and accuracy."""
        means = _Means()
        if self._options.batch_size is None:
            self._step(in_order(self._blocks, self._y), self._y, means)
        else:
            self._mini_batches(self._options.batch_size, means, interrupt)
        accuracy = {"accuracy": means.accuracy} if self._model.loss.counts_correct else {}
        return {"loss": means.loss, **accuracy}

    def _mini_batches(self, batch_size: int, means: _Means, interrupt: Interrupt) -> None:
        """Take the steps of an epoch; the last batch takes the remaining samples."""
        n_samples = len(self._y)
        order = self._order(n_samples // batch_size * batch_size if self._options.drop_last else n_samples)
        if self._fused_sgd is not None:
            # The last batch goes through the layers, so they hold the gradient of the last step.
            first_of_last = (len(order) - 1) // batch_size * batch_size
            self._fused_steps(self._fused_sgd, order[:first_of_last], batch_size, means, interrupt)
        for first in range(means.n_seen, len(order), batch_size):
            if means.n_seen > 0 and (interrupt.requested or self.stopped):
                break
            rows = order[first : first + batch_size]
            targets = self._y.take(rows)
            self._step(gathered(self._blocks, rows, targets), targets, means)

    def _order(self, n_used: int) -> NDArray[np.int64]:
        """Return the rows of an epoch, shuffled if requested."""
        n_samples = len(self._y)
        return (self._model.rng.permutation(n_samples) if self._options.shuffle else np.arange(n_samples))[:n_used]

    def _fused_steps(
        self, sgd: FusedSgd, order: NDArray[np.int64], batch_size: int, means: _Means, interrupt: Interrupt
    ) -> None:
        """Take steps in the kernels of SGD; the order of summation does not depend on callbacks."""
        loss_sum, n_correct, n_seen = 0.0, 0, 0
        for rows in sgd.calls(order):
            loss, correct, n_taken = self._take(sgd, rows, batch_size, interrupt)
            loss_sum, n_correct, n_seen = loss_sum + loss, n_correct + correct, n_seen + n_taken
            if interrupt.requested or self.stopped:
                break
        means.add(loss_sum / max(n_seen, 1), n_seen, n_correct, n_seen)

    def _take(
        self, sgd: FusedSgd, rows: NDArray[np.int64], batch_size: int, interrupt: Interrupt
    ) -> tuple[float, int, int]:
        """Take all steps on these rows in one call, or each in its own call where callbacks watch.

        Returns the sum of losses, the number of correct samples, and the number of samples.
        """
        if not self._options.step_callbacks:
            return *sgd.take(rows), len(rows)
        loss_sum, n_correct, n_taken = 0.0, 0, 0
        for first in range(0, len(rows), batch_size):
            part = rows[first : first + batch_size]
            loss, correct = sgd.take(part)
            loss_sum, n_correct, n_taken = loss_sum + loss, n_correct + correct, n_taken + len(part)
            for layer in self._model.layers:
                layer.gradient = Gradient()  # the kernel stores none
            self._watch(loss / len(part), correct, len(part))
            if interrupt.requested or self.stopped:
                break
        return loss_sum, n_correct, n_taken

    def _step(self, batch: Batch, targets: Targets, means: _Means) -> None:
        """Update the parameters once; add the loss and the correct samples before the update to the means."""
        n_rows, weight = len(targets), targets.total_weight
        loss, n_correct = self._gradient.run(batch, weight, self._seeds())
        self._clipping.apply(self._model.kernels, self._gradient.gradients)
        self._update()
        means.add(loss, weight, n_correct, n_rows)
        self._watch(loss, n_correct, n_rows)

    def _update(self) -> None:
        """Let the optimizer update the parameters with their gradients."""
        kernels, parameters, gradients = self._model.kernels, self._model.parameter_arrays, self._gradient.gradients
        if self._plan.update is Update.FLAT:
            self._optimizer.step_flat(kernels, cast(FlatArrays, parameters), cast(FlatArrays, gradients))
        else:
            self._optimizer.step(kernels, parameters, gradients, *self._rate_factors)

    def _watch(self, loss: float, n_correct: int, n_rows: int) -> None:
        """Pass a step to the step callbacks."""
        if not self._options.step_callbacks:
            return
        model = self._model
        accuracy = n_correct / n_rows if model.loss.counts_correct else None
        step = Step(self._optimizer.n_steps, loss, accuracy, model, self._optimizer)
        try:
            for callback in self._options.step_callbacks:
                callback(step)
        except StopTraining:
            self.stopped = True

    def _seeds(self) -> list[int] | None:
        """Draw a seed for each layer, if one of them needs it."""
        if not self._is_random:
            return None
        seeds: list[int] = self._model.rng.integers(2**63, size=len(self._model.layers)).tolist()
        return seeds


def _rate_factors(model: Model) -> tuple[list[float], ...]:
    """Return the learning rate factors of all parameters as one more argument of a step; none if all are 1.

    A user-defined optimizer thus need not accept them.
    """
    if not has_rate_factors(model):
        return ()
    return ([layer.learning_rate_factor for layer in model.layers for _ in layer.parameters],)
