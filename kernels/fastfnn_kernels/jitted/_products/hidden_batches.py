"""Steps on mini-batches of dense inputs in a network with one hidden layer, whose units threads divide.

A thread takes a step with its parts of the units, and then takes the next batch through them, up to their share of
the outputs. Threads wait for each other once in each step, and twice more where an update needs the norms of all
gradients. Then each adds up the outputs of all rows, and computes their loss for itself: there are few, and those of
another core would take longer to arrive.
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
    IntegersIn1,
    Out1,
    OutDoubles1,
    OutIntegers1,
    inlined,
    kernel,
    uncounted,
)
from fastfnn_kernels.jitted._products.batch_setup import (
    Steps,
    bounds_of,
    codes_of,
    goal_of,
    update_of,
)
from fastfnn_kernels.jitted._products.batch_steps import Sums, Vectors
from fastfnn_kernels.jitted._products.flat_layers import part
from fastfnn_kernels.jitted._products.fused_activations import multiply_by_derivative
from fastfnn_kernels.jitted._products.hidden_steps import (
    Tensors,
    exchange_part,
    pack_part,
    penalty_of_parts,
    settle_norms_of_parts,
    step_part,
    update_part_after_norms,
)
from fastfnn_kernels.jitted._products.hidden_units import (
    Batch,
    Network,
    add_up_outputs,
    backward_part,
    forward_part,
    inputs_of,
    parts_of,
)
from fastfnn_kernels.jitted._products.indices import index_below
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.panels import INTO_PANELS, OUT_OF_PANELS, fill_panel
from fastfnn_kernels.jitted._products.row_losses import compare_rows, count_correct_rows
from fastfnn_kernels.jitted._products.team import FIRST_TURN, join, new_team, size_of, wait_for_all
from fastfnn_kernels.jitted._products.tile_product import rows_of_share

# Parts of the memory that the kernel works in: inputs of three batches, the units' outputs and gradients, partial
# outputs of two batches, and what each thread has of its own.
INPUTS, HIDDEN, HIDDEN_GRADIENTS, PARTIAL_OUTPUTS, OUTPUTS, GRADIENTS, GRADIENT_PANELS, MAXIMA, TOTALS = range(9)

# What stands for the parameters in products, zeros, and the first weights' states and gradient in panels.
WEIGHTS, BIASES, FORWARD, BACKWARD, OUTPUT_BIASES, ZEROS, STATE, OTHER_STATE, WEIGHT_GRADIENTS = range(9, 18)

FIRST_STEP = np.int64(0)  # for a literal, a function would be compiled once more


@kernel
def train_hidden(
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
    sizes: IntegersIn1,
    tensor_starts: IntegersIn1,
    learns: IntegersIn1,
    step_numbers: DoublesIn2,
    rule_numbers: DoublesIn3,
    integers: IntegersIn1,
    reals: DoublesIn1,
    losses: OutDoubles1,
    n_correct: OutIntegers1,
) -> None:
    """Take all steps on rows of x, and write the loss and the number of correct rows of each."""
    codes, n_parts = codes_of(integers), sizes[5]
    network = _network_of(sizes, memory, memory_starts)
    tensors = Tensors(
        tensor_starts, learns, part(memory, memory_starts, STATE), part(memory, memory_starts, OTHER_STATE),
        _rows(part(memory, memory_starts, WEIGHT_GRADIENTS), codes.n_threads),
        np.zeros((2, 4, n_parts)), np.zeros((4, n_parts)),
    )  # fmt: skip
    vectors = Vectors(parameters, gradient, state, other_state, np.zeros(0), np.zeros(0))
    nothing = np.zeros(0, np.int64)
    sums = Sums(np.zeros(0), nothing, np.zeros(4), np.ones(1), means)
    no_seeds, no_factors = np.zeros((step_numbers.shape[0], 0), np.int64), np.zeros(0, parameters.dtype)
    steps = Steps(
        integers, reals, labels, targets, weights, nothing, no_factors, no_seeds, step_numbers, rule_numbers, losses,
        n_correct,
    )  # fmt: skip
    team = new_team()
    for _ in prange(codes.n_threads):
        worker = join(team, codes.n_threads)
        if worker >= 0:
            _take_part(x, rows, network, tensors, vectors, sums, steps, memory, memory_starts, team, worker)


@inlined
def _rows(values: Any, n_rows: int) -> Any:
    """Return as many rows; numbers at the end may be left over."""
    size = values.size // n_rows
    return values[: n_rows * size].reshape((n_rows, size))


@inlined
def _network_of(sizes: Any, memory: Any, starts: Any) -> Network:
    """Return the network, whose weights are to be copied to their tensors."""
    biases, forward, zeros = part(memory, starts, BIASES), part(memory, starts, FORWARD), part(memory, starts, ZEROS)
    backward, output_biases = part(memory, starts, BACKWARD), part(memory, starts, OUTPUT_BIASES)[: sizes[6]]
    biases[:] = 0
    forward[:] = 0
    backward[:] = 0
    output_biases[:] = 0
    zeros[:] = 0
    return Network(
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], part(memory, starts, WEIGHTS), biases, forward, backward,
        output_biases, zeros,
    )  # fmt: skip


@inlined
def _batches_of(memory: Any, starts: Any, batch_size: int, worker: int, n_threads: int) -> Batch:
    """Return what a thread has for all batches."""
    return Batch(
        0, 0, batch_size, part(memory, starts, INPUTS), part(memory, starts, HIDDEN),
        part(memory, starts, HIDDEN_GRADIENTS), part(memory, starts, PARTIAL_OUTPUTS),
        _rows(part(memory, starts, OUTPUTS), n_threads)[worker],
        _rows(part(memory, starts, GRADIENTS), n_threads)[worker],
        _rows(part(memory, starts, GRADIENT_PANELS), n_threads)[worker],
        _rows(part(memory, starts, MAXIMA), n_threads)[worker],
        _rows(part(memory, starts, TOTALS), n_threads)[worker],
    )  # fmt: skip


@inlined
def _batch_of(batches: Batch, n_rows: int, step: int) -> Batch:
    """Return the rows of a step, of `n_rows` in all; there are none before the first step and after the last."""
    size = batches.capacity
    return Batch(step, max(min(size, n_rows - step * size), 0) if step >= 0 else 0, *batches[2:])


@uncounted
def _take_part(
    x: Any,
    rows: Any,
    network: Network,
    tensors: Tensors,
    vectors: Vectors,
    sums: Sums,
    steps: Steps,
    memory: Any,
    starts: Any,
    team: Any,
    worker: int,
) -> None:
    """Take a thread's part in all steps."""
    codes, n_steps, n_threads, dtype = codes_of(steps.integers), steps.losses.size, size_of(team), memory.dtype
    first_part, end_part = parts_of(network, worker, n_threads)
    for number in range(first_part, end_part):
        exchange_part(network, tensors, vectors, number, INTO_PANELS)
        pack_part(network, tensors, vectors, number)
    batches = _batches_of(memory, starts, codes.batch_size, worker, codes.n_threads)
    _collect_rows(x, rows, network, _batch_of(batches, codes.n_rows, FIRST_STEP), worker, n_threads)
    turn = wait_for_all(team, FIRST_TURN)
    for step in range(n_steps + 1):
        before, batch = _batch_of(batches, codes.n_rows, step - 1), _batch_of(batches, codes.n_rows, step)
        update, parity = update_of(steps, max(step - 1, 0), dtype), (step + 1) % 2
        if step > 0:
            for number in range(first_part, end_part):
                step_part(network, tensors, vectors, before, update, parity, number, worker, step == n_steps)
            if update.waits:
                turn = wait_for_all(team, turn)
                if worker == 0:
                    settle_norms_of_parts(tensors, update, bounds_of(steps.reals).clip_norm, sums)
                turn = wait_for_all(team, turn)
                for number in range(first_part, end_part):
                    update_part_after_norms(network, tensors, vectors, update, sums, number, worker)
        if step < n_steps:
            for number in range(first_part, end_part):
                forward_part(network, batch, number)
            _collect_rows(x, rows, network, _batch_of(batches, codes.n_rows, step + 1), worker, n_threads)
        turn = wait_for_all(team, turn)
        if step > 0 and worker == 0:
            numbers = steps.step_numbers[step - 1]
            steps.losses[step - 1] += penalty_of_parts(tensors, parity, numbers[1], numbers[2])
        if step == n_steps:
            break
        _compare(network, batch, steps, worker)
        for number in range(first_part, end_part):
            backward_part(network, batch, number)
    for number in range(first_part, end_part):
        exchange_part(network, tensors, vectors, number, OUT_OF_PANELS)


@uncounted
def _collect_rows(x: Any, rows: Any, network: Network, batch: Batch, worker: int, n_threads: int) -> None:
    """Copy a thread's share of a batch's rows."""
    (first, end), inputs = rows_of_share(batch.n_rows, worker, n_threads), inputs_of(network, batch)
    for row in range(first, end):
        copy(x[index_below(rows[batch.step * batch.capacity + row], x.shape[0])], inputs[row])


@uncounted
def _compare(network: Network, batch: Batch, steps: Steps, worker: int) -> None:
    """Write the gradient of all outputs, which each thread computes for itself, and the loss."""
    step, n_rows, n_outputs, dtype = batch.step, batch.n_rows, network.n_outputs, batch.outputs.dtype
    add_up_outputs(network, batch)
    outputs = batch.outputs[: n_rows * n_outputs].reshape((n_rows, n_outputs))
    grad = batch.gradients[: n_rows * n_outputs].reshape((n_rows, n_outputs))
    first, numbers = step * batch.capacity, steps.step_numbers[step]
    goal, scale = goal_of(steps, first, first + n_rows, dtype), dtype.type(numbers[0])
    loss = compare_rows(goal, outputs, 0, n_rows, scale, grad, batch.maxima, batch.totals)
    if worker == 0:
        steps.losses[step] = numbers[3] * loss
        steps.n_correct[step] = count_correct_rows(goal, outputs, 0, n_rows)
    multiply_by_derivative(grad.reshape(-1), outputs.reshape(-1), network.output_code)
    fill_panel(grad, 0, n_rows, 0, network.output_biases.size, batch.gradient_panel, 0)
