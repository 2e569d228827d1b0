"""Plain gradient descent in small batches: many steps in one kernel call."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastfnn.execution import thresholds
from fastfnn.execution.plan import ExecutionPlan, Steps
from fastfnn.inputs.row_blocks import PackedBlocks, RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.layers import Dense
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer


def samples_of_call(batch_size: int) -> int:
    """Return the number of samples in one kernel call, in whole batches."""
    return max(thresholds.SGD_SAMPLES_OF_CALL // batch_size, 1) * batch_size


class FusedSgd:
    """Steps of plain gradient descent; layers keep no gradient.

    Parameters
    ----------
    model : Model
        Network to train.
    blocks : RowBlocks
        Samples to train on.
    y : Targets
        Targets of the samples.
    optimizer : Optimizer
        Plain SGD, which counts the steps.
    batch_size : int
        Number of rows in a batch.
    plan : ExecutionPlan
        Plan that chose an SGD kernel.
    """

    def __init__(
        self, model: Model, blocks: RowBlocks, y: Targets, optimizer: Optimizer, batch_size: int, plan: ExecutionPlan
    ) -> None:
        self._kernels = model.kernels
        self._blocks = blocks
        self._y = y
        self._optimizer = optimizer
        self._batch_size = batch_size
        self._by_sample = plan.steps is Steps.SGD_SAMPLES
        self._all_parameters = model.parameter_arrays
        dense = [layer for layer in model.layers if isinstance(layer, Dense)]
        self._network = (
            [layer.weights for layer in dense],
            [layer.bias for layer in dense],
            [layer.activation for layer in dense],
        )

    def call_at(self, sample: int, end: int) -> slice:
        """Return the samples of the kernel call that takes a given one; a call ends at `end` at the latest."""
        n_of_call = samples_of_call(self._batch_size)
        first = sample // n_of_call * n_of_call
        return slice(first, min(first + n_of_call, end))

    def take(self, rows: NDArray[np.int64]) -> tuple[float, int]:
        """Take the steps on these rows, batch by batch.

        Returns
        -------
        loss_sum : float
            Sum of each sample's loss before its step.
        n_correct : int
            Number of samples classified correctly before their step.
        """
        labels, rate = self._y.values[rows], self._optimizer.learning_rate
        if self._by_sample:
            result = self._kernels.sgd_samples(self._blocks.compressed(rows), labels, *self._network, rate)
        else:
            batches = cast("PackedBlocks", self._blocks).batches(rows, self._batch_size)
            result = self._kernels.sgd_batches(batches, labels, *self._network, rate)
        self._optimizer.count_steps(self._all_parameters, -(-len(rows) // self._batch_size))
        return result
