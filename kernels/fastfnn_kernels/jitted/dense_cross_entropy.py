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
from fastfnn_kernels.jitted._llvm.operands import Operand, ptr
from fastfnn_kernels.jitted._products.block_product import BLOCK_ROWS
from fastfnn_kernels.jitted._products.cross_entropy_rows import (
    count_right,
    sum_of_losses,
    write_cross_entropy_gradient,
)
from fastfnn_kernels.jitted._products.fused_activations import CODES, multiply_by_derivative
from fastfnn_kernels.jitted._products.in_place_product import multiply_in_place
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.optional_arguments import NO_BIAS, gradients_to_write
from fastfnn_kernels.jitted._products.panels import transpose
from fastfnn_kernels.jitted._products.tasks import next_task, number_of_shares
from fastfnn_kernels.jitted._products.tile_product import DEPTH_CHUNK, rows_of_share
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns


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


class _Block(NamedTuple):
    """The arrays for a block of rows; all but the first three are a worker's own memory."""

    x: Any
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
    transposed = np.empty((n_classes, n_handed_back), x.dtype)
    transpose(weights[:n_handed_back], transposed)
    logits = np.empty(grad.shape, x.dtype)
    maxima, totals = np.empty((n_threads, BLOCK_ROWS), x.dtype), np.empty((n_threads, BLOCK_ROWS), x.dtype)
    product = np.empty((n_threads, BLOCK_ROWS, n_handed_back), x.dtype)
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
                    x[first:end], labels[first:end], out[first:end], logits[worker, :n], grad[worker, :n],
                    grad_to_read[worker, :n], maxima[worker], totals[worker], product[worker, :n],
                )  # fmt: skip
                loss, n_correct = _forward(block, weights, bias, scale)
                losses[share] += loss
                counts[share] += n_correct
                if with_gradients:
                    _add_products(block, weight_sums[share], bias_sums[share])
                    _write_input_gradient(block, transposed, derivative)
    if with_gradients:
        _deliver(weight_sums.reshape((n_shares, n_classes * n_inputs)), accumulate, n_inputs, out_weights.reshape(-1))
        _deliver(bias_sums, accumulate, 1, out_bias)


@inline
def _forward(block: _Block, weights: Any, bias: Any, scale: Any) -> tuple[float, int]:
    """Compute the logits and their gradient; return the loss and the number of correct rows."""
    x, logits, labels = block.x, block.logits, block.labels
    n_rows, n_inputs = x.shape
    for k in range(0, max(n_inputs, 1), DEPTH_CHUNK):
        chunk = min(DEPTH_CHUNK, n_inputs - k)
        start = bias[: bias.size if k == 0 else 0]
        part = Operand(ptr(x), k, n_inputs, 1)
        multiply_in_place(part, n_rows, weights[k : k + chunk], chunk, start, k > 0, -np.inf, logits)
    write_cross_entropy_gradient(logits, labels, 0, n_rows, scale, block.grad, block.maxima, block.totals)
    loss = sum_of_losses(logits, labels, 0, n_rows, block.maxima, block.totals)
    return loss, count_right(logits, labels, 0, n_rows)


@inline
def _add_products(block: _Block, weight_sum: Any, bias_sum: Any) -> None:
    """Add g^T x, the transpose of the weight gradient: its rows fill vectors, while there are few classes."""
    x, grad = block.x, block.grad_to_read
    n_rows, n_classes = grad.shape
    nothing = x[0, :0]
    multiply_in_place(Operand(ptr(grad), 0, 1, n_classes), n_classes, x, n_rows, nothing, True, -np.inf, weight_sum)
    add_sums_of_columns(grad, 0, n_rows, 0, bias_sum.size, bias_sum)


@inline
def _write_input_gradient(block: _Block, transposed: Any, derivative: int) -> None:
    """Write (g w^T) * f'(x), possibly over x, which is no longer needed."""
    grad, product = block.grad_to_read, block.product
    n_rows, n_classes = grad.shape
    nothing = grad[0, :0]
    columns = Operand(ptr(grad), 0, n_classes, 1)
    multiply_in_place(columns, n_rows, transposed, n_classes, nothing, False, -np.inf, product)
    multiply_by_derivative(product.reshape(-1), block.x.reshape(-1), derivative)
    copy(product.reshape(-1), block.out.reshape(-1))


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
