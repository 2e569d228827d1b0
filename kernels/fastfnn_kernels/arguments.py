"""Checks of a kernel's arguments, and the errors for arguments that it cannot take.

A full check takes almost as long as a small kernel. Each function therefore begins with a fast test, in as few
steps as Python allows, that nearly every array passes. Only an array that fails it goes through the complete checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from fastfnn_kernels.workspace import Workspace

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
INT64, UINT64 = np.dtype(np.int64), np.dtype(np.uint64)
DTYPES = (FLOAT32, FLOAT64)
SOURCES = (np.dtype(np.uint8), *DTYPES)

# Every kernel that computes whole layers contains these. The others run in a separate pass after a product.
FUSED_ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh")
ACTIVATIONS = (*FUSED_ACTIVATIONS, "leaky_relu", "elu", "softplus")

LOSSES = ("squared_error", "huber", "binary_cross_entropy", "poisson")

Shape = tuple[int | None, ...]  # None means any length


def require_array(name: str, array: Any) -> None:
    """Reject anything but a NumPy array."""
    if not isinstance(array, ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(array).__name__}: convert it with numpy.asarray")


def require_contiguous(name: str, array: NDArray[Any]) -> None:
    """Reject an array that is not C-contiguous."""
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; got strides {array.strides}: use numpy.ascontiguousarray")


def require_floats(name: str, array: Any, ndim: int | None) -> None:
    """Reject anything but a C-contiguous float array with `ndim` dimensions (any number if None)."""
    if (
        type(array) is ndarray
        and (array.dtype is FLOAT32 or array.dtype is FLOAT64)
        and (array.ndim == ndim or ndim is None)
        and array.flags.c_contiguous
    ):
        return
    require_array(name, array)
    if array.dtype not in DTYPES:
        raise TypeError(f"{name} must be float32 or float64; got {array.dtype}: convert it with {name}.astype")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions; got shape {array.shape}")
    require_contiguous(name, array)


def require_like(name: str, array: Any, dtype: np.dtype[Any], shape: Shape) -> None:
    """Reject an array with another dtype or shape."""
    if is_usual(array, dtype, shape):
        return
    require_floats(name, array, len(shape))
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype} as the first argument is; got {array.dtype}: use one dtype")
    for wanted, length in zip(shape, array.shape, strict=True):
        if wanted is not None and wanted != length:
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"{name} must have shape ({expected}); got {array.shape}")


def is_usual(array: Any, dtype: np.dtype[Any], shape: Shape) -> bool:
    """Return True for a plain array with this dtype and shape; False may also mean an unusual valid one."""
    return type(array) is ndarray and array.dtype is dtype and array.shape == shape and array.flags.c_contiguous


def require_matrix(name: str, array: Any, dtype: np.dtype[Any], n_rows: int | None, n_columns: int | None) -> None:
    """Reject anything but a matrix with these numbers of rows and columns (any number if None)."""
    if not is_usual_matrix(array, dtype, n_rows, n_columns):
        require_like(name, array, dtype, (n_rows, n_columns))


def is_usual_matrix(array: Any, dtype: np.dtype[Any], n_rows: int | None, n_columns: int | None) -> bool:
    """Return True for a plain matrix with this dtype and size; False may also mean an unusual valid one."""
    return (
        type(array) is ndarray
        and array.dtype is dtype
        and array.ndim == 2
        and (n_rows is None or len(array) == n_rows)
        and (n_columns is None or array.shape[1] == n_columns)
        and array.flags.c_contiguous
    )


def require_output(
    name: str, array: Any, dtype: np.dtype[Any], shape: Shape, others: Mapping[str, NDArray[Any] | None]
) -> None:
    """Reject an output that cannot be written, or that shares memory with another argument."""
    if not (type(array) is ndarray and array.dtype is dtype and array.shape == shape and array.flags.carray):
        require_like(name, array, dtype, shape)
        if not array.flags.writeable:
            raise ValueError(f"{name} is written to, but is read-only: pass a copy")
    owns_its_memory = array.base is None
    for other_name, other in others.items():
        if other is None or (owns_its_memory and other.base is None and other is not array):
            continue
        if np.may_share_memory(array, other) and np.shares_memory(array, other):
            raise ValueError(f"{name} shares memory with {other_name}: pass an array of its own")


def require_another_output(
    name: str, array: Any, dtype: np.dtype[Any], shape: Shape, others: dict[str, NDArray[Any] | None]
) -> None:
    """Apply `require_output`, then add the output to the others."""
    require_output(name, array, dtype, shape, others)
    others[name] = array


def require_source(name: str, array: Any) -> None:
    """Reject what cannot be packed: anything but a C-contiguous matrix of pixels or floats."""
    require_array(name, array)
    if array.dtype not in SOURCES:
        raise TypeError(f"{name} must be uint8, float32 or float64; got {array.dtype}: convert it with {name}.astype")
    if array.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions; got shape {array.shape}")
    require_contiguous(name, array)


def require_integers(name: str, array: Any, ndim: int = 1) -> None:
    """Reject anything but a contiguous array of int64 with `ndim` dimensions."""
    if type(array) is ndarray and array.dtype is INT64 and array.ndim == ndim and array.flags.c_contiguous:
        return
    require_array(name, array)
    if array.dtype != INT64:
        raise TypeError(f"{name} must be int64; got {array.dtype}: convert them with {name}.astype(numpy.int64)")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s' * (ndim > 1)}; got shape {array.shape}")
    require_contiguous(name, array)


def require_indices(name: str, numbers: Any, end: int, meaning: str = "") -> None:
    """Reject anything but a contiguous vector of int64 from 0 to below `end`."""
    require_integers(name, numbers)
    # Viewed as unsigned, a negative number is larger than any index.
    if len(numbers) and np.maximum.reduce(numbers.view(UINT64)) >= end:
        raise ValueError(f"{name} must lie from 0 to {end - 1}{meaning}; got {numbers.min()} to {numbers.max()}")


def require_labels(labels: Any, n_rows: int, n_classes: int, name: str = "labels") -> None:
    """Reject anything but one class number for each row."""
    require_array(name, labels)
    if labels.dtype != np.int64:
        raise TypeError(f"{name} must be int64; got {labels.dtype}: convert them with {name}.astype(numpy.int64)")
    if labels.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), one a row; got {labels.shape}")
    require_indices(name, labels, n_classes)


def require_workspace(workspace: Any) -> None:
    """Reject what is neither a workspace nor None."""
    if workspace is not None and not isinstance(workspace, Workspace):
        got = type(workspace).__name__
        raise TypeError(f"workspace must be a fastfnn_kernels.workspace.Workspace or None; got {got}: build one")


def require_activation(activation: Any, known: Sequence[str] = ACTIVATIONS) -> None:
    """Reject a name that is not one of the activations that a kernel knows."""
    if activation not in known:
        raise ValueError(f"activation must be one of {', '.join(known)}; got {activation!r}")


def require_same_lengths(names: str, first: Sequence[Any], second: Sequence[Any], third: Sequence[Any]) -> None:
    """Reject three lists that are empty or differ in length."""
    if not len(first) == len(second) == len(third) > 0:
        lengths = f"{len(first)}, {len(second)} and {len(third)}"
        raise ValueError(f"{names} must have an element for each layer; got {lengths}")


def parameter_shapes(n_inputs: int, widths: Sequence[int]) -> list[tuple[int, int]]:
    """List the shapes of the weights of layers with these widths."""
    return list(pairwise((n_inputs, *widths)))


def number_of_parameters(n_inputs: int, widths: Sequence[int], use_bias: Sequence[bool]) -> int:
    """Count the weights and biases of layers with these widths."""
    n_weights = sum(n * m for n, m in parameter_shapes(n_inputs, widths))
    return n_weights + sum(width for width, has_bias in zip(widths, use_bias, strict=True) if has_bias)
