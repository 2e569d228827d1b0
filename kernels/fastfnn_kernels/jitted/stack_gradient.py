"""A complete small network with its loss and all gradients, in a single call.

The weights stay in the caches, and so does each block of rows during its forward and backward pass. With one call for
each layer, the calls and waking the threads would take longer than the products.

Rows are divided into shares, depending on their number only. Each share has its own sums of the gradients, and these
sums are added in order, whichever thread computed them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.batches import RowLosses
from fastfnn_kernels.jitted._compile.jit import (
    Flag,
    In1,
    In2,
    Int,
    IntegersIn1,
    IntegersIn2,
    Out1,
    Real,
    inline,
    inlined,
    kernel,
    threads_for,
    uncounted,
)
from fastfnn_kernels.jitted._llvm.dot_tiles import FEW_OUTPUTS, multiply_by_columns
from fastfnn_kernels.jitted._llvm.operands import Operand, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import COLUMN_ROWS
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.flat_layers import part, starts_of
from fastfnn_kernels.jitted._products.fused_activations import CODES, IDENTITY, activate, multiply_by_derivative
from fastfnn_kernels.jitted._products.in_place_product import multiply_in_place
from fastfnn_kernels.jitted._products.later_layers import (
    Layers,
    Rows,
    add_gradient,
    backward,
    forward,
    pack_columns,
    pack_gradient,
    pack_transposed,
    units,
)
from fastfnn_kernels.jitted._products.loops import copy, sum_of_squares
from fastfnn_kernels.jitted._products.panels import aligned_empty, transpose
from fastfnn_kernels.jitted._products.row_losses import CODES as LOSS_CODES
from fastfnn_kernels.jitted._products.row_losses import (
    Goal,
    compare_rows,
    count_correct_rows,
    goal_of_rows,
    targets_of,
)
from fastfnn_kernels.jitted._products.tasks import number_of_shares, take_next
from fastfnn_kernels.jitted._products.tile_product import TILE_ROWS, TILE_VECTORS, rows_of_share
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns
from fastfnn_kernels.runtime.cpu import UNIT

# Rows in a block, which goes through the network together.
BLOCK_ROWS = 6 * TILE_ROWS

# The shares' sums are added in parts of this many numbers.
PART = 1024


def stack_gradient(
    x: NDArray[Any],
    parameters: NDArray[Any],
    widths: Sequence[int],
    activations: Sequence[str],
    use_bias: Sequence[bool],
    losses: RowLosses,
    scale: float | None = None,
    l2: float = 0.0,
    l2_bias: float = 0.0,
    out: NDArray[Any] | None = None,
    accumulate: bool = False,
) -> tuple[float, int, NDArray[Any]]:
    """Compute the loss of a network and its gradient; see `fastfnn_kernels.reference.stack_gradient`."""
    n_rows, dtype = len(x), x.dtype
    table = _table((x.shape[1], *widths), tuple(activations), tuple(use_bias), dtype.itemsize)
    if out is None:
        out = (np.zeros if accumulate else np.empty)(parameters.size, dtype)
    scale = losses.scale_of_mean(widths[-1]) if scale is None else scale
    operations = 6 * n_rows * parameters.size
    loss_sum, n_correct, weight_norm, bias_norm = _propagate(
        operations, dtype, x, *targets_of(losses, dtype), LOSS_CODES[losses.name], losses.label_smoothing,
        losses.delta, parameters, table, scale * losses.gradient_factor, l2, l2_bias,
        number_of_shares(n_rows, BLOCK_ROWS), threads_for(operations), accumulate, out,
    )  # fmt: skip
    return scale * losses.value_factor * loss_sum + l2 / 2 * weight_norm + l2_bias / 2 * bias_norm, n_correct, out


class _Sizes(NamedTuple):
    """The sizes of the layers and the offsets of their parts in vectors for all layers; layer 0 is the inputs."""

    widths: Any
    codes: Any
    has_bias: Any
    weight_starts: Any  # in the vector of parameters, where a layer's bias follows its weights
    bias_starts: Any
    forward_starts: Any
    backward_starts: Any
    unit_starts: Any


@functools.lru_cache
def _table(
    widths: tuple[int, ...], activations: tuple[str, ...], use_bias: tuple[bool, ...], itemsize: int
) -> NDArray[np.int64]:
    """Return the sizes as the rows of a single array, because every argument of a kernel takes time."""
    padding = TILE_VECTORS * UNIT.lanes(itemsize)
    exact, has_bias = np.array(widths), np.array([True, *use_bias])
    padded = -(-exact // padding) * padding
    sizes = _Sizes(
        exact,
        [IDENTITY, *(CODES[activation] for activation in activations)],
        has_bias,
        starts_of(exact[:-1] * exact[1:] + has_bias[1:] * exact[1:]),
        starts_of([0, *padded[1:]]),
        starts_of(exact[:-1] * padded[1:]),
        starts_of(padded[:-1] * exact[1:]),
        starts_of(exact),
    )
    table = np.zeros((len(sizes), len(widths) + 1), np.int64)
    for row, values in zip(table, sizes, strict=True):
        row[: len(values)] = values
    return table


@kernel
def _propagate(
    x: In2,
    labels: IntegersIn1,
    targets: In2,
    weights: In1,
    code: Int,
    smoothing: Real,
    delta: Real,
    parameters: Out1,
    table: IntegersIn2,
    scale: Real,
    l2: Real,
    l2_bias: Real,
    n_shares: Int,
    n_threads: Int,
    accumulate: Flag,
    gradient: Out1,
) -> tuple[float, int, float, float]:
    """Write the gradient; return the weighted sum of losses, the number of correct rows and the squared norms.

    The parameters are only read. They are declared writable so that each product is compiled for one type of array.
    """
    n_layers = table.shape[1] - 1
    sizes = _Sizes(
        table[0, :n_layers], table[1, :n_layers], table[2, :n_layers],
        table[3, :n_layers], table[4], table[5, :n_layers], table[6, :n_layers], table[7],
    )  # fmt: skip
    layers, goal = _packed_layers(parameters, sizes), Goal(code, labels, targets, weights, smoothing, delta)
    sums = np.empty((n_shares, parameters.size), x.dtype)
    losses, counts = np.zeros(n_shares), np.zeros(n_shares, np.int64)
    n_rows = x.shape[0]
    n_units = BLOCK_ROWS * sizes.unit_starts[-1]
    outputs, gradients = _aligned_rows(n_threads, n_units, x.dtype), _aligned_rows(n_threads, n_units, x.dtype)
    panels = _aligned_rows(n_threads, BLOCK_ROWS * layers.biases.size, x.dtype)
    of_rows = np.empty((n_threads, 2, BLOCK_ROWS), x.dtype)
    counter = np.zeros(1, np.int64)
    for worker in prange(n_threads):
        maxima, totals = of_rows[worker]
        memory = Rows(0, sizes.unit_starts, outputs[worker], gradients[worker], panels[worker], maxima, totals)
        # Shares are taken one at a time, since a thread may begin when another is nearly done.
        while True:
            share = take_next(counter)
            if share >= n_shares:
                break
            first, end = rows_of_share(n_rows, share, n_shares)
            goal_now = goal_of_rows(goal, first, end)
            losses[share], counts[share] = _add_rows(layers, memory, x[first:end], goal_now, scale, sums[share])
    _add_up(sums)
    weight_norm, bias_norm = 0.0, 0.0
    for layer in range(1, n_layers):
        _deliver(_weights_of(layers, sums[0], layer), accumulate, _weights_of(layers, gradient, layer))
        _write(_bias_of(layers, sums[0], layer), accumulate, _bias_of(layers, gradient, layer))
        weights, bias = _weights_of(layers, parameters, layer).reshape(-1), _bias_of(layers, parameters, layer)
        weight_norm += _add_multiple(weights, l2, _weights_of(layers, gradient, layer).reshape(-1))
        bias_norm += _add_multiple(bias, l2_bias, _bias_of(layers, gradient, layer))
    return losses.sum(), counts.sum(), weight_norm, bias_norm


@uncounted
def _add_rows(layers: Layers, memory: Rows, x: Any, goal: Goal, scale: Any, total: Any) -> tuple[float, int]:
    """Write the sums of some rows' gradients; return their loss and the number of correct rows."""
    n_layers = layers.widths.size
    last = n_layers - 1
    total[:] = 0
    loss, n_correct = 0.0, 0
    for first in range(0, x.shape[0], BLOCK_ROWS):
        block, goal_now = x[first : first + BLOCK_ROWS], goal_of_rows(goal, first, first + BLOCK_ROWS)
        n = block.shape[0]
        rows = Rows(n, *memory[1:])
        copy(block.reshape(-1), rows.outputs)
        for layer in range(1, n_layers):
            _forward(layers, rows, layer)
        outputs, grad = units(rows, rows.outputs, last), units(rows, rows.gradients, last)
        n_correct += count_correct_rows(goal_now, outputs, 0, n)
        loss += compare_rows(goal_now, outputs, 0, n, scale, grad, rows.maxima, rows.totals)
        multiply_by_derivative(grad.reshape(-1), outputs.reshape(-1), layers.codes[last])
        for layer in range(last, 0, -1):
            _add_gradient(layers, rows, layer, _weights_of(layers, total, layer))
            bias = _bias_of(layers, total, layer)
            add_sums_of_columns(units(rows, rows.gradients, layer), 0, n, 0, bias.size, bias)
            if layer > 1:
                backward(layers, rows, layer, 0, n)
    return loss, n_correct


@inline
def _aligned_rows(n_rows: int, size: int, dtype: Any) -> Any:
    """Allocate rows of at least `size` numbers, each aligned to a cache line."""
    padded = (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    return aligned_empty(n_rows * padded, dtype).reshape((n_rows, padded))


@inlined
def _packed_layers(parameters: Any, sizes: _Sizes) -> Layers:
    """Pack all parameters for the forward and backward products."""
    dtype, backward_starts = parameters.dtype, sizes.backward_starts
    biases, forward_panels = np.zeros(sizes.bias_starts[-1], dtype), np.zeros(sizes.forward_starts[-1], dtype)
    backward_panels, zeros = (
        np.zeros(backward_starts[-1], dtype),
        np.zeros(max(biases.size, backward_starts[-1]), dtype),
    )
    layers = Layers(
        sizes.widths, sizes.codes, sizes.has_bias, biases, sizes.bias_starts, parameters, sizes.weight_starts,
        forward_panels, sizes.forward_starts, backward_panels, backward_starts, zeros,
    )  # fmt: skip
    for layer in range(1, sizes.widths.size):
        n_inputs, n_outputs = sizes.widths[layer - 1], sizes.widths[layer]
        w = _weights_of(layers, parameters, layer)
        copy(_bias_of(layers, parameters, layer), part(biases, sizes.bias_starts, layer))
        panels = part(forward_panels, sizes.forward_starts, layer - 1)
        if n_outputs <= FEW_OUTPUTS:
            transpose(w, panels[: w.size].reshape((n_outputs, n_inputs)))
        else:
            pack_columns(w, 0, n_inputs, panels)
        if layer > 1:
            pack_transposed(w, 0, n_inputs, part(backward_panels, backward_starts, layer - 1))
    return layers


@inlined
def _weights_of(layers: Layers, values: Any, layer: int) -> Any:
    """Return the part of a vector like the parameters that belongs to a layer's weights, as a matrix."""
    n_inputs, n_outputs = layers.widths[layer - 1], layers.widths[layer]
    first = layers.weight_starts[layer - 1]
    return values[first : first + n_inputs * n_outputs].reshape((n_inputs, n_outputs))


@inlined
def _bias_of(layers: Layers, values: Any, layer: int) -> Any:
    """Return the part of a vector like the parameters that belongs to a layer's bias; it may be empty."""
    n_weights = layers.widths[layer - 1] * layers.widths[layer]
    return values[layers.weight_starts[layer - 1] + n_weights : layers.weight_starts[layer]]


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
    """Add x^T g to a layer's total, or its transpose g^T x if that has few rows, which then fill vectors."""
    x, grad = units(rows, rows.outputs, layer - 1), units(rows, rows.gradients, layer)
    n_inputs, n_outputs = total.shape
    if n_outputs <= COLUMN_ROWS:
        _add_short_product(grad, x, total.reshape((n_outputs, n_inputs)))
    elif n_inputs <= COLUMN_ROWS:
        _add_short_product(x, grad, total)
    else:
        pack_gradient(layers, rows, layer, 0, rows.n_rows)
        add_gradient(layers, rows, layer, True, total, 0, n_inputs)


@uncounted
def _add_short_product(a: Any, b: Any, out: Any) -> None:
    """Add a^T b, which has few rows, without packing."""
    nothing = b[0, :0]
    multiply_in_place(Operand(ptr(a), 0, 1, a.shape[1]), a.shape[1], b, b.shape[0], nothing, True, -np.inf, out)


@inline
def _add_up(sums: Any) -> None:
    """Add all later rows to the first, in order; each part of it stays in the first-level cache meanwhile."""
    n_shares, size = sums.shape
    for first in range(0, size, PART):
        total = sums[0, first : first + PART]
        for share in range(1, n_shares):
            one = sums[share, first : first + PART]
            for i in range(total.size):
                total[i] += one[i]


@inline
def _deliver(total: Any, accumulate: bool, out: Any) -> None:
    """Write or add a layer's gradient, from the total of `_add_gradient`, which may be transposed."""
    n_inputs, n_outputs = total.shape
    if n_outputs <= COLUMN_ROWS:
        rows = total.reshape((n_outputs, n_inputs))
        for j in range(n_outputs):
            for i in range(n_inputs):
                out[i, j] = out[i, j] + rows[j, i] if accumulate else rows[j, i]
    else:
        _write(total.reshape(-1), accumulate, out.reshape(-1))


@inline
def _write(values: Any, accumulate: bool, out: Any) -> None:
    """Write or add the values."""
    for i in range(values.size):
        out[i] = out[i] + values[i] if accumulate else values[i]


@inline
def _add_multiple(values: Any, l2: Any, out: Any) -> float:
    """Add l2 * values; return the squared norm of the values, or 0 without a penalty."""
    if l2 == 0:
        return 0.0
    for i in range(values.size):
        out[i] += l2 * values[i]
    norm: float = sum_of_squares(values)
    return norm
