"""The output layer with its loss and all gradients, computed block by block of rows.

A block's inputs are read from memory once. They are still in the second-level cache when their gradient is written.
Rows are divided into shares, depending on their number only. Each share has its own sum of the weight gradient, and
these sums are added in order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    Flag,
    In1,
    In2,
    In3,
    Int,
    IntegersIn1,
    Out1,
    Out2,
    Out3,
    OutDoubles1,
    OutIntegers1,
    Real,
    inline,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._llvm.dense_tiles import flat_tail_tile, flat_tile
from fastfnn_kernels.jitted._llvm.operands import Finish, Operand, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import FLAT_TILE
from fastfnn_kernels.jitted._products.block_product import BLOCK_ROWS, Product, multiply_block
from fastfnn_kernels.jitted._products.cross_entropy_rows import (
    count_right,
    sum_of_losses,
    write_cross_entropy_gradient,
)
from fastfnn_kernels.jitted._products.fused_activations import CODES, IDENTITY, RELU, floor_of, multiply_by_derivative
from fastfnn_kernels.jitted._products.later_layers import pack_columns
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.optional_arguments import NO_BIAS, gradients_to_write
from fastfnn_kernels.jitted._products.panels import (
    aligned_empty,
    fill_transposed_panel,
    number_of_panels,
    padded_bias,
    width_of_panel,
)
from fastfnn_kernels.jitted._products.tasks import next_task, number_of_shares
from fastfnn_kernels.jitted._products.tile_product import TILE_VECTORS, VECTOR_BYTES, rows_of_share
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns

FLAT_ROWS, FLAT_VECTORS = FLAT_TILE.rows, FLAT_TILE.vectors


def dense_cross_entropy(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    labels: NDArray[np.int64],
    scale: float | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
    out_weights: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    accumulate: bool = False,
    with_gradients: bool = True,
) -> tuple[float, int, NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]:
    """Compute the loss of an output layer and its gradients; see `fastfnn_kernels.reference.dense_cross_entropy`."""
    n_rows, n_inputs = x.shape
    if with_gradients:
        out = np.empty_like(x) if out is None else out
        given = (out_weights, out_bias, bias is not None, accumulate)
        out_weights, out_bias = gradients_to_write(n_inputs, weights, *given)
        gradients = (out, out_weights, NO_BIAS[x.dtype] if out_bias is None else out_bias)
    else:
        gradients = (np.empty((0, n_inputs), x.dtype), np.empty((0, weights.shape[1]), x.dtype), NO_BIAS[x.dtype])
    scale = 1 / max(n_rows, 1) if scale is None else scale
    layer = (x, weights, NO_BIAS[x.dtype] if bias is None else bias)
    n_shares = number_of_shares(n_rows, BLOCK_ROWS)
    losses, counts = np.zeros(n_shares), np.zeros(n_shares, np.int64)
    operations = (6 if with_gradients else 2) * n_rows * weights.size
    n_threads = threads_for(operations)
    grad = np.empty((n_threads, BLOCK_ROWS, weights.shape[1]), x.dtype)
    _propagate(
        operations, x.dtype, *layer, labels, scale, CODES[activation], accumulate, with_gradients,
        n_threads, *gradients, grad, grad, losses, counts,
    )  # fmt: skip
    loss, n_correct = scale * float(losses.sum()), int(counts.sum())
    return (loss, n_correct, out, out_weights, out_bias) if with_gradients else (loss, n_correct, None, None, None)


class _Layer(NamedTuple):
    """The output layer, packed for its products."""

    columns: Any  # the weights packed by columns, for the forward product
    bias: Any  # padded with zeros to a whole number of panels
    rows: Any  # the weights packed by rows, for the input gradient
    zeros: Any  # as many as the columns of the panels of rows
    derivative: Any


class _Block(NamedTuple):
    """The arrays for a block of rows; all but the first three are a worker's own memory."""

    x: Any  # followed by the rows of the next blocks
    labels: Any
    out: Any
    logits: Any
    grad: Any  # of the logits
    grad_to_read: Any  # the same as `grad`, but read-only like x, so that one product is compiled for both
    maxima: Any  # of the logits
    totals: Any  # of their exponentials
    product: Any


@kernel
def _propagate(
    x: In2,
    weights: In2,
    bias: In1,
    labels: IntegersIn1,
    scale: Real,
    derivative: Int,
    accumulate: Flag,
    with_gradients: Flag,
    n_threads: Int,
    out: Out2,
    out_weights: Out2,
    out_bias: Out1,
    grad: Out3,
    grad_to_read: In3,
    losses: OutDoubles1,
    counts: OutIntegers1,
) -> None:
    """Write the gradients and each share's sum of losses and number of correct rows; `out` may be x."""
    n_rows, n_inputs = x.shape
    n_shares, n_classes = losses.size, weights.shape[1]
    n_handed_back = n_inputs if with_gradients else 0
    columns, padded, rows, zeros = _packed(weights, bias, n_handed_back)
    layer = _Layer(columns, padded, rows, zeros, derivative)
    logits = np.empty(grad.shape, x.dtype)
    maxima, totals = np.empty((n_threads, BLOCK_ROWS), x.dtype), np.empty((n_threads, BLOCK_ROWS), x.dtype)
    product = np.empty((n_threads, BLOCK_ROWS, n_handed_back if derivative > RELU else 0), x.dtype)
    weight_sums = np.zeros((n_shares, n_classes, n_handed_back), x.dtype)
    bias_sums = np.zeros((n_shares, out_bias.size), x.dtype)
    counters = np.zeros(n_threads, np.int64)
    for worker in prange(n_threads):
        while True:
            share = next_task(counters, worker, n_shares)
            if share >= n_shares:
                break
            first_of_share, end_of_share = rows_of_share(n_rows, share, n_shares)
            for first in range(first_of_share, end_of_share, BLOCK_ROWS):
                end = min(first + BLOCK_ROWS, end_of_share)
                n = end - first
                block = _Block(
                    x[first:end_of_share], labels[first:end], out[first:end], logits[worker, :n], grad[worker, :n],
                    grad_to_read[worker, :n], maxima[worker], totals[worker], product[worker, :n],
                )  # fmt: skip
                loss, n_correct = _forward(block, layer, scale)
                losses[share] += loss
                counts[share] += n_correct
                if with_gradients:
                    _add_products(block, layer, weight_sums[share], bias_sums[share])
                    _write_input_gradient(block, layer)
    if with_gradients:
        _deliver(weight_sums.reshape((n_shares, n_classes * n_inputs)), accumulate, n_inputs, out_weights.reshape(-1))
        _deliver(bias_sums, accumulate, 1, out_bias)


@inline
def _packed(weights: Any, bias: Any, n_handed_back: int) -> tuple[Any, Any, Any, Any]:
    """Pack the weights by columns, and the first `n_handed_back` rows by rows; pad the bias, and zeros."""
    n_inputs, n_classes = weights.shape
    lanes = VECTOR_BYTES // weights.itemsize
    wide = TILE_VECTORS * lanes
    n_panels, n_back = number_of_panels(n_classes, wide), number_of_panels(n_handed_back, wide)
    columns, rows = (
        aligned_empty(n_panels * wide * n_inputs, weights.dtype),
        aligned_empty(n_back * wide * n_classes, weights.dtype),
    )
    pack_columns(weights, 0, n_inputs, columns)
    for panel in range(n_back):
        j, width = panel * wide, width_of_panel(panel, n_handed_back, wide, lanes)
        fill_transposed_panel(weights, 0, n_classes, j, width, rows, j * n_classes)
    zeros = np.zeros(max(n_back, 1) * wide, weights.dtype)
    return columns, padded_bias(bias, n_classes, wide), rows, zeros


@inline
def _forward(block: _Block, layer: _Layer, scale: Any) -> tuple[float, int]:
    """Compute the logits and their gradient; return the loss and the number of correct rows."""
    logits, labels = block.logits, block.labels
    n_rows, gated = labels.size, labels.size < 0
    floor = floor_of(IDENTITY, logits)
    product = Product(
        block.x, layer.columns, layer.columns, 0, layer.bias, layer.zeros, floor, block.grad_to_read, gated, logits
    )
    n_panels = number_of_panels(logits.shape[1], TILE_VECTORS * (VECTOR_BYTES // logits.itemsize))
    multiply_block(product, logits[:0], 0, n_rows, 0, n_panels)
    write_cross_entropy_gradient(logits, labels, 0, n_rows, scale, block.grad, block.maxima, block.totals)
    loss = sum_of_losses(logits, labels, 0, n_rows, block.maxima, block.totals)
    return loss, count_right(logits, labels, 0, n_rows)


@inline
def _add_products(block: _Block, layer: _Layer, weight_sum: Any, bias_sum: Any) -> None:
    """Add g^T x, the transpose of the weight gradient: its rows fill vectors, while there are few classes."""
    x, grad = block.x, block.grad_to_read
    n_rows, n_classes = grad.shape
    n_inputs = x.shape[1]
    wide = FLAT_VECTORS * (VECTOR_BYTES // x.itemsize)
    finish = Finish(ptr(layer.zeros), 0, True, floor_of(IDENTITY, weight_sum))
    for first in range(0, n_classes, FLAT_ROWS):
        a = Operand(ptr(grad), first, 1, n_classes)
        for j in range(0, n_inputs, wide):
            b = Panel(ptr(x), j, n_inputs, n_rows)
            n_high, n_wide = min(FLAT_ROWS, n_classes - first), min(wide, n_inputs - j)
            c = Target(ptr(weight_sum), first * n_inputs + j, n_inputs, n_high, n_wide)
            if n_wide == wide:
                flat_tile(a, b, c, finish)
            else:
                flat_tail_tile(a, b, c, finish)
    add_sums_of_columns(grad, 0, n_rows, 0, bias_sum.size, bias_sum)


@inline
def _write_input_gradient(block: _Block, layer: _Layer) -> None:
    """Write (g w^T) * f'(x), possibly over x, which is no longer needed."""
    grad, x, out, derivative = block.grad_to_read, block.x, block.out, layer.derivative
    target = block.product if derivative > RELU else out
    floor = floor_of(IDENTITY, out)
    product = Product(grad, layer.rows, layer.rows, 0, layer.zeros, layer.zeros, floor, x, derivative == RELU, target)
    n_panels = number_of_panels(out.shape[1], TILE_VECTORS * (VECTOR_BYTES // out.itemsize))
    multiply_block(product, out[:0], 0, grad.shape[0], 0, n_panels)
    if derivative > RELU:
        multiply_by_derivative(target.reshape(-1), x[: grad.shape[0]].reshape(-1), derivative)
        copy(target.reshape(-1), out.reshape(-1))


@inline
def _deliver(sums: Any, accumulate: bool, n_columns: int, out: Any) -> None:
    """Write or add the transpose of the total of the shares' sums, a matrix with `n_columns` columns."""
    n_shares, size = sums.shape
    total = np.zeros(size, sums.dtype)
    for share in range(n_shares):
        one = sums[share]
        for i in range(size):
            total[i] += one[i]
    n_rows = size // max(n_columns, 1)
    for j in range(n_columns):
        for i in range(n_rows):
            value = total[i * n_columns + j]
            out[j * n_rows + i] = out[j * n_rows + i] + value if accumulate else value
