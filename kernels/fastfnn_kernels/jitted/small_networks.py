"""A whole small network, its loss and all its gradients in one call.

Its weights stay in the caches, and so does a block of rows on its way through all layers and back. Otherwise it takes
longer to call a kernel for each layer, and to wake threads for each of them, than to multiply.

The rows are cut into shares by their number alone. Each share has sums of the gradients to itself, and these sums are
added in order, whichever thread has computed them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._few_outputs import FEW_OUTPUTS, multiply_by_columns
from fastfnn_kernels.jitted._flat import part, starts_of
from fastfnn_kernels.jitted._jit import (
    In2,
    Int,
    IntegersIn1,
    Out1,
    Real,
    inline,
    inlined,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._later_layers import (
    Layers,
    Rows,
    backward,
    compare,
    forward,
    gradient_panels,
    lay_out_columns,
    lay_out_gradient,
    lay_out_rows,
    units,
)
from fastfnn_kernels.jitted._panels import aligned_empty, fill_transposed_panel
from fastfnn_kernels.jitted._shapes import COLUMN_ROWS
from fastfnn_kernels.jitted._small import multiply_where_it_lies
from fastfnn_kernels.jitted._tasks import take_next
from fastfnn_kernels.jitted._tiles import TILE_ROWS, TILE_VECTORS
from fastfnn_kernels.jitted._transfers import CACHE_LINE
from fastfnn_kernels.jitted._weight_gradient import add_products_of_block, add_sums_of_columns
from fastfnn_kernels.jitted.activations import CODES, IDENTITY, activate, copy
from fastfnn_kernels.jitted.cross_entropy import sum_of_losses
from fastfnn_kernels.jitted.updates import sum_of_squares
from fastfnn_kernels.runtime.cpu import UNIT

# Rows that go through the network together.
BLOCK_ROWS = 6 * TILE_ROWS

# Each share has gradients of its own in memory.
MOST_SHARES = 16


def stack_cross_entropy(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    labels: NDArray[np.int64],
    scale: float | None = None,
    l2: float = 0.0,
    l2_bias: float = 0.0,
    out_weights: Sequence[NDArray[Any]] | None = None,
    out_biases: Sequence[NDArray[Any] | None] | None = None,
    accumulate: bool = False,
) -> tuple[float, int, list[NDArray[Any]], list[NDArray[Any] | None]]:
    """Compute the loss of a network and its gradients; see `fastfnn_kernels.reference.stack_cross_entropy`."""
    n_rows, dtype = len(x), x.dtype
    widths = (x.shape[1], *[w.shape[1] for w in weights])
    sizes, weight_parts, bias_parts = _layout(widths, tuple(activations), dtype.itemsize)
    all_weights = _joined(weights, weight_parts, sizes.weight_starts[-1], dtype)
    all_biases = _joined(biases, bias_parts, sizes.bias_starts[-1], dtype)
    weight_gradients, bias_gradients = np.empty_like(all_weights), np.empty_like(all_biases)
    scale = 1 / max(n_rows, 1) if scale is None else scale
    operations = 6 * n_rows * all_weights.size
    loss_sum, n_correct, weight_norm, bias_norm = _propagate(
        operations, dtype, x, labels, all_weights, all_biases, *sizes, scale, l2, l2_bias,
        _number_of_shares(n_rows), threads_for(operations), weight_gradients, bias_gradients,
    )  # fmt: skip
    made_weights = _handed_out(weight_gradients, weight_parts, weights, out_weights, accumulate)
    made_biases = _handed_out(bias_gradients, bias_parts, biases, out_biases, accumulate)
    loss = scale * loss_sum + l2 / 2 * weight_norm + l2_bias / 2 * bias_norm
    return loss, n_correct, made_weights, made_biases


class _Sizes(NamedTuple):
    """The layers, and where the part of each begins in a vector for all of them; the inputs are the first."""

    widths: NDArray[np.int64]
    codes: NDArray[np.int64]
    has_bias: NDArray[np.int64]
    bias_starts: NDArray[np.int64]
    weight_starts: NDArray[np.int64]
    forward_starts: NDArray[np.int64]
    backward_starts: NDArray[np.int64]
    unit_starts: NDArray[np.int64]


@functools.lru_cache
def _layout(
    widths: tuple[int, ...], activations: tuple[str, ...], itemsize: int
) -> tuple[_Sizes, list[slice], list[slice]]:
    """Return the sizes, and the parts of the weights and of the biases."""
    padding = TILE_VECTORS * UNIT.lanes(itemsize)
    exact = np.array(widths)
    padded = -(-exact // padding) * padding
    sizes = _Sizes(
        exact,
        np.array([IDENTITY, *(CODES[activation] for activation in activations)], np.int64),
        np.ones(len(widths), np.int64),  # the sums of one that is not there are zeros, and go nowhere
        starts_of([0, *padded[1:]]),
        starts_of(exact[:-1] * exact[1:]),
        starts_of(exact[:-1] * padded[1:]),
        starts_of(padded[:-1] * exact[1:]),
        starts_of(exact),
    )
    weight_parts = [slice(first, end) for first, end in pairwise(sizes.weight_starts.tolist())]
    bias_firsts = zip(sizes.bias_starts[1:].tolist(), widths[1:], strict=False)
    return sizes, weight_parts, [slice(first, first + width) for first, width in bias_firsts]


def _joined(
    arrays: Sequence[NDArray[Any] | None], parts: Sequence[slice], size: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Copy all arrays into one vector, which is zero elsewhere."""
    flat = np.zeros(size, dtype)
    for array, place in zip(arrays, parts, strict=True):
        if array is not None:
            flat[place] = array.reshape(-1)
    return flat


def _handed_out(
    flat: NDArray[Any],
    parts: Sequence[slice],
    like: Sequence[Any],
    out: Sequence[Any] | None,
    accumulate: bool,
) -> list[Any]:
    """Write each part to the array that was given for it, or add it there; None takes the place of what is None."""
    made = [None if array is None else np.zeros_like(array) for array in like] if out is None else list(out)
    for array, place in zip(made, parts, strict=True):
        if array is not None:
            target = array.reshape(-1)
            if accumulate:
                target += flat[place]
            else:
                target[:] = flat[place]
    return made


def _number_of_shares(n_rows: int) -> int:
    """Return an even number, so that two threads get as many."""
    n_blocks = max(-(-n_rows // BLOCK_ROWS), 1)
    return min(n_blocks + n_blocks % 2, MOST_SHARES)


@kernel
def _propagate(
    x: In2,
    labels: IntegersIn1,
    weights: Out1,
    biases: Out1,
    widths: IntegersIn1,
    codes: IntegersIn1,
    has_bias: IntegersIn1,
    bias_starts: IntegersIn1,
    weight_starts: IntegersIn1,
    forward_starts: IntegersIn1,
    backward_starts: IntegersIn1,
    unit_starts: IntegersIn1,
    scale: Real,
    l2: Real,
    l2_bias: Real,
    n_shares: Int,
    n_threads: Int,
    weight_gradients: Out1,
    bias_gradients: Out1,
) -> tuple[float, int, float, float]:
    """Write the gradients; return the sum of losses, the number of right rows and the squared norms.

    Weights and biases are read alone: arrays of one kind are what one product is compiled for.
    """
    forward_panels, backward_panels = np.zeros(forward_starts[-1], x.dtype), np.zeros(backward_starts[-1], x.dtype)
    zeros = np.zeros(max(biases.size, backward_starts[-1]), x.dtype)
    layers = Layers(
        widths, codes, has_bias, biases, bias_starts, weights, weight_starts,
        forward_panels, forward_starts, backward_panels, backward_starts, zeros,
    )  # fmt: skip
    _lay_out(layers)
    weight_sums, bias_sums = np.empty((n_shares, weights.size), x.dtype), np.empty((n_shares, biases.size), x.dtype)
    losses, counts = np.zeros(n_shares), np.zeros(n_shares, np.int64)
    n_rows = x.shape[0]
    n_units = BLOCK_ROWS * unit_starts[-1]
    outputs, gradients = _aligned_rows(n_threads, n_units, x.dtype), _aligned_rows(n_threads, n_units, x.dtype)
    panels = _aligned_rows(n_threads, BLOCK_ROWS * biases.size, x.dtype)
    of_rows = np.empty((n_threads, 2, BLOCK_ROWS), x.dtype)
    n_tiles = (n_rows + TILE_ROWS - 1) // TILE_ROWS
    counter = np.zeros(1, np.int64)
    for worker in prange(n_threads):
        maxima, totals = of_rows[worker]
        memory = Rows(0, unit_starts, outputs[worker], gradients[worker], panels[worker], maxima, totals)
        share = take_next(counter)  # a thread may begin when another is nearly done
        while share < n_shares:
            first = min(share * n_tiles // n_shares * TILE_ROWS, n_rows)
            end = min((share + 1) * n_tiles // n_shares * TILE_ROWS, n_rows)
            sums = (weight_sums[share], bias_sums[share])
            losses[share], counts[share] = _add_rows(layers, memory, x[first:end], labels[first:end], scale, *sums)
            share = take_next(counter)
    _add_up(weight_sums)
    _add_up(bias_sums)
    for layer in range(1, widths.size):
        total = _weights_of(layers, weight_sums[0], layer)
        _deliver(total, part(weight_gradients, weight_starts, layer - 1))
    copy(bias_sums[0], bias_gradients)
    weight_norm = _add_multiple(weights, l2, weight_gradients)
    return losses.sum(), counts.sum(), weight_norm, _add_multiple(biases, l2_bias, bias_gradients)


@inline
def _add_rows(
    layers: Layers, memory: Rows, x: Any, labels: Any, scale: Any, weight_sum: Any, bias_sum: Any
) -> tuple[float, int]:
    """Write the sums of some rows' gradients; return their loss and how many are right."""
    n_layers = layers.widths.size
    weight_sum[:] = 0
    bias_sum[:] = 0
    loss, n_correct = 0.0, 0
    for first in range(0, x.shape[0], BLOCK_ROWS):
        block, labels_now = x[first : first + BLOCK_ROWS], labels[first : first + BLOCK_ROWS]
        n = labels_now.size
        rows = Rows(n, *memory[1:])
        copy(block.reshape(-1), rows.outputs)
        for layer in range(1, n_layers):
            _forward(layers, rows, layer)
        n_correct += compare(layers, rows, labels_now, scale, 0, n)
        loss += sum_of_losses(units(rows, rows.outputs, n_layers - 1), labels_now, 0, n, rows.maxima, rows.totals)
        for layer in range(n_layers - 1, 0, -1):
            _add_gradient(layers, rows, layer, _weights_of(layers, weight_sum, layer))
            bias = part(bias_sum, layers.bias_starts, layer)
            add_sums_of_columns(units(rows, rows.gradients, layer), 0, n, 0, layers.widths[layer], bias)
            if layer > 1:
                backward(layers, rows, layer, 0, n)
    return loss, n_correct


@inline
def _aligned_rows(n_rows: int, size: int, dtype: Any) -> Any:
    """Allocate rows of so many numbers or a few more, each of which begins at a cache line."""
    padded = (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    return aligned_empty(n_rows * padded, dtype).reshape((n_rows, padded))


@inlined
def _lay_out(layers: Layers) -> None:
    """Copy all weights in the orders in which they are read."""
    for layer in range(1, layers.widths.size):
        n_inputs, n_outputs = layers.widths[layer - 1], layers.widths[layer]
        w = _weights_of(layers, layers.weights, layer)
        panels = part(layers.forward_panels, layers.forward_starts, layer - 1)
        if n_outputs <= FEW_OUTPUTS:
            fill_transposed_panel(w, 0, panels[: w.size].reshape((n_outputs, n_inputs)))
        else:
            lay_out_columns(w, 0, n_inputs, panels)
        if layer > 1:
            lay_out_rows(w, 0, n_inputs, part(layers.backward_panels, layers.backward_starts, layer - 1))


@inline
def _weights_of(layers: Layers, values: Any, layer: int) -> Any:
    """Return a layer's part of its weights, or of what is like them, as a matrix."""
    shape = (layers.widths[layer - 1], layers.widths[layer])
    return part(values, layers.weight_starts, layer - 1).reshape(shape)


@inlined
def _forward(layers: Layers, rows: Rows, layer: int) -> None:
    if layers.widths[layer] <= FEW_OUTPUTS:
        x, y = units(rows, rows.outputs, layer - 1), units(rows, rows.outputs, layer)
        columns = part(layers.forward_panels, layers.forward_starts, layer - 1)
        multiply_by_columns(x, columns, part(layers.biases, layers.bias_starts, layer), y)
        activate(y.reshape(-1), layers.codes[layer])
    else:
        forward(layers, rows, layer, 0, rows.n_rows)


@inlined
def _add_gradient(layers: Layers, rows: Rows, layer: int, total: Any) -> None:
    """Add x^T g to the total of a layer, or g^T x where that has few rows: these fill vectors."""
    x, grad = units(rows, rows.outputs, layer - 1), units(rows, rows.gradients, layer)
    n_inputs, n_outputs = total.shape
    if n_outputs <= COLUMN_ROWS:
        _add_short_product(grad, x, total.reshape((n_outputs, n_inputs)))
    elif n_inputs <= COLUMN_ROWS:
        _add_short_product(x, grad, total)
    else:
        lay_out_gradient(layers, rows, layer, 0, rows.n_rows)
        panels, no_copies = gradient_panels(layers, rows, layer), x[:0]
        add_products_of_block(x, no_copies, 0, rows.n_rows, 0, n_inputs, panels, layers.zeros, True, total)


@inline
def _add_short_product(a: Any, b: Any, out: Any) -> None:
    """Add a^T b, which has few rows, from where both lie."""
    nothing = b[0, :0]
    multiply_where_it_lies(a, 0, 1, a.shape[1], b, b.shape[0], nothing, a.shape[1], True, -np.inf, out)


@inline
def _add_up(sums: Any) -> None:
    """Add the rows behind the first to it, in order."""
    total = sums[0]
    for share in range(1, sums.shape[0]):
        one = sums[share]
        for i in range(total.size):
            total[i] += one[i]


@inline
def _deliver(total: Any, out: Any) -> None:
    """Write a layer's gradient as `_add_gradient` sums it up."""
    n_inputs, n_outputs = total.shape
    values = total.reshape(-1)
    if n_outputs <= COLUMN_ROWS:
        for j in range(n_outputs):
            for i in range(n_inputs):
                out[i * n_outputs + j] = values[j * n_inputs + i]
    else:
        copy(values, out)


@inline
def _add_multiple(values: Any, l2: Any, out: Any) -> float:
    """Add l2 times the values; return their squared norm, or zero where nothing is added."""
    if l2 == 0:
        return 0.0
    for i in range(values.size):
        out[i] += l2 * values[i]
    norm: float = sum_of_squares(values)
    return norm
