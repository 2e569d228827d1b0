"""The steps of mini-batches: threads divide the rows of a batch, and then blocks of all weights.

A block of weights gets its gradient, penalty, bounds and update, and is packed for the next products, while it is in
a cache. Blocks depend on the shapes alone, and sums over them are added up in order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.dropped import drop_elements
from fastfnn_kernels.jitted._products.flat_layers import part
from fastfnn_kernels.jitted._products.fused_activations import multiply_by_derivative
from fastfnn_kernels.jitted._products.later_layers import (
    Layers,
    Rows,
    activate_rows,
    add_gradient,
    backward,
    forward,
    pack_columns,
    pack_gradient,
    pack_transposed,
    units,
)
from fastfnn_kernels.jitted._products.loops import copy, multiply, sum_in_order, sum_of_squares
from fastfnn_kernels.jitted._products.row_losses import Goal, compare_rows, count_correct_rows
from fastfnn_kernels.jitted._products.tile_product import TILE_ROWS
from fastfnn_kernels.jitted._products.update_rules import (
    RMSPROP_TENSOR,
    sgd_elements,
    update_elements,
)
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns

# Distance of numbers that different threads write: each has a cache line of its own.
COUNT_STEP = CACHE_LINE // 8

# Rows that pass through all layers together.
BLOCK_ROWS = 6 * TILE_ROWS


class Places(NamedTuple):
    """Where each layer's numbers are; layer 0 is the inputs, and dropout layers have no weights."""

    weights_at: Any  # in vectors like the parameters; -1 for none
    bias_at: Any
    tensor_at: Any  # number of the weights among all tensors; the bias follows
    learns: Any
    rows_of_block: Any  # of the weights, in a block
    block_starts: Any  # numbers of the blocks; the last block of a layer is its bias
    layer_of_block: Any
    costs: Any  # of the blocks before each one, and of all, without those of a given layer


class Block(NamedTuple):
    """Some rows of a layer's weights, or its bias, which is a part of vectors like the parameters."""

    number: Any
    layer: Any
    is_bias: Any
    first: Any  # row
    end: Any
    at: Any  # in the vectors
    size: Any


class Drops(NamedTuple):
    """Dropout of a batch: for each layer the least random number that keeps an element, the factor and the seed."""

    least: Any
    factors: Any
    seeds: Any


class Vectors(NamedTuple):
    """The parameters, vectors like them, and sums of squares of each block of them."""

    parameters: Any
    gradient: Any
    state: Any
    other_state: Any
    squares: Any  # of the gradient
    penalised: Any  # of the parameters


class Sums(NamedTuple):
    """Numbers that threads share."""

    tile_losses: Any
    counts: Any  # correct rows of each thread, `COUNT_STEP` apart
    rates: Any  # of each tensor, if the rule has such
    factor: Any  # one number, which bounds the norm of all gradients
    means: Any  # running means of each tensor, if the rule has such


class Update(NamedTuple):
    """The numbers of a step."""

    code: Any
    numbers: Any  # of each layer, see `update_rules`
    l2: Any
    l2_bias: Any
    clip_value: Any
    waits: Any  # whether an update needs the norms of all gradients


@uncounted
def pass_rows(
    layers: Layers,
    places: Places,
    drops: Drops,
    rows: Rows,
    goal: Goal,
    scale: Any,
    tile_losses: Any,
    n_given: int,
    first: int,
    end: int,
) -> int:
    """Compute the gradients of some rows in all layers.

    Of `n_given` layers the outputs are given: those of the inputs, and possibly of layer 1, with bias and relu.
    Return the number of correct rows, and write the loss of each tile of rows.
    """
    last = layers.widths.size - 1
    lowest = 1  # the first layer with weights; no gradient with respect to its inputs is needed
    while places.weights_at[lowest] < 0:
        lowest += 1
    if n_given == 2:
        activate_rows(layers, rows, 1, first, end)
    for layer in range(n_given, last + 1):
        if places.weights_at[layer] >= 0:
            forward(layers, rows, layer, first, end)
        else:
            below, y = units(rows, rows.outputs, layer - 1), units(rows, rows.outputs, layer)
            _drop_rows(drops, layer, below, first, end, y)
    outputs, grad = units(rows, rows.outputs, last), units(rows, rows.gradients, last)
    for tile_first in range(first, end, TILE_ROWS):
        tile_end = min(tile_first + TILE_ROWS, end)
        tile_losses[tile_first // TILE_ROWS] = compare_rows(
            goal, outputs, tile_first, tile_end, scale, grad, rows.maxima, rows.totals
        )
    n_correct: int = count_correct_rows(goal, outputs, first, end)
    multiply_by_derivative(_of_rows(grad, first, end), _of_rows(outputs, first, end), layers.codes[last])
    for layer in range(last, max(lowest, n_given) - 1, -1):
        if places.weights_at[layer] >= 0:
            pack_gradient(layers, rows, layer, first, end)
            if layer > lowest:
                backward(layers, rows, layer, first, end)
        else:
            below, y = units(rows, rows.gradients, layer - 1), units(rows, rows.outputs, layer - 1)
            _drop_rows(drops, layer, units(rows, rows.gradients, layer), first, end, below)
            multiply_by_derivative(_of_rows(below, first, end), _of_rows(y, first, end), layers.codes[layer - 1])
    return n_correct


@uncounted
def _drop_rows(drops: Drops, layer: int, x: Any, first: int, end: int, out: Any) -> None:
    """Drop a share of some rows."""
    place = first * x.shape[1]
    least, factor, seed = drops.least[layer], drops.factors[layer], drops.seeds[layer - 1]
    drop_elements(_of_rows(x, first, end), least, factor, seed, place, _of_rows(out, first, end))


@inlined
def _of_rows(matrix: Any, first: int, end: int) -> Any:
    """Return some rows as one contiguous vector."""
    return matrix.reshape(-1)[first * matrix.shape[1] : end * matrix.shape[1]]


@uncounted
def blocks_of_share(places: Places, worker: int, n_threads: int) -> tuple[int, int]:
    """Return a thread's first block and the end of its blocks, so that all take about as long."""
    costs = places.costs
    n_given = places.block_starts[-1] - (costs.size - 1)
    first, end = 0, 0
    for block in range(costs.size - 1):
        twice_middle = (costs[block] + costs[block + 1]) * n_threads
        first += twice_middle < 2 * worker * costs[-1]
        end += twice_middle < 2 * (worker + 1) * costs[-1]
    return n_given + first, n_given + end


@uncounted
def pack_weights(layers: Layers, places: Places, vectors: Vectors, first_block: int, end_block: int) -> None:
    """Pack some blocks for the forward and backward products."""
    for number in range(first_block, end_block):
        _pack_block(layers, places, vectors, _block_of(layers, places, number))


@uncounted
def write_gradients(
    layers: Layers,
    places: Places,
    vectors: Vectors,
    rows: Rows,
    update: Update,
    first_block: int,
    end_block: int,
) -> None:
    """Write the gradient of some blocks; update and pack them, if the update does not wait for norms."""
    for number in range(first_block, end_block):
        block = _block_of(layers, places, number)
        if block.is_bias:
            grad = units(rows, rows.gradients, block.layer)
            sums = vectors.gradient[block.at : block.at + block.size]
            sums[:] = 0
            add_sums_of_columns(grad, 0, rows.n_rows, 0, block.size, sums)
        else:
            matrix = _weights_of(layers, places, vectors.gradient, block.layer)
            add_gradient(layers, rows, block.layer, False, matrix, block.first, block.end)
        _finish(places, vectors, update, block)
        if not update.waits:
            update_elements(update.code, update.numbers[block.layer], *_views(vectors, block))
            _pack_block(layers, places, vectors, block)


@uncounted
def _finish(places: Places, vectors: Vectors, update: Update, block: Block) -> None:
    """Add the penalty's gradient to a block's gradient, and clip each element; write the sums of squares."""
    w, g, _, _ = _views(vectors, block)
    l2 = update.l2_bias if block.is_bias else update.l2
    if l2 != 0:
        vectors.penalised[block.number] = sum_of_squares(w)
    penalise_and_clip(g, w, l2, bound_of(update, places.learns[block.layer]))
    if update.waits:
        vectors.squares[block.number] = sum_of_squares(g)


@inlined
def bound_of(update: Update, learns: bool) -> Any:
    """Return the bound of each element of a gradient."""
    return update.clip_value if learns else type(update.clip_value)(np.inf)


@uncounted
def penalise_and_clip(g: Any, w: Any, l2: Any, bound: Any) -> None:
    """Add the penalty's gradient, and then replace values beyond a bound; NaN stays."""
    if l2 != 0:
        for i in range(g.size):
            g[i] += l2 * w[i]
    if bound < np.inf:
        for i in range(g.size):
            value = bound if g[i] > bound else g[i]
            g[i] = -bound if value < -bound else value


@inline
def penalty_of(layers: Layers, places: Places, vectors: Vectors, numbers: Any) -> float:
    """Return the penalties, from the sums of squares of each block and the step's numbers."""
    penalty = 0.0
    for layer in range(1, layers.widths.size):
        first, end = places.block_starts[layer], places.block_starts[layer + 1]
        for block in range(first, end):
            l2 = numbers[2] if block == end - 1 else numbers[1]
            if l2 != 0:  # else the sum may be that of an earlier step
                penalty += l2 / 2 * vectors.penalised[block]
    return penalty


@uncounted
def settle_norms(
    layers: Layers, places: Places, vectors: Vectors, update: Update, clip_norm: float, sums: Sums
) -> None:
    """Write the factor that bounds the norm of all gradients, and each tensor's rate, if the rule has such."""
    total = 0.0
    for layer in range(1, layers.widths.size):
        if places.learns[layer]:
            for block in range(places.block_starts[layer], places.block_starts[layer + 1]):
                total += vectors.squares[block]
    norm = math.sqrt(total)
    factor = clip_norm / norm if norm > clip_norm else 1.0
    if update.code == RMSPROP_TENSOR:
        for layer in range(1, layers.widths.size):
            first, end = places.block_starts[layer], places.block_starts[layer + 1] - 1
            bounded = factor if places.learns[layer] else 1.0
            if places.weights_at[layer] >= 0:
                tensor = places.tensor_at[layer]
                advance_mean(vectors.squares[first:end], bounded, update.numbers[layer], tensor, sums)
            if layers.has_bias[layer]:
                tensor = places.tensor_at[layer] + 1
                advance_mean(vectors.squares[end : end + 1], bounded, update.numbers[layer], tensor, sums)
    sums.factor[0] = factor


@inline
def advance_mean(squares: Any, factor: float, numbers: Any, tensor: int, sums: Sums) -> None:
    """Update the running mean of a tensor's squared norm, and write its rate."""
    total = sum_in_order(squares)
    mean = numbers[1] * sums.means[tensor] + numbers[2] * (factor * factor * total)
    sums.means[tensor] = mean
    sums.rates[tensor] = numbers[0] / math.sqrt(mean + numbers[3])


@uncounted
def update_after_norms(
    layers: Layers,
    places: Places,
    vectors: Vectors,
    update: Update,
    sums: Sums,
    first_block: int,
    end_block: int,
) -> None:
    """Bound the gradient of some blocks, and update and pack them."""
    factor, rates = sums.factor[0], sums.rates
    for number in range(first_block, end_block):
        block = _block_of(layers, places, number)
        numbers, learns = update.numbers[block.layer], places.learns[block.layer]
        tensor = places.tensor_at[block.layer] + block.is_bias
        bound_and_update(update.code, numbers, factor, learns, rates, tensor, *_views(vectors, block))
        _pack_block(layers, places, vectors, block)


@uncounted
def bound_and_update(
    code: int, numbers: Any, factor: float, learns: bool, rates: Any, tensor: int, w: Any, g: Any, s: Any, t: Any
) -> None:
    if factor != 1 and learns:
        multiply(g, g.dtype.type(factor))
    if code == RMSPROP_TENSOR:
        sgd_elements(w, g, w.dtype.type(rates[tensor]))
    else:
        update_elements(code, numbers, w, g, s, t)


@inline
def _block_of(layers: Layers, places: Places, number: int) -> Block:
    """Return the block with a number; the last block of a layer is its bias, which may be empty."""
    layer = places.layer_of_block[number]
    n_inputs, n_outputs = layers.widths[layer - 1], layers.widths[layer]
    if number == places.block_starts[layer + 1] - 1:
        return Block(number, layer, True, 0, 0, max(places.bias_at[layer], 0), n_outputs * layers.has_bias[layer])
    first = (number - places.block_starts[layer]) * places.rows_of_block[layer]
    end = min(first + places.rows_of_block[layer], n_inputs)
    at = places.weights_at[layer] + first * n_outputs
    return Block(number, layer, False, first, end, at, (end - first) * n_outputs)


@inlined
def _views(vectors: Vectors, block: Block) -> Any:
    """Return a block of the parameters, of their gradient and of both states; a state may be empty."""
    first, end = block.at, block.at + block.size
    state, other_state = vectors.state[first:end], vectors.other_state[first:end]
    return vectors.parameters[first:end], vectors.gradient[first:end], state, other_state


@inlined
def _weights_of(layers: Layers, places: Places, vector: Any, layer: int) -> Any:
    """Return a layer's weights in a vector like the parameters."""
    n_inputs, n_outputs, at = layers.widths[layer - 1], layers.widths[layer], places.weights_at[layer]
    return vector[at : at + n_inputs * n_outputs].reshape((n_inputs, n_outputs))


@uncounted
def _pack_block(layers: Layers, places: Places, vectors: Vectors, block: Block) -> None:
    """Pack a block of weights for the forward and backward products; copy a bias to where they begin their sums."""
    if block.is_bias:
        bias = vectors.parameters[block.at : block.at + block.size]
        copy(bias, part(layers.biases, layers.bias_starts, block.layer))
        return
    weights = _weights_of(layers, places, vectors.parameters, block.layer)
    pack_columns(weights, block.first, block.end, part(layers.forward_panels, layers.forward_starts, block.layer - 1))
    backward_panels = part(layers.backward_panels, layers.backward_starts, block.layer - 1)
    if backward_panels.size > 0:
        pack_transposed(weights, block.first, block.end, backward_panels)
