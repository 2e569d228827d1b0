"""The arguments of the kernels of mini-batches as they use them: layers, places, and the numbers of a step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inlined, uncounted
from fastfnn_kernels.jitted._products.batch_memory import (
    BACKWARD_PANELS,
    BIASES,
    BLOCK_GRADIENTS,
    FORWARD_PANELS,
    GRADIENT_PANELS,
    GRADIENTS,
    MAXIMA,
    OTHER_STATE_PANELS,
    OUTPUTS,
    PANELS,
    STATE_PANELS,
    TOTALS,
    ZEROS,
)
from fastfnn_kernels.jitted._products.batch_numbers import Sizes
from fastfnn_kernels.jitted._products.batch_steps import COUNT_STEP, Places, Sums, Update, Vectors
from fastfnn_kernels.jitted._products.first_layer import BLOCK_INPUTS, FirstLayer
from fastfnn_kernels.jitted._products.flat_layers import part
from fastfnn_kernels.jitted._products.later_layers import Layers, Rows
from fastfnn_kernels.jitted._products.panels import number_of_panels
from fastfnn_kernels.jitted._products.row_losses import Goal
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES, number_of_tiles
from fastfnn_kernels.jitted._products.update_rules import RMSPROP_TENSOR
from fastfnn_kernels.packing import ROWS_OF_GROUP


class Codes(NamedTuple):
    """The integers among the arguments."""

    loss: Any
    rule: Any
    batch_size: Any
    n_threads: Any
    n_rows: Any  # of all batches
    panel_vectors: Any  # for packed batches: vectors of a panel of the first layer, and shares of its inputs
    n_shares: Any


class Bounds(NamedTuple):
    """The real numbers among the arguments."""

    smoothing: Any
    delta: Any
    clip_value: Any
    clip_norm: Any


class Steps(NamedTuple):
    """What differs between steps, and their results."""

    integers: Any  # of `Codes`; a parallel loop takes no tuple within another
    reals: Any  # of `Bounds`
    labels: Any
    targets: Any
    weights: Any
    least: Any
    drop_factors: Any
    seeds: Any
    step_numbers: Any
    rule_numbers: Any
    losses: Any
    n_correct: Any


@inlined
def codes_of(integers: Any) -> Codes:
    """Return the integers by name."""
    return Codes(integers[0], integers[1], integers[2], integers[3], integers[4], integers[5], integers[6])


@inlined
def bounds_of(reals: Any) -> Bounds:
    """Return the real numbers by name."""
    return Bounds(reals[0], reals[1], reals[2], reals[3])


@inlined
def sizes_of(table: Any) -> Sizes:
    """Return the rows of the table."""
    n = table.shape[1] - 1
    return Sizes(
        table[0, :n], table[1, :n], table[2, :n], table[3, :n], table[4, :n], table[5, :n], table[6, :n],
        table[7, :n], table[8, :n], table[9], table[10], table[11, :n], table[12, :n], table[13],
    )  # fmt: skip


@inlined
def places_of(sizes: Sizes, layer_of_block: Any, costs: Any) -> Places:
    """Return where each layer's numbers are."""
    return Places(
        sizes.weights_at, sizes.bias_at, sizes.tensor_at, sizes.learns, sizes.rows_of_block, sizes.block_starts,
        layer_of_block, costs,
    )  # fmt: skip


@inlined
def layers_of(sizes: Sizes, memory: Any, starts: Any, parameters: Any) -> Layers:
    """Return the layers, with empty panels."""
    biases, forward_panels = part(memory, starts, BIASES), part(memory, starts, FORWARD_PANELS)
    backward_panels, zeros = part(memory, starts, BACKWARD_PANELS), part(memory, starts, ZEROS)
    biases[:] = 0
    forward_panels[:] = 0
    backward_panels[:] = 0
    zeros[:] = 0
    return Layers(
        sizes.widths, sizes.codes, sizes.has_bias, biases, sizes.bias_starts, parameters, sizes.weights_at,
        forward_panels, sizes.forward_starts, backward_panels, sizes.backward_starts, zeros,
    )  # fmt: skip


@inlined
def vectors_of(sizes: Sizes, parameters: Any, gradient: Any, state: Any, other_state: Any) -> Vectors:
    """Return the vectors, with sums of squares that are 0."""
    n_blocks = sizes.block_starts[-1]
    return Vectors(parameters, gradient, state, other_state, np.zeros(n_blocks), np.zeros(n_blocks))


@inlined
def rows_of(sizes: Sizes, memory: Any, starts: Any, batch_size: int) -> Rows:
    """Return the outputs and gradients of a batch."""
    return Rows(
        batch_size, sizes.unit_starts, part(memory, starts, OUTPUTS), part(memory, starts, GRADIENTS),
        part(memory, starts, GRADIENT_PANELS), part(memory, starts, MAXIMA), part(memory, starts, TOTALS),
    )  # fmt: skip


@inlined
def first_layer_of(
    sizes: Sizes, codes: Codes, layers: Layers, vectors: Vectors, bounds: Any, memory: Any, starts: Any
) -> FirstLayer:
    """Return the first layer, with panels that are to be filled, unless they are the matrix itself.

    `bounds` are the first inputs of each share of a panel, and the end of the last; here they move to where blocks
    begin.
    """
    lanes = VECTOR_BYTES // memory.itemsize
    n_inputs, n_outputs, at = sizes.widths[0], sizes.widths[1], sizes.weights_at[1]
    wide, end, n_blocks = codes.panel_vectors * lanes, at + n_inputs * n_outputs, -(-n_inputs // BLOCK_INPUTS)
    in_place = n_outputs == wide
    state, other_state = vectors.state, vectors.other_state
    n_groups, of_block = -(-codes.batch_size // ROWS_OF_GROUP), min(BLOCK_INPUTS, n_inputs) * wide
    gradients = part(memory, starts, BLOCK_GRADIENTS)[: codes.n_threads * of_block]
    for share in range(1, bounds.size - 1):
        bounds[share] = bounds[share] // BLOCK_INPUTS * BLOCK_INPUTS
    return FirstLayer(
        codes.batch_size, n_inputs, n_outputs, at, sizes.bias_at[1], sizes.learns[1], wide,
        number_of_panels(n_outputs, wide), bounds, in_place,
        vectors.parameters[at:end] if in_place else part(memory, starts, PANELS),
        state[at:end] if in_place else part(memory, starts, STATE_PANELS),
        other_state[at:end] if in_place else part(memory, starts, OTHER_STATE_PANELS),
        part(layers.biases, layers.bias_starts, 1),
        gradients.reshape((codes.n_threads, of_block)),
        np.zeros((codes.n_threads, n_groups), np.int64), np.zeros((codes.n_threads, n_groups), np.int64),
        np.zeros((codes.n_threads, BLOCK_INPUTS), np.uint8),
        np.zeros((n_blocks, n_outputs)), np.zeros((n_blocks, n_outputs)),
    )  # fmt: skip


@inlined
def sums_of(sizes: Sizes, codes: Codes, means: Any) -> Sums:
    """Return the sums that threads share."""
    return Sums(
        np.zeros(number_of_tiles(codes.batch_size)), np.zeros(codes.n_threads * COUNT_STEP, np.int64),
        np.zeros(2 * sizes.widths.size), np.ones(1), means,
    )  # fmt: skip


@inlined
def goal_of(steps: Steps, first: int, end: int, dtype: Any) -> Goal:
    """Return the loss of a batch's rows."""
    bounds = bounds_of(steps.reals)
    return Goal(
        codes_of(steps.integers).loss, steps.labels[first:end], steps.targets[first:end], steps.weights[first:end],
        dtype.type(bounds.smoothing), dtype.type(bounds.delta),
    )  # fmt: skip


@inlined
def update_of(steps: Steps, step: int, dtype: Any) -> Update:
    """Return the numbers of a step."""
    codes, bounds, numbers = codes_of(steps.integers), bounds_of(steps.reals), steps.step_numbers[step]
    waits = codes.rule == RMSPROP_TENSOR or bounds.clip_norm < np.inf
    return Update(
        codes.rule, steps.rule_numbers[step], dtype.type(numbers[1]), dtype.type(numbers[2]),
        dtype.type(bounds.clip_value), waits,
    )  # fmt: skip


@uncounted
def add_up_step(steps: Steps, sums: Sums, step: int, n_rows: int, n_threads: int) -> None:
    """Write a batch's loss without penalty, and its number of correct rows; tiles are added in order."""
    total = 0.0
    for tile in range(number_of_tiles(n_rows)):
        total += sums.tile_losses[tile]
    steps.losses[step] = steps.step_numbers[step, 3] * total
    n_correct = 0
    for worker in range(n_threads):
        n_correct += sums.counts[worker * COUNT_STEP]
    steps.n_correct[step] = n_correct
