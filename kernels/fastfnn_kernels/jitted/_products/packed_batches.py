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
    inline,
    inlined,
    kernel,
    uncounted,
)
from fastfnn_kernels.jitted._products.batch_setup import (
    Codes,
    Steps,
    add_up_step,
    bounds_of,
    codes_of,
    goal_of,
    layers_of,
    memory_of,
    places_of,
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
from fastfnn_kernels.jitted._products.first_panels import (
    BLOCK_INPUTS,
    FirstLayer,
    exchange_panels,
    multiply_panels,
    step_panels,
    update_panels_after_norms,
)
from fastfnn_kernels.jitted._products.flat_layers import part
from fastfnn_kernels.jitted._products.fused_activations import floor_of
from fastfnn_kernels.jitted._products.later_layers import Layers, Rows, units
from fastfnn_kernels.jitted._products.loops import copy, sum_of_squares
from fastfnn_kernels.jitted._products.panels import aligned_empty, number_of_panels
from fastfnn_kernels.jitted._products.shares import bounds_of_inputs
from fastfnn_kernels.jitted._products.sparse_product import Groups
from fastfnn_kernels.jitted._products.team import join, new_team, size_of, wait_for_all
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES, rows_of_share
from fastfnn_kernels.packing import ROWS_OF_GROUP


@kernel
def train_packed(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    n_rows: IntegersIn1,
    labels: IntegersIn1,
    targets: In2,
    weights: In1,
    parameters: Out1,
    gradient: Out1,
    state: Out1,
    other_state: Out1,
    means: OutDoubles1,
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
    """Take all steps, and write the loss and the number of correct rows of each; `n_rows` is one number."""
    dtype, lanes = parameters.dtype, VECTOR_BYTES // parameters.itemsize
    codes = codes_of(integers)
    sizes = sizes_of(table)
    places, layers = places_of(sizes, layer_of_block, costs), layers_of(sizes, parameters, codes.widest)
    vectors = vectors_of(sizes, parameters, gradient, state, other_state)
    memory, sums = memory_of(sizes, dtype, codes.batch_size), sums_of(sizes, codes, means)
    steps = Steps(
        integers, reals, labels, targets, weights, sizes.least, drop_factors, seeds, step_numbers, rule_numbers,
        losses, n_correct,
    )  # fmt: skip
    n_inputs, n_outputs, at = sizes.widths[0], sizes.widths[1], sizes.weights_at[1]
    wide = codes.panel_vectors * lanes
    n_panels = number_of_panels(n_outputs, wide)
    in_place = n_outputs == wide  # the only panel is the matrix itself
    size, end, n_blocks = n_inputs * n_panels * wide, at + n_inputs * n_outputs, -(-n_inputs // BLOCK_INPUTS)
    groups = Groups(offsets, indices, values, np.arange(codes.batch_size).astype(np.int32))
    input_shares = bounds_of_inputs(groups, n_inputs, codes.n_shares)
    for share in range(1, codes.n_shares):
        input_shares[share] = input_shares[share] // BLOCK_INPUTS * BLOCK_INPUTS
    first_layer = FirstLayer(
        n_inputs, n_outputs, at, sizes.bias_at[1], sizes.learns[1], wide, n_panels, input_shares, in_place,
        parameters[at:end] if in_place else aligned_empty(size, dtype),
        state[at:end] if in_place else aligned_empty(min(state.size, 1) * size, dtype),
        other_state[at:end] if in_place else aligned_empty(min(other_state.size, 1) * size, dtype),
        part(layers.biases, layers.bias_starts, 1),
        aligned_empty(codes.n_threads * BLOCK_INPUTS * wide, dtype).reshape((codes.n_threads, BLOCK_INPUTS * wide)),
        np.zeros((n_blocks, n_outputs)), np.zeros((n_blocks, n_outputs)),
    )  # fmt: skip
    # The first layer's outputs for a batch are computed while those of the previous batch are still being read.
    other_outputs, team = aligned_empty(memory.outputs.size, dtype), new_team()
    for _ in prange(codes.n_threads):
        worker = join(team, codes.n_threads)
        if worker >= 0:
            _take_steps(
                groups, n_rows[0], first_layer, layers, places, vectors, memory, other_outputs, sums, steps, team,
                worker,
            )  # fmt: skip


@uncounted
def _take_steps(
    groups: Groups,
    n_rows: int,
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
    """Take a thread's part in all steps."""
    codes, n_steps, n_threads, dtype = (
        codes_of(steps.integers),
        steps.losses.size,
        size_of(team),
        vectors.parameters.dtype,
    )
    first_block, end_block = blocks_of_share(places, worker, n_threads)
    pack_weights(layers, places, vectors, first_block, end_block)
    _exchange(first_layer, vectors, True, worker, n_threads)
    if worker == 0 and first_layer.bias_at >= 0:
        copy(_bias(first_layer, vectors.parameters), first_layer.biases)
    turn = wait_for_all(team, 1)
    outputs, n_before = memory.outputs, 0
    for step in range(n_steps + 1):
        begin, stop = step * codes.batch_size, min((step + 1) * codes.batch_size, n_rows)
        before = Rows(n_before, memory.unit_starts, other_outputs, *memory[3:])
        batch = Rows(max(stop - begin, 0), memory.unit_starts, outputs, *memory[3:])
        hidden = units(batch, batch.outputs, 1)
        update = update_of(steps, max(step - 1, 0), dtype)
        merged = codes.n_shares == 1 and not update.waits
        if step > 0:
            of_before, grad = _groups_of_batch(groups, codes, step - 1), units(before, before.gradients, 1)
            step_panels(first_layer, of_before, grad, vectors, update, step == n_steps, worker, n_threads)
            write_gradients(layers, places, vectors, before, update, first_block, end_block)
        if merged and step < n_steps:
            of_batch, floor = _groups_of_batch(groups, codes, step), floor_of(layers.codes[1], hidden)
            multiply_panels(first_layer, of_batch, batch.n_rows, floor, hidden, worker, n_threads)
        turn = wait_for_all(team, turn)
        if step > 0 and worker == 0:
            _add_up_first(first_layer, places, vectors, update.waits)
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
            of_batch, floor = _groups_of_batch(groups, codes, step), floor_of(layers.codes[1], hidden)
            multiply_panels(first_layer, of_batch, batch.n_rows, floor, hidden, worker, n_threads)
            turn = wait_for_all(team, turn)
        _pass_share(layers, places, batch, sums, steps, step, worker, n_threads)
        if worker == 0 and first_layer.bias_at >= 0:
            vectors.penalised[places.block_starts[2] - 1] = sum_of_squares(_bias(first_layer, vectors.parameters))
        turn = wait_for_all(team, turn)
        if worker == 0:
            add_up_step(steps, sums, step, batch.n_rows, n_threads)
        outputs, other_outputs, n_before = other_outputs, outputs, batch.n_rows
    _exchange(first_layer, vectors, False, worker, n_threads)


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


@uncounted
def _exchange(layer: FirstLayer, vectors: Vectors, into_panels: bool, worker: int, n_threads: int) -> None:
    """Copy a thread's shares of the weights and states into panels, or back, unless they are the same memory."""
    if not layer.in_place:
        exchange_panels(layer, vectors.parameters, layer.weights, into_panels, worker, n_threads)
        if vectors.state.size > 0:
            exchange_panels(layer, vectors.state, layer.state, into_panels, worker, n_threads)
        if vectors.other_state.size > 0:
            exchange_panels(layer, vectors.other_state, layer.other_state, into_panels, worker, n_threads)


@inlined
def _groups_of_batch(groups: Groups, codes: Codes, step: int) -> Groups:
    """Return the groups from a batch's first on."""
    n_groups = (codes.batch_size + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    return Groups(groups.offsets[step * n_groups :], groups.indices, groups.values, groups.order)


@inlined
def _bias(layer: FirstLayer, vector: Any) -> Any:
    """Return the first layer's bias, or what is at its place in a vector like the parameters."""
    return vector[layer.bias_at : layer.bias_at + layer.n_outputs]


@uncounted
def _add_up_first(layer: FirstLayer, places: Places, vectors: Vectors, waits: bool) -> None:
    """Add up the first layer's sums of squares in order, and write them where `penalty_of` and norms find them."""
    weights, bias = places.block_starts[1], places.block_starts[2] - 1
    vectors.penalised[weights] = _sum(layer.penalised.reshape(-1))
    if waits:
        vectors.squares[weights] = _sum(layer.squares.reshape(-1))
        if layer.bias_at >= 0:
            vectors.squares[bias] = sum_of_squares(_bias(layer, vectors.gradient))


@inline
def _sum(values: Any) -> float:
    total = 0.0
    for value in values:
        total += value
    return total
