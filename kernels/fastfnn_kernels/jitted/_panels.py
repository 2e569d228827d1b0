"""One operand of a product, laid out as its micro-kernel reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._cpu import TILE, UNIT
from fastfnn_kernels.jitted._jit import In2, Out3, kernel
from fastfnn_kernels.jitted.activations import copy


def panels_of(matrix: NDArray[Any]) -> NDArray[Any]:
    """Cut a matrix into panels of columns as wide as a tile: (n_panels, n_rows, width).

    Behind the last column stand zeros. What is computed from them is never stored; anything else there might be slow
    numbers, such as subnormal ones.
    """
    panels = _empty_panels(matrix.shape[0], matrix.shape[1], matrix.dtype)
    _copy(matrix.size, matrix.dtype, matrix, panels)
    return panels


def panels_of_transposed(matrix: NDArray[Any]) -> NDArray[Any]:
    """Cut the transpose of a matrix into panels."""
    panels = _empty_panels(matrix.shape[1], matrix.shape[0], matrix.dtype)
    _copy_transposed(matrix.size, matrix.dtype, matrix, panels)
    return panels


def start_of_panels(panels: NDArray[Any], bias: NDArray[Any] | None) -> NDArray[Any]:
    """Lay a bias out beside its panels: (n_panels * width,), zero where there is none."""
    start = np.zeros(panels.shape[0] * panels.shape[2], panels.dtype)
    if bias is not None:
        start[: len(bias)] = bias
    return start


def _empty_panels(n_rows: int, n_columns: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    width = TILE.vectors * UNIT.lanes(dtype.itemsize)
    return np.empty((-(-n_columns // width), n_rows, width), dtype)


@kernel
def _copy(matrix: In2, panels: Out3) -> None:
    n_rows, n_columns = matrix.shape
    n_panels, _, width = panels.shape
    for panel in prange(n_panels):
        first = panel * width
        end = min(first + width, n_columns)
        for k in range(n_rows):
            copy(matrix[k, first:end], panels[panel, k])
            panels[panel, k, end - first :] = 0


@kernel
def _copy_transposed(matrix: In2, panels: Out3) -> None:
    n_columns, n_rows = matrix.shape
    n_panels, _, width = panels.shape
    for panel in prange(n_panels):
        first = panel * width
        end = min(first + width, n_columns)
        for k in range(n_rows):
            copy(matrix[first:end, k], panels[panel, k])
            panels[panel, k, end - first :] = 0
