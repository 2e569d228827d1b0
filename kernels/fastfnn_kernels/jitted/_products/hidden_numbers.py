"""The numbers that the kernel for one hidden layer takes: sizes, and where each part of its memory begins."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import Stack
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.flat_layers import starts_of
from fastfnn_kernels.jitted._products.fused_activations import CODES
from fastfnn_kernels.jitted._products.tile_product import TILE_VECTORS
from fastfnn_kernels.runtime.cpu import UNIT


class HiddenLayout(NamedTuple):
    """What follows from the layers alone."""

    sizes: NDArray[np.int64]
    tensor_starts: NDArray[np.int64]  # of both weights and biases in vectors like the parameters; -1 for none
    learns: NDArray[np.int64]
    n_parts: int
    n_padded: int  # units in all parts
    wide: int  # columns of a part
    n_parameters: int


# The first weights of a part, their gradient and states stay in the second-level cache up to so many inputs.
MOST_INPUTS = 2048


def has_one_hidden_layer(stack: Stack, dtype: np.dtype[Any]) -> bool:
    """Return whether threads can divide the hidden units: each computes all outputs, which must be few."""
    if len(stack.layers) != 2 or any(layer.weights_at is None for layer in stack.layers):
        return False
    hidden, last = stack.layers
    most_outputs = TILE_VECTORS * UNIT.lanes(dtype.itemsize)
    fits = stack.n_inputs <= MOST_INPUTS and last.n_outputs <= most_outputs
    return fits and hidden.n_outputs > 0 and last.activation != "relu"


@functools.lru_cache
def hidden_layout_of(stack: Stack, dtype: np.dtype[Any]) -> HiddenLayout:
    """Describe a network with one hidden layer."""
    hidden, last = stack.layers
    lanes = UNIT.lanes(dtype.itemsize)
    wide, n_units, n_outputs = TILE_VECTORS * lanes, hidden.n_outputs, last.n_outputs
    n_parts = -(-n_units // wide)
    n_left = n_units - (n_parts - 1) * wide
    n_padded = (n_parts - 1) * wide + (lanes if n_left <= lanes else wide)
    output_width = lanes if n_outputs <= lanes else wide
    places = (hidden.weights_at, hidden.bias_at, last.weights_at, last.bias_at)
    return HiddenLayout(
        np.array(
            [
                stack.n_inputs,
                n_units,
                n_outputs,
                CODES[hidden.activation],
                CODES[last.activation],
                n_parts,
                output_width,
            ]
        ),
        np.array([-1 if place is None else place for place in places]),
        np.array([int(layer.learning_rate_factor != 0) for layer in stack.layers]),
        n_parts,
        n_padded,
        wide,
        n_units * (stack.n_inputs + n_outputs),
    )


def hidden_memory_starts(
    layout: HiddenLayout, batch_size: int, itemsize: int, n_threads: int, n_states: int
) -> NDArray[np.int64]:
    """Return where each part of the memory begins, at a cache line, and the end of the last."""
    n_inputs, n_outputs, output_width = (int(layout.sizes[i]) for i in (0, 2, 6))
    line = CACHE_LINE // itemsize
    units, panels = batch_size * layout.n_padded, n_inputs * layout.n_padded
    own_outputs, own_rows = (-(-size // line) * line for size in (batch_size * n_outputs, batch_size))
    sizes = [
        3 * batch_size * n_inputs,
        units,
        units,
        2 * layout.n_parts * batch_size * n_outputs,
        n_threads * own_outputs,
        n_threads * own_outputs,
        n_threads * batch_size * output_width,
        n_threads * own_rows,
        n_threads * own_rows,
        panels,
        layout.n_parts * layout.wide,
        layout.n_padded * output_width,
        layout.n_padded * n_outputs,
        output_width,
        max(layout.wide, output_width),
        panels * (n_states > 0),
        panels * (n_states > 1),
        n_threads * n_inputs * layout.wide,
    ]
    return starts_of(-(-size // line) * line for size in sizes)
