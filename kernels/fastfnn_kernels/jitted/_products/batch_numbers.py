"""The numbers that kernels of mini-batches take, from the arguments of `train_batches`."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses, Rule, Stack, StepOptions
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TILE
from fastfnn_kernels.jitted._products.flat_layers import starts_of
from fastfnn_kernels.jitted._products.fused_activations import CODES, IDENTITY
from fastfnn_kernels.jitted._products.tile_product import TILE_ROWS, TILE_VECTORS
from fastfnn_kernels.jitted._products.update_rules import N_NUMBERS, adamw_numbers
from fastfnn_kernels.runtime.cpu import UNIT

# The width of a layer is padded to a multiple of this many vectors, so that panels of both kinds of products fit.
PADDING_VECTORS = SPARSE_TILE.vectors * TILE_VECTORS

# Numbers in a block of weights, at least; the operands of its update stay in the second-level cache.
BLOCK = 1536


class Geometry(NamedTuple):
    """What follows from the layers alone."""

    table: NDArray[np.int64]  # the rows of `Sizes`, the shorter ones padded with zeros
    drop_factors: NDArray[Any]
    n_units: int  # numbers of a row in all layers
    n_biases: int  # padded to whole panels
    n_forward: int  # numbers in panels
    n_backward: int
    widest: int  # columns of the widest layer's panels
    operations_of_row: int
    layer_of_block: NDArray[np.int64]
    costs: NDArray[np.int64]  # of the blocks before each one, and of all; not those of a layer in panels of its own


class Sizes(NamedTuple):
    """Sizes of the layers, layer 0 being the inputs, and where the parts of each are; see `Layers` and `Places`."""

    widths: Any
    codes: Any
    has_bias: Any
    learns: Any
    weights_at: Any
    bias_at: Any
    tensor_at: Any
    rows_of_block: Any
    least: Any
    block_starts: Any
    bias_starts: Any
    forward_starts: Any
    backward_starts: Any
    unit_starts: Any


@functools.lru_cache
def geometry_of(stack: Stack, dtype: np.dtype[Any], packed: bool = False) -> Geometry:
    """Describe the layers; with `packed` inputs, the weights of the first lie in panels of their own."""
    layers = stack.layers
    is_dense = np.array([layer.weights_at is not None for layer in layers])
    lowest = int(is_dense.argmax())
    outputs = np.array([layer.n_outputs for layer in layers])
    inputs = np.array([stack.n_inputs, *outputs[:-1]])
    padding = PADDING_VECTORS * UNIT.lanes(dtype.itemsize)
    padded_outputs, padded_inputs = (-(-widths // padding) * padding for widths in (outputs, inputs))
    is_above = np.arange(len(layers)) > lowest
    is_given = packed & (np.arange(len(layers)) == 0)
    rows_of_block = TILE_ROWS * np.maximum(1, BLOCK // (TILE_ROWS * np.maximum(outputs, 1)))
    n_blocks = np.where(is_given, 1, -(-inputs // rows_of_block))
    tensors = starts_of(int(layer.weights_at is not None) + (layer.bias_at is not None) for layer in layers)
    sizes = Sizes(
        [stack.n_inputs, *outputs],
        [IDENTITY, *(CODES[layer.activation] for layer in layers)],
        [0, *(layer.bias_at is not None for layer in layers)],
        [0, *(layer.learning_rate_factor != 0 for layer in layers)],
        [-1, *(-1 if layer.weights_at is None else layer.weights_at for layer in layers)],
        [-1, *(-1 if layer.bias_at is None else layer.bias_at for layer in layers)],
        [0, *tensors[:-1]],
        [0, *rows_of_block],
        [0, *(int(layer.drop_rate * 2**32) for layer in layers)],
        starts_of([0, *np.where(is_dense, n_blocks + 1, 0)]),
        starts_of([0, *np.where(is_dense, padded_outputs, 0)]),
        starts_of(np.where(is_dense & ~is_given, inputs * padded_outputs, 0)),
        starts_of(np.where(is_dense & is_above, padded_inputs * outputs, 0)),
        starts_of([0 if packed else stack.n_inputs, *outputs]),
    )
    table = np.zeros((len(sizes), len(layers) + 2), np.int64)
    for row, values in zip(table, sizes, strict=True):
        row[: len(values)] = values
    factors = np.array([1.0, *(1 / (1 - layer.drop_rate) for layer in layers)], dtype)
    widest = int(max(padded_outputs.max(), padded_inputs.max()))
    operations = 6 * int((inputs * outputs)[is_dense].sum())
    layer_of_block = np.repeat(np.arange(len(sizes.widths)), np.diff(sizes.block_starts))
    vectors = -(-outputs // UNIT.lanes(dtype.itemsize))
    costs = [
        vectors[layer - 1] * max(min(rows_of_block[layer - 1], inputs[layer - 1] - first), 1)
        for layer in range(1, len(sizes.widths))
        for first in _first_rows(sizes, layer)
    ]
    n_given = sizes.block_starts[2] if packed else 0
    return Geometry(
        table, factors, int(sizes.unit_starts[-1]), int(sizes.bias_starts[-1]), int(sizes.forward_starts[-1]),
        int(sizes.backward_starts[-1]), widest, operations, layer_of_block, starts_of(costs[n_given:]),
    )  # fmt: skip


def _first_rows(sizes: Sizes, layer: int) -> list[int]:
    """Return the first row of each block of a layer's weights; behind the last row for its bias."""
    n_blocks, rows = sizes.block_starts[layer + 1] - sizes.block_starts[layer], sizes.rows_of_block[layer]
    return [*(rows * block for block in range(n_blocks - 1)), *([sizes.widths[layer - 1]] if n_blocks else [])]


def step_numbers_of(losses: RowLosses, stack: Stack, options: StepOptions, n_rows: int) -> NDArray[np.float64]:
    """Return four numbers of each step: the factors of the gradient, of both penalties, and of the sum of losses."""
    totals = _total_weights(losses, options, n_rows)
    scales = np.divide(1, totals, out=np.zeros(len(totals)), where=totals != 0)
    factors = losses.gradient_factor, options.l2, options.l2_bias, losses.value_factor
    numbers = np.tile(np.array(factors, np.float64), (len(totals), 1))
    n_outputs = 1 if losses.name == SOFTMAX_CROSS_ENTROPY else stack.layers[-1].n_outputs
    numbers[:, [0, 3]] *= (scales / n_outputs)[:, np.newaxis]
    if options.l2_of_sum:
        numbers[:, 1:3] *= scales[:, np.newaxis]
    return numbers


def _total_weights(losses: RowLosses, options: StepOptions, n_rows: int) -> NDArray[np.float64]:
    """Return the total weight of each batch: its number of rows when there are no weights."""
    if losses.weights is None:
        n_whole, n_left = divmod(n_rows, options.batch_size)
        return np.array([options.batch_size] * n_whole + [n_left] * (n_left > 0), np.float64)
    return np.array([losses.of_rows(batch).total_weight for batch in options.batches(n_rows)], np.float64)


def rule_numbers_of(rule: Rule, stack: Stack, n_steps: int) -> NDArray[np.float64]:
    """Return the numbers of `update_elements` for each step and layer, layer 0 being the inputs."""
    numbers = np.zeros((n_steps, len(stack.layers) + 1, N_NUMBERS))
    factors = np.array([1.0, *(layer.learning_rate_factor for layer in stack.layers)])
    others: dict[str, Any] = dict(rule.numbers)
    if rule.name == "adamw":
        steps = range(rule.n_before + 1, rule.n_before + n_steps + 1)
        first = np.array([[1 - others["beta1"] ** step] for step in steps])
        root = np.array([[math.sqrt(1 - others["beta2"] ** step)] for step in steps])
        if others.pop("epsilon_hat"):
            others["epsilon"] = others["epsilon"] / root
        for place, of_steps in enumerate(adamw_numbers(first, root, rule.learning_rate * factors, **others)):
            numbers[:, :, place] = of_steps
        return numbers
    numbers[:, :, 0] = rule.learning_rate * factors
    if rule.name == "momentum":
        frozen = (factors == 0) & bool(others["velocity_of_steps"])
        numbers[:, :, 1:4] = others["momentum"], others["nesterov"], others["velocity_of_steps"]
        numbers[:, :, 4] = frozen
    elif rule.name != "sgd":
        numbers[:, :, 1:4] = others["rho"], 1 - others["rho"], others["epsilon"]
    return numbers


def states_of(rule: Rule, dtype: np.dtype[Any]) -> tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[np.float64]]:
    """Return two states like the parameters, and the means of tensors; what a rule does not have is empty."""
    nothing, no_means = np.empty(0, dtype), np.empty(0)
    if rule.name == "rmsprop_tensor":
        return (nothing, nothing), rule.states[0]
    first, second = (*rule.states, nothing, nothing)[:2]
    return (first, second), no_means
