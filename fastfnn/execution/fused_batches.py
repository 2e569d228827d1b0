"""Mini-batches: many steps of any optimizer in one kernel call."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from fastfnn_kernels.batches import Stack, StackLayer, StepOptions
from fastfnn_kernels.packing import PackedBatches
from fastfnn_kernels.workspace import Workspace
from numpy.typing import NDArray

from fastfnn.execution import thresholds
from fastfnn.execution.layerwise import use_gradients
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan
from fastfnn.inputs.row_blocks import PackedBlocks, RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.layers import Dense, Dropout
from fastfnn.model import Model, start_gradients
from fastfnn.optimizers import Optimizer
from fastfnn.parameters import FlatArrays

# Packed batches, or an array and the rows of all batches in it.
Inputs = tuple[PackedBatches | NDArray[Any], NDArray[np.int64] | None]


class FusedBatches:
    """Steps on mini-batches.

    Parameters
    ----------
    model : Model
        Network to train; its layers hold the gradient of the last step.
    blocks : RowBlocks
        Samples to train on.
    y : Targets
        Targets of the samples.
    optimizer : Optimizer
        Optimizer whose steps a kernel takes.
    options : Options
        Batches, penalty and clipping.
    plan : ExecutionPlan
        Plan that chose the kernel of many batches.
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
        self._model = model
        self._blocks = blocks
        self._y = y
        self._optimizer = optimizer
        self._gradients = cast("FlatArrays", start_gradients(model))
        self._layer_gradients = [layer.gradient for layer in model.layers]
        self._stack = stack_of(model)
        self._factors = [layer.learning_rate_factor for layer in model.layers for _ in layer.parameters]
        self._workspace = Workspace()
        assert options.batch_size is not None
        self._options = _step_options(options, options.batch_size)
        self._batches_of_call = batches_of_call(model, options.batch_size, plan)

    @property
    def rows_of_call(self) -> int:
        """Number of rows in the next kernel call."""
        return min(self._batches_of_call, self._optimizer.most_steps) * self._options.batch_size

    def take(
        self, rows: NDArray[np.int64], seeds: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Take the steps on these rows, batch by batch.

        Parameters
        ----------
        rows : ndarray of int64
            Rows of one kernel call.
        seeds : ndarray of int64, shape (n_steps, n_layers), optional
            Seeds of the layers' random numbers in each step.

        Returns
        -------
        losses : ndarray of float64, shape (n_steps,)
            Mean loss of each batch before its step, penalty included.
        n_correct : ndarray of int64, shape (n_steps,)
            Number of samples of each batch that were correct before its step.
        """
        use_gradients(self._model.layers, self._layer_gradients)
        kernels, parameters = self._model.kernels, cast("FlatArrays", self._model.parameter_arrays)
        inputs, rows = self._inputs(rows, in_order=seeds is not None)
        losses = self._model.loss.row_losses(self._y.take(rows))
        n_steps = -(-len(rows) // self._options.batch_size)
        vectors, options = (parameters.vector, self._gradients.vector), self._options._replace(seeds=seeds)
        rule = self._optimizer.start_steps(parameters, n_steps)
        try:
            values, n_correct = kernels.train_batches(
                *inputs, losses, self._stack, *vectors, rule, options, self._workspace
            )
        except BaseException:
            self._optimizer.n_steps -= n_steps  # Ctrl-C while the kernel was compiled
            raise
        self._optimizer.finish_steps(kernels, rule, parameters, self._gradients, self._factors)
        return values, n_correct if self._model.loss.counts_correct else np.zeros_like(n_correct)

    def _inputs(self, rows: NDArray[np.int64], in_order: bool) -> tuple[Inputs, NDArray[np.int64]]:
        """Return packed batches or indexed rows as the kernel takes them, and the rows in their order.

        A row's place in its batch decides what dropout drops; otherwise packed rows may change places there.
        """
        if not isinstance(self._blocks, PackedBlocks):
            return self._blocks.indexed(rows), rows
        size = self._options.batch_size
        rows = rows if in_order else self._blocks.alike(rows, size)
        return (self._blocks.batches(rows, size), None), rows


def batches_of_call(model: Model, batch_size: int, plan: ExecutionPlan) -> int:
    """Return the number of batches that a kernel call takes: so much work, and memory, that Ctrl-C is seen soon."""
    first, *others = (array.size for array in model.parameter_arrays)
    used = min(thresholds.GROUP_DENSITY * plan.data.density, 1.0) if plan.is_packed else 1.0
    products = 6 * batch_size * (used * first + sum(others))
    updates = thresholds.OPERATIONS_OF_UPDATE * (first + sum(others))
    in_memory = thresholds.BYTES_OF_CALL // max(model.n_inputs * model.dtype.itemsize, 1)
    most = (plan.rows_of_block if plan.is_packed else max(plan.rows_of_block, in_memory)) // batch_size
    return max(1, min(most, int(thresholds.OPERATIONS_OF_CALL / (products + updates))))


def stack_of(model: Model) -> Stack:
    """Describe a network of dense and dropout layers, whose parameters are stored in one vector, for kernels."""
    starts = iter(cast("FlatArrays", model.parameter_arrays).layout.starts)
    layers = []
    for layer, width in zip(model.layers, model.widths, strict=True):
        if isinstance(layer, Dense):
            weights_at, bias_at = next(starts), next(starts) if layer.use_bias else None
            layers.append(StackLayer(width, layer.activation, weights_at, bias_at, 0.0, layer.learning_rate_factor))
        elif isinstance(layer, Dropout):
            layers.append(StackLayer(width, drop_rate=layer.rate))
    return Stack(model.n_inputs, tuple(layers))


def _step_options(options: Options, batch_size: int) -> StepOptions:
    penalty, clipping = options.penalty, options.clipping
    return StepOptions(
        batch_size,
        penalty.weights,
        penalty.bias,
        penalty.added_to == "sum",
        np.inf if clipping.value is None else clipping.value,
        np.inf if clipping.norm is None else clipping.norm,
    )
