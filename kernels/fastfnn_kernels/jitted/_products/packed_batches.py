"""Steps on mini-batches of packed inputs.

The first weights are copied into panels of columns for all batches. A thread updates its panels with the gradient of
one batch, and multiplies the rows of the next with them while they are in its caches; it also updates some blocks of
the later layers. Then threads divide the batch's rows for the forward and backward pass through the later layers.
They wait for each other twice in each step; once more where several threads share a panel, and twice more where an
update needs the norms of all gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from fastfnn_kernels.jitted._compile.jit import (
    DoublesIn1,
    DoublesIn2,
    DoublesIn3,
    In1,
    In2,
    IndicesIn1,
    IntegersIn1,
    IntegersIn2,
    Out1,
    OutDoubles1,
    OutIntegers1,
    kernel,
    uncounted,
)
from fastfnn_kernels.jitted._products.batch_memory import OTHER_OUTPUTS
from fastfnn_kernels.jitted._products.batch_setup import (
    Steps,
    add_up_step,
    bounds_of,
    codes_of,
    first_layer_of,
    goal_of,
    layers_of,
    places_of,
    rows_of,
    sizes_of,
    sums_of,
    update_of,
    vectors_of,
)
from fastfnn_kernels.jitted._products.batch_steps import (
    BLOCK_ROWS,
    COUNT_STEP,
    Drops,
    Places,
    Sums,
    Vectors,
    blocks_of_share,
    pack_weights,
    pass_rows,
    penalty_of,
    settle_norms,
    update_after_norms,
    write_gradients,
)
from fastfnn_kernels.jitted._products.first_layer import FirstLayer, bias_of, exchange_with_panels
from fastfnn_kernels.jitted._products.first_panels import add_up_panels, step_panels, update_panels_after_norms
from fastfnn_kernels.jitted._products.first_products import multiply_panels
from fastfnn_kernels.jitted._products.flat_layers import part
from fastfnn_kernels.jitted._products.later_layers import Layers, Rows
from fastfnn_kernels.jitted._products.loops import copy, sum_of_squares
from fastfnn_kernels.jitted._products.panels import INTO_PANELS, OUT_OF_PANELS
from fastfnn_kernels.jitted._products.shares import bounds_of_inputs
from fastfnn_kernels.jitted._products.sparse_product import Groups
from fastfnn_kernels.jitted._products.team import FIRST_TURN, join, new_team, size_of, wait_for_all
from fastfnn_kernels.jitted._products.tile_product import rows_of_share


@kernel
def train_packed(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    labels: IntegersIn1,
    targets: In2,
    weights: In1,
    parameters: Out1,
    gradient: Out1,
    state: Out1,
    other_state: Out1,
    means: OutDoubles1,
    memory: Out1,
    memory_starts: IntegersIn1,
    table: IntegersIn2,
    layer_of_block: IntegersIn1,
    costs: IntegersIn1,
    drop_factors: In1,
    seeds: IntegersIn2,
    step_numbers: DoublesIn2,
    rule_numbers: DoublesIn3,
    integers: IntegersIn1,
    reals: DoublesIn1,
    losses: OutDoubles1,
    n_correct: OutIntegers1,
) -> None:
    """Take all steps on packed batches, and write the loss and the number of correct rows of each."""
    codes, sizes = codes_of(integers), sizes_of(table)
    places, layers = places_of(sizes, layer_of_block, costs), layers_of(sizes, memory, memory_starts, parameters)
    vectors = vectors_of(sizes, parameters, gradient, state, other_state)
    batch, sums = rows_of(sizes, memory, memory_starts, codes.batch_size), sums_of(sizes, codes, means)
    steps = Steps(
        integers, reals, labels, targets, weights, sizes.least, drop_factors, seeds, step_numbers, rule_numbers,
        losses, n_correct,
    )  # fmt: skip
    packed = Groups(offsets, indices, values, np.arange(codes.batch_size).astype(np.int32))
    bounds = bounds_of_inputs(packed, sizes.widths[0], codes.n_shares)
    first_layer = first_layer_of(sizes, codes, layers, vectors, bounds, memory, memory_starts)
    other_outputs, team = part(memory, memory_starts, OTHER_OUTPUTS), new_team()
    for _ in prange(codes.n_threads):
        worker = join(team, codes.n_threads)
        if worker >= 0:
            _take_part(
                packed, first_layer, layers, places, vectors, batch, other_outputs, sums, steps, team,
                worker,
            )  # fmt: skip


@uncounted
def _take_part(
    packed: Groups,
    first_layer: FirstLayer,
    layers: Layers,
    places: Places,
    vectors: Vectors,
    memory: Rows,
    other_outputs: Any,
    sums: Sums,
    steps: Steps,
    team: Any,
    worker: int,
) -> None:
    """Take a thread's part in all steps.

    The first layer's outputs for a batch are computed while those of the previous batch are still being read; hence
    the other outputs.
    """
    codes, n_steps, n_threads, dtype = (
        codes_of(steps.integers),
        steps.losses.size,
        size_of(team),
        vectors.parameters.dtype,
    )
    first_block, end_block = blocks_of_share(places, worker, n_threads)
    pack_weights(layers, places, vectors, first_block, end_block)
    exchange_with_panels(first_layer, vectors, INTO_PANELS, worker, n_threads)
    if worker == 0 and first_layer.bias_at >= 0:
        copy(bias_of(first_layer, vectors.parameters), first_layer.biases)
    outputs, n_before, n_rows = memory.outputs, 0, min(codes.batch_size, codes.n_rows)
    turn = wait_for_all(team, FIRST_TURN)
    for step in range(n_steps + 1):
        before = Rows(n_before, memory.unit_starts, other_outputs, *memory[3:])
        batch = Rows(n_rows, memory.unit_starts, outputs, *memory[3:])
        update = update_of(steps, max(step - 1, 0), dtype)
        merged = codes.n_shares == 1 and not update.waits
        if step > 0:
            keeps = step == n_steps
            step_panels(first_layer, packed, before, step - 1, vectors, update, keeps, worker, n_threads)
            write_gradients(layers, places, vectors, before, update, first_block, end_block)
        if merged and step < n_steps:
            multiply_panels(first_layer, layers, packed, batch, step, worker, n_threads)
        turn = wait_for_all(team, turn)
        if step > 0 and worker == 0:
            add_up_panels(first_layer, places, vectors, update.waits)
            steps.losses[step - 1] += penalty_of(layers, places, vectors, steps.step_numbers[step - 1])
        if step > 0 and update.waits:
            if worker == 0:
                settle_norms(layers, places, vectors, update, bounds_of(steps.reals).clip_norm, sums)
            turn = wait_for_all(team, turn)
            update_panels_after_norms(first_layer, vectors, update, sums, worker, n_threads)
            update_after_norms(layers, places, vectors, update, sums, first_block, end_block)
            turn = wait_for_all(team, turn)
        if step == n_steps:
            break
        if not merged:
            multiply_panels(first_layer, layers, packed, batch, step, worker, n_threads)
            turn = wait_for_all(team, turn)
        _pass_share(layers, places, batch, sums, steps, step, worker, n_threads)
        if worker == 0 and first_layer.bias_at >= 0:
            bias = places.block_starts[2] - 1
            vectors.penalised[bias] = sum_of_squares(bias_of(first_layer, vectors.parameters))
        n_before, n_rows = n_rows, max(min(codes.batch_size, codes.n_rows - (step + 1) * codes.batch_size), 0)
        turn = wait_for_all(team, turn)
        if worker == 0:
            add_up_step(steps, sums, step, n_before, n_threads)
        outputs, other_outputs = other_outputs, outputs
    exchange_with_panels(first_layer, vectors, OUT_OF_PANELS, worker, n_threads)


@uncounted
def _pass_share(
    layers: Layers, places: Places, batch: Rows, sums: Sums, steps: Steps, step: int, worker: int, n_threads: int
) -> None:
    """Take a thread's rows through the layers after the first, and back."""
    dtype, begin = batch.outputs.dtype, step * codes_of(steps.integers).batch_size
    drops = Drops(steps.least, steps.drop_factors, steps.seeds[step])
    goal, scale = goal_of(steps, begin, begin + batch.n_rows, dtype), dtype.type(steps.step_numbers[step, 0])
    first_row, end_row = rows_of_share(batch.n_rows, worker, n_threads)
    sums.counts[worker * COUNT_STEP] = 0
    for first in range(first_row, end_row, BLOCK_ROWS):
        end = min(first + BLOCK_ROWS, end_row)
        sums.counts[worker * COUNT_STEP] += pass_rows(
            layers, places, drops, batch, goal, scale, sums.tile_losses, 2, first, end
        )
