"""Checks of the arguments of kernels that pack inputs or take packed inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import (
    DTYPES,
    require_floats,
    require_indices,
    require_matrix,
    require_source,
    require_workspace,
)
from fastfnn_kernels.checks.layers import check_forward, check_gradient
from fastfnn_kernels.packing import Packed
from fastfnn_kernels.workspace import Workspace


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None) -> None:
    """Check the arguments of `pack_rows` and `compress_rows`."""
    require_source("x", x)
    _target(dtype)
    if rows is not None:
        require_indices("rows", rows, len(x), ", the rows of x")


def pack_batches(
    x: NDArray[Any],
    dtype: Any,
    batch_size: int,
    scale: float = 1.0,
    rows: NDArray[np.int64] | None = None,
    workspace: Workspace | None = None,
) -> None:
    """Check the arguments of `pack_batches`."""
    pack_rows(x, dtype, scale, rows)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    require_workspace(workspace)


def similar_rows(x: NDArray[Any]) -> None:
    """Check the argument of `similar_rows`."""
    require_source("x", x)


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `sparse_forward`."""
    _packed("rows", rows)
    require_matrix("weights", weights, rows.values.dtype, rows.shape[1], None)
    check_forward(rows.shape[0], weights, bias, activation, out, {"weights": weights, "bias": bias})


def sparse_weight_gradient(
    rows: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> None:
    """Check the arguments of `sparse_weight_gradient`."""
    _packed("rows", rows)
    require_matrix("grad", grad, rows.values.dtype, rows.shape[0], None)
    check_gradient(rows.shape[1], grad, out, out_bias, {"grad": grad})


def _target(dtype: Any) -> None:
    if np.dtype(dtype) not in DTYPES:
        raise TypeError(f"dtype must be float32 or float64; got {np.dtype(dtype)}: packed values are multiplied")


def _packed(name: str, packed: Any) -> None:
    if not isinstance(packed, Packed):
        raise TypeError(f"{name} must be a Packed matrix; got {type(packed).__name__}: pack it with pack_rows")
    require_floats(f"{name}.values", packed.values, 2)
