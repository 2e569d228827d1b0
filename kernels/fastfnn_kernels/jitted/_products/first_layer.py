"""The first layer in steps on packed batches: its weights lie in panels of columns, each owned by a thread.

A panel stays in its thread's caches. Blocks of inputs, and the sums over each column of a block, do not depend on how
panels are divided among threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS
from fastfnn_kernels.jitted._products.batch_steps import Vectors
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.panels import width_of_panel
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import TILE_ROWS, VECTOR_BYTES

# Inputs in a block, whose gradient stays in a thread's caches until the update.
BLOCK_INPUTS = 256 // TILE_ROWS * TILE_ROWS


class FirstLayer(NamedTuple):
    """The first layer; a panel may be divided into shares of inputs."""

    batch_size: Any
    n_inputs: Any
    n_outputs: Any
    weights_at: Any  # in vectors like the parameters
    bias_at: Any  # -1 for none
    learns: Any
    wide: Any  # columns of a panel
    n_panels: Any
    bounds: Any  # first input of each share, and the end of the last
    in_place: Any  # whether the only panel is the matrix itself
    weights: Any  # in panels
    state: Any
    other_state: Any
    biases: Any  # where the products begin their sums
    gradients: Any  # of a block of inputs, for each thread
    firsts: Any  # of each group's entries in a block of packed inputs, for each thread
    ends: Any
    touched: Any  # whether a batch has entries of a block's inputs, for each thread
    penalised: Any  # sums of squares of each block's columns
    squares: Any


class PanelBlock(NamedTuple):
    """Some inputs and the columns of a panel."""

    first: Any
    end: Any
    column: Any
    end_column: Any
    width: Any
    place: Any  # of the panel


@inline
def panel_of(layer: FirstLayer, panel: int, first: int, end: int) -> PanelBlock:
    """Return some inputs of a panel."""
    narrow = SPARSE_TAIL_VECTORS * (VECTOR_BYTES // layer.weights.itemsize)
    column, width = panel * layer.wide, width_of_panel(panel, layer.n_outputs, layer.wide, narrow)
    return PanelBlock(first, end, column, min(column + width, layer.n_outputs), width, column * layer.n_inputs)


@inline
def tasks_of(layer: FirstLayer, worker: int, n_threads: int) -> tuple[int, int]:
    """Return a worker's first task and the end of its tasks; each is a share of the inputs in a panel."""
    tasks: tuple[int, int] = share_of(layer.n_panels * (layer.bounds.size - 1), worker, n_threads)
    return tasks


@uncounted
def exchange_with_panels(layer: FirstLayer, vectors: Vectors, into_panels: bool, worker: int, n_threads: int) -> None:
    """Copy a thread's shares of the weights and states into panels, or back, unless they are the same memory."""
    if not layer.in_place:
        _exchange(layer, vectors.parameters, layer.weights, into_panels, worker, n_threads)
        if vectors.state.size > 0:
            _exchange(layer, vectors.state, layer.state, into_panels, worker, n_threads)
        if vectors.other_state.size > 0:
            _exchange(layer, vectors.other_state, layer.other_state, into_panels, worker, n_threads)


@uncounted
def _exchange(layer: FirstLayer, vector: Any, panels: Any, into_panels: bool, worker: int, n_threads: int) -> None:
    """Copy shares from a vector like the parameters into panels, padded with zeros, or back."""
    size, n_shares = layer.n_inputs * layer.n_outputs, layer.bounds.size - 1
    matrix = vector[layer.weights_at : layer.weights_at + size].reshape((layer.n_inputs, layer.n_outputs))
    first_task, end_task = tasks_of(layer, worker, n_threads)
    for task in range(first_task, end_task):
        block = panel_of(layer, task // n_shares, layer.bounds[task % n_shares], layer.bounds[task % n_shares + 1])
        n_existing = block.end_column - block.column
        for i in range(block.first, block.end):
            row = panels[block.place + i * block.width : block.place + (i + 1) * block.width]
            if into_panels:
                copy(matrix[i, block.column : block.end_column], row)
                row[n_existing:] = 0
            else:
                copy(row[:n_existing], matrix[i, block.column : block.end_column])


@inlined
def bias_of(layer: FirstLayer, vector: Any) -> Any:
    """Return the layer's bias, or what is at its place in a vector like the parameters."""
    return vector[layer.bias_at : layer.bias_at + layer.n_outputs]
