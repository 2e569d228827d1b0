"""Steps on mini-batches of dense inputs.

Threads divide the batch's rows for the forward and backward pass, and then the blocks of all weights: each gets its
gradient, penalty and update, and is packed for the next products while it is in a cache. They wait for each other
twice in each step, and once more for the norms of all gradients, if the update needs them.
"""

from __future__ import annotations

from typing import Any

from numba import prange

from fastfnn_kernels.jitted._compile.jit import (
    DoublesIn1,
    DoublesIn2,
    DoublesIn3,
    In1,
    In2,
    IntegersIn1,
    IntegersIn2,
    Out1,
    OutDoubles1,
    OutIntegers1,
    kernel,
    uncounted,
)
from fastfnn_kernels.jitted._products.batch_setup import (
    Steps,
    add_up_step,
    bounds_of,
    codes_of,
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
    Vectors,
    blocks_of_share,
    pack_weights,
    pass_rows,
    penalty_of,
    settle_norms,
    update_after_norms,
    write_gradients,
)
from fastfnn_kernels.jitted._products.indices import index_below
from fastfnn_kernels.jitted._products.later_layers import Layers, Rows, units
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.team import FIRST_TURN, join, new_team, size_of, wait_for_all
from fastfnn_kernels.jitted._products.tile_product import rows_of_share


@kernel
def train_dense(
    x: In2,
    rows: IntegersIn1,
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
    """Take all steps, and write the loss and the number of correct rows of each."""
    codes, sizes = codes_of(integers), sizes_of(table)
    places, layers = places_of(sizes, layer_of_block, costs), layers_of(sizes, memory, memory_starts, parameters)
    vectors = vectors_of(sizes, parameters, gradient, state, other_state)
    of_batch, sums = rows_of(sizes, memory, memory_starts, codes.batch_size), sums_of(sizes, codes, means)
    steps = Steps(
        integers, reals, labels, targets, weights, sizes.least, drop_factors, seeds, step_numbers, rule_numbers,
        losses, n_correct,
    )  # fmt: skip
    team = new_team()
    for _ in prange(codes.n_threads):
        worker = join(team, codes.n_threads)
        if worker >= 0:
            _take_steps(x, rows, layers, places, vectors, of_batch, sums, steps, team, worker)


@uncounted
def _take_steps(
    x: Any,
    rows: Any,
    layers: Layers,
    places: Places,
    vectors: Vectors,
    memory: Rows,
    sums: Any,
    steps: Steps,
    team: Any,
    worker: int,
) -> None:
    """Take a thread's part in all steps."""
    codes, bounds = codes_of(steps.integers), bounds_of(steps.reals)
    n_threads, dtype = size_of(team), vectors.parameters.dtype
    first_block, end_block = blocks_of_share(places, worker, n_threads)
    pack_weights(layers, places, vectors, first_block, end_block)
    turn = wait_for_all(team, FIRST_TURN)
    for step in range(steps.losses.size):
        begin, stop = step * codes.batch_size, min((step + 1) * codes.batch_size, codes.n_rows)
        batch = Rows(stop - begin, *memory[1:])
        drops = Drops(steps.least, steps.drop_factors, steps.seeds[step])
        goal = goal_of(steps, begin, stop, dtype)
        first_row, end_row = rows_of_share(stop - begin, worker, n_threads)
        sums.counts[worker * COUNT_STEP] = 0
        for first in range(first_row, end_row, BLOCK_ROWS):
            end = min(first + BLOCK_ROWS, end_row)
            _gather(x, rows, begin, first, end, units(batch, batch.outputs, 0))
            scale = dtype.type(steps.step_numbers[step, 0])
            sums.counts[worker * COUNT_STEP] += pass_rows(
                layers, places, drops, batch, goal, scale, sums.tile_losses, 1, first, end
            )
        turn = wait_for_all(team, turn)
        if worker == 0:
            add_up_step(steps, sums, step, stop - begin, n_threads)
        update = update_of(steps, step, dtype)
        write_gradients(layers, places, vectors, batch, update, first_block, end_block)
        turn = wait_for_all(team, turn)
        if worker == 0:
            steps.losses[step] += penalty_of(layers, places, vectors, steps.step_numbers[step])
        if update.waits:
            if worker == 0:
                settle_norms(layers, places, vectors, update, bounds.clip_norm, sums)
            turn = wait_for_all(team, turn)
            update_after_norms(layers, places, vectors, update, sums, first_block, end_block)
            turn = wait_for_all(team, turn)


@uncounted
def _gather(x: Any, rows: Any, begin: int, first: int, end: int, out: Any) -> None:
    """Copy some rows of a batch, which begins at `begin`."""
    for row in range(first, end):
        copy(x[index_below(rows[begin + row], x.shape[0])], out[row])
