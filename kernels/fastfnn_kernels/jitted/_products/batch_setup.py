"""The arguments of the kernels of mini-batches as they use them: layers, places, and the numbers of a step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inlined, uncounted
from fastfnn_kernels.jitted._products.batch_numbers import Sizes
from fastfnn_kernels.jitted._products.batch_steps import COUNT_STEP, Places, Sums, Update, Vectors
from fastfnn_kernels.jitted._products.later_layers import Layers, Rows
from fastfnn_kernels.jitted._products.panels import aligned_empty
from fastfnn_kernels.jitted._products.row_losses import Goal
from fastfnn_kernels.jitted._products.tile_product import number_of_tiles
from fastfnn_kernels.jitted._products.update_rules import RMSPROP_TENSOR


class Codes(NamedTuple):
    """The integers among the arguments."""

    loss: Any
    rule: Any
    batch_size: Any
    n_threads: Any
    widest: Any  # columns of the widest layer's panels
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
def layers_of(sizes: Sizes, parameters: Any, widest: int) -> Layers:
    """Return the layers, with empty panels."""
    dtype = parameters.dtype
    return Layers(
        sizes.widths, sizes.codes, sizes.has_bias, np.zeros(sizes.bias_starts[-1], dtype), sizes.bias_starts,
        parameters, sizes.weights_at, np.zeros(sizes.forward_starts[-1], dtype), sizes.forward_starts,
        np.zeros(sizes.backward_starts[-1], dtype), sizes.backward_starts, np.zeros(widest, dtype),
    )  # fmt: skip


@inlined
def vectors_of(sizes: Sizes, parameters: Any, gradient: Any, state: Any, other_state: Any) -> Vectors:
    """Return the vectors, with sums of squares that are 0."""
    n_blocks = sizes.block_starts[-1]
    return Vectors(parameters, gradient, state, other_state, np.zeros(n_blocks), np.zeros(n_blocks))


@inlined
def memory_of(sizes: Sizes, dtype: Any, batch_size: int) -> Rows:
    """Allocate the outputs and gradients of a batch."""
    n_units = batch_size * sizes.unit_starts[-1]
    return Rows(
        batch_size, sizes.unit_starts, aligned_empty(n_units, dtype), aligned_empty(n_units, dtype),
        aligned_empty(batch_size * sizes.bias_starts[-1], dtype), np.empty(batch_size, dtype),
        np.empty(batch_size, dtype),
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
