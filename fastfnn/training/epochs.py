"""The updates of a training run, batch by batch."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastfnn._warnings import warn
from fastfnn.execution.fused_batches import FusedBatches
from fastfnn.execution.fused_sgd import FusedSgd
from fastfnn.execution.obstacles import has_rate_factors
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan, Steps, Update
from fastfnn.history import Unfinished
from fastfnn.layers import Gradient
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.parameters import FlatArrays
from fastfnn.training.agreement import Agreement, agreed_end
from fastfnn.training.batches import Batches, LocalBatches, OfBatch
from fastfnn.training.events import Step, tell
from fastfnn.training.interrupt import Interrupt
from fastfnn.training.prepared import PreparedSet, SharedSet
from fastfnn.training.progress import NO_ORDER, Progress, RowOrder, continued, random_at
from fastfnn.training.reduction import SharedBatches


class Epochs:
    """The updates of a training run, in memory that is allocated once.

    Parameters
    ----------
    model : Model
        Network to train.
    samples : PreparedSet or SharedSet
        Samples, prepared as planned; shared by several processes if the options name a communicator.
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
        samples: PreparedSet | SharedSet,
        optimizer: Optimizer,
        options: Options,
        plan: ExecutionPlan,
    ) -> None:
        self.stopped = False
        self._has_overflowed = False
        self._model = model
        self._optimizer = optimizer
        self._options = options
        self._clipping = options.clipping
        self._plan = plan
        self._is_random = any(layer.is_random for layer in model.layers)
        self._rate_factors = _rate_factors(model)
        self._fused_sgd: FusedSgd | None = None
        self._fused_batches: FusedBatches | None = None
        if isinstance(samples, SharedSet):
            self._agreement: Agreement | None = samples.agreement
            self._n_samples = samples.n_rows
            self._batches: Batches = SharedBatches(model, samples, options, plan)
            return
        self._agreement, self._n_samples = None, len(samples.y)
        self._batches = LocalBatches(model, samples, options, plan)
        self._weights = samples.y.weights
        blocks, y, batch_size = samples.blocks, samples.y, options.batch_size
        if plan.steps is Steps.BATCHES:
            self._fused_batches = FusedBatches(model, blocks, y, optimizer, options, plan)
        elif batch_size is not None and plan.steps is not Steps.ONE_BY_ONE:
            self._fused_sgd = FusedSgd(model, blocks, y, optimizer, batch_size, plan)

    def begin(self, number: int) -> Progress:
        """Draw the order of an epoch."""
        n_samples, rng, batch_size = self._n_samples, self._model.rng, self._options.batch_size
        if batch_size is None:
            return Progress(number, None, n_samples, NO_ORDER, {})
        before = rng.bit_generator.state
        return Progress(number, batch_size, n_samples, self._batches.order(rng), before)

    def continued(self, unfinished: Unfinished) -> Progress:
        """Draw the order of an epoch again that was not finished.

        Raises
        ------
        ValueError
            If the samples or the batches are not those of that epoch.
        """
        batch_size, rng = self._options.batch_size, random_at(unfinished.random)
        order = NO_ORDER if batch_size is None else self._batches.order(rng)
        if (unfinished.batch_size, unfinished.order) != (batch_size, order.digest):
            raise ValueError(
                f"the history ended in epoch {unfinished.epoch}, in batches of {unfinished.batch_size:,}: continue "
                f"with the same samples, batch_size, shuffle and drop_last, or set history.unfinished to None"
            )
        return continued(unfinished, self._n_samples, order)

    def run(self, progress: Progress, interrupt: Interrupt) -> None:
        """Take the steps of an epoch that are left, or those before Ctrl-C; at least one."""
        batch_size, order = self._options.batch_size, progress.order
        if batch_size is None:
            self._step(self._batches.whole(self._seeds()), progress)
            return
        if self._fused_batches is not None:
            while progress.n_used < len(order):
                self._fused_call(self._fused_batches, progress, batch_size)
                if self.ends(interrupt):
                    return
        if self._fused_sgd is not None:
            # The last batch goes through the layers, so they hold the gradient of the last step.
            first_of_last = (len(order) - 1) // batch_size * batch_size
            while progress.n_used < first_of_last:
                self._fused_steps(self._fused_sgd, progress, first_of_last, batch_size)
                if self.ends(interrupt):
                    return
        for first in range(progress.n_used, len(order), batch_size):
            end = min(first + batch_size, len(order))
            self._step(self._batches.batch(order, first, end, self._seeds()), progress)
            if self.ends(interrupt):
                return

    def ends(self, interrupt: Interrupt) -> bool:
        """Return whether training ends after a step, because of a callback or a signal on one of the processes."""
        if self._agreement is None:
            return interrupt.requested or self.stopped
        self.stopped = agreed_end(self._agreement, interrupt, self.stopped)
        return self.stopped

    def _fused_steps(self, sgd: FusedSgd, progress: Progress, end: int, batch_size: int) -> None:
        """Take the steps of a kernel call, or one of them where callbacks watch.

        Losses are added in an order that depends neither on callbacks nor on where a training run was stopped.
        """
        first = progress.n_used
        call = sgd.call_at(first, end)
        whole = first == call.start and not self._options.step_callbacks
        rows = _rows_of(progress)[first : call.stop if whole else min(first + batch_size, call.stop)]
        loss_sum, n_correct = sgd.take(rows)
        progress.call.add(loss_sum, len(rows), n_correct, len(rows))
        if not math.isfinite(loss_sum):
            self._warn_of_overflow(loss_sum, progress)
        if progress.n_used == call.stop:
            progress.finish_call()
        if self._options.step_callbacks:
            for layer in self._model.layers:
                layer.gradient = Gradient()  # the kernel stores none
            self._watch(loss_sum / len(rows), n_correct, len(rows))

    def _fused_call(self, batches: FusedBatches, progress: Progress, batch_size: int) -> None:
        """Take the steps of a kernel call, or one of them where callbacks watch."""
        first = progress.n_used
        rows = _rows_of(progress)[
            first : first + (batch_size if self._options.step_callbacks else batches.rows_of_call)
        ]
        losses, n_correct = batches.take(rows, self._seeds_of_steps(-(-len(rows) // batch_size)))
        for step, (loss, correct) in enumerate(zip(losses.tolist(), n_correct.tolist(), strict=True)):
            of_batch = rows[step * batch_size : (step + 1) * batch_size]
            self._add(progress, loss, correct, len(of_batch), self._weight_of(of_batch))

    def _weight_of(self, rows: NDArray[np.int64]) -> float:
        """Return the total weight of some rows."""
        return len(rows) if self._weights is None else float(self._weights[rows].sum(dtype=np.float64))

    def _add(self, progress: Progress, loss: float, n_correct: int, n_rows: int, weight: float) -> None:
        """Add a step's loss and its correct samples to the sums, and pass it to the step callbacks."""
        share = n_rows if self._options.average_by == "rows" else weight
        progress.total.add(loss * share, share, n_correct, n_rows)
        if not math.isfinite(loss):
            self._warn_of_overflow(loss, progress)
        self._watch(loss, n_correct, n_rows)

    def _step(self, batch: OfBatch, progress: Progress) -> None:
        """Update the parameters with the gradients of a batch; add its loss and correct samples to the sums."""
        self._clipping.apply(self._model.kernels, self._batches.gradients, *self._rate_factors)
        self._update()
        self._add(progress, *batch)

    def _warn_of_overflow(self, loss: float, progress: Progress) -> None:
        """Warn, once in a training run, that the loss became infinite or NaN."""
        if self._has_overflowed:
            return
        self._has_overflowed = True
        warn(
            f"the loss became {loss} in epoch {progress.epoch}, batch {progress.batch}: lower the learning rate "
            f"({self._optimizer.learning_rate:g}), scale the inputs and targets to about 1, or clip gradients with "
            f"clip_norm"
        )

    def _update(self) -> None:
        """Let the optimizer update the parameters with their gradients."""
        kernels, parameters, gradients = self._model.kernels, self._model.parameter_arrays, self._batches.gradients
        if self._plan.update is Update.FLAT:
            self._optimizer.step_flat(kernels, cast("FlatArrays", parameters), cast("FlatArrays", gradients))
        else:
            self._optimizer.step(kernels, parameters, gradients, *self._rate_factors)

    def _watch(self, loss: float, n_correct: int, n_rows: int) -> None:
        """Pass a step to the step callbacks."""
        if not self._options.step_callbacks:
            return
        model = self._model
        accuracy = n_correct / n_rows if model.loss.counts_correct else None
        step = Step(self._optimizer.n_steps, loss, accuracy, model, self._optimizer)
        self.stopped |= tell(self._options.step_callbacks, step)

    def _seeds(self) -> list[int] | None:
        """Draw a seed for each layer, if one of them needs it."""
        if not self._is_random:
            return None
        seeds: list[int] = self._model.rng.integers(2**63, size=len(self._model.layers)).tolist()
        return seeds

    def _seeds_of_steps(self, n_steps: int) -> NDArray[np.int64] | None:
        """Draw the seeds of several steps, the same as one after another."""
        if not self._is_random:
            return None
        return self._model.rng.integers(2**63, size=(n_steps, len(self._model.layers)))


def _rows_of(progress: Progress) -> NDArray[np.int64]:
    return cast("RowOrder", progress.order).rows


def _rate_factors(model: Model) -> tuple[list[float], ...]:
    """Return the learning rate factors of all parameters as one more argument of a step; none if all are 1.

    A user-defined optimizer thus need not accept them.
    """
    if not has_rate_factors(model):
        return ()
    return ([layer.learning_rate_factor for layer in model.layers for _ in layer.parameters],)
