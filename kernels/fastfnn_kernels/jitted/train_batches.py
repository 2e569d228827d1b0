"""Training on mini-batches with any update rule, one step for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import RowLosses, Rule, Stack, StepOptions
from fastfnn_kernels.jitted._compile.jit import threads_for
from fastfnn_kernels.jitted._products.batch_memory import NO_PANELS, PanelSizes, memory_starts
from fastfnn_kernels.jitted._products.batch_numbers import (
    geometry_of,
    rule_numbers_of,
    states_of,
    step_numbers_of,
)
from fastfnn_kernels.jitted._products.dense_batches import train_dense
from fastfnn_kernels.jitted._products.division import divide_batches
from fastfnn_kernels.jitted._products.first_layer import BLOCK_INPUTS
from fastfnn_kernels.jitted._products.hidden_batches import train_hidden
from fastfnn_kernels.jitted._products.hidden_numbers import (
    has_one_hidden_layer,
    hidden_layout_of,
    hidden_memory_starts,
)
from fastfnn_kernels.jitted._products.packed_batches import train_packed
from fastfnn_kernels.jitted._products.row_losses import CODES as LOSS_CODES
from fastfnn_kernels.jitted._products.row_losses import targets_of
from fastfnn_kernels.jitted._products.update_rules import CODES as RULE_CODES
from fastfnn_kernels.packing import ROWS_OF_GROUP, PackedBatches
from fastfnn_kernels.runtime.cpu import UNIT
from fastfnn_kernels.workspace import Workspace

# Cost of updating an element, in multiply-adds; it decides between one thread and many.
OPERATIONS_OF_UPDATE = 24

# A second thread pays from so many times the operations of other kernels on: what one thread computes in a step, the
# other reads in the next. On two cores of an Intel Xeon (Sapphire Rapids), with the layers 54-100-7 in float32, two
# take 1.3 of one thread's time with batches of 32, the same with 128, and 0.85 with 512.
DIVISIBLE = 5


def train_batches(
    x: NDArray[Any] | PackedBatches,
    rows: NDArray[np.int64] | None,
    losses: RowLosses,
    stack: Stack,
    parameters: NDArray[Any],
    gradient: NDArray[Any],
    rule: Rule,
    options: StepOptions,
    workspace: Workspace | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Take a step on each batch in turn; see `fastfnn_kernels.reference.train_batches`."""
    dtype, n_rows = parameters.dtype, len(losses.targets)
    batch_size = min(options.batch_size, max(n_rows, 1))
    step_numbers = step_numbers_of(losses, stack, options, n_rows)
    n_steps, n_layers = len(step_numbers), len(stack.layers)
    values, n_correct = np.zeros(n_steps), np.zeros(n_steps, np.int64)
    if n_steps == 0:
        return values, n_correct
    states, means = states_of(rule, dtype)
    work = workspace or Workspace()
    of_steps = (*targets_of(losses, dtype), parameters, gradient, *states, means)
    numbers = (step_numbers, rule_numbers_of(rule, stack, n_steps))
    bounds = np.array([losses.label_smoothing, losses.delta, options.clip_value, options.clip_norm])
    codes = [LOSS_CODES[losses.name], RULE_CODES[rule.name], batch_size]
    if not isinstance(x, PackedBatches) and has_one_hidden_layer(stack, dtype):
        layout = hidden_layout_of(stack, dtype)
        operations = 6 * layout.n_parameters * batch_size + OPERATIONS_OF_UPDATE * parameters.size
        operations = operations * dtype.itemsize // 4
        n_threads = min(threads_for(operations), layout.n_parts)
        starts = hidden_memory_starts(layout, batch_size, dtype.itemsize, n_threads, len(rule.states))
        train_hidden(
            operations, dtype, x, rows, *of_steps, work.array("batches", (int(starts[-1]),), dtype), starts,
            layout.sizes, layout.tensor_starts, layout.learns, *numbers,
            np.array([*codes, n_threads, n_rows, 1, layout.n_parts]), bounds, values, n_correct,
        )  # fmt: skip
        return values, n_correct
    geometry = geometry_of(stack, dtype, isinstance(x, PackedBatches))
    operations = geometry.operations_of_row * batch_size + OPERATIONS_OF_UPDATE * parameters.size
    n_inputs, n_outputs, n_entries = stack.n_inputs, stack.layers[0].n_outputs, 0
    if isinstance(x, PackedBatches):
        n_entries = len(x.values) * batch_size // n_rows
        operations += (4 * ROWS_OF_GROUP * n_entries - 6 * n_inputs * batch_size) * n_outputs
    operations = operations * dtype.itemsize // (4 * DIVISIBLE)
    n_threads = threads_for(operations)
    panels, vectors, parts = NO_PANELS, 1, 1
    if isinstance(x, PackedBatches):
        n_searches = -(-n_inputs // BLOCK_INPUTS) * -(-batch_size // ROWS_OF_GROUP)
        vectors, parts = divide_batches(n_inputs, n_outputs, n_entries, dtype.itemsize, n_threads, n_searches)
        panels = PanelSizes(n_inputs, n_outputs, vectors * UNIT.lanes(dtype.itemsize), len(rule.states))
    starts = memory_starts(geometry, batch_size, dtype.itemsize, n_threads, panels)
    seeds = np.zeros((n_steps, n_layers), np.int64) if options.seeds is None else options.seeds
    common = (
        *of_steps, work.array("batches", (int(starts[-1]),), dtype), starts, geometry.table, geometry.layer_of_block,
        geometry.costs, geometry.drop_factors, seeds, *numbers, np.array([*codes, n_threads, n_rows, vectors, parts]),
        bounds, values, n_correct,
    )  # fmt: skip
    if isinstance(x, PackedBatches):
        train_packed(operations, dtype, *x[:3], *common)
    else:
        train_dense(operations, dtype, x, rows, *common)
    return values, n_correct
