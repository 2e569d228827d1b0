"""Facts about a data set that a plan depends on: its size, and its share of non-zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fastfnn_kernels.packing import ROWS_OF_GROUP
from numpy.typing import NDArray

from fastfnn.inputs.csr import Csr, pack_entries, take_rows

# Rows in which a density is measured, for many passes over the data and for one pass.
DENSITY_ROWS = 128
FEW_DENSITY_ROWS = 8


@dataclass(frozen=True)
class DataProfile:
    """Facts about samples.

    Attributes
    ----------
    n_rows, n_columns : int
        Shape of the samples.
    density : float
        Share of non-zeros, from 0 to 1; measured in some rows.
    packed_bytes : int
        Bytes of all samples once packed, estimated from the same rows; 0 where `is_repeated` is False.
    is_sparse : bool
        Whether the samples are a sparse array.
    is_mapped : bool
        Whether the samples are a memory-mapped file.
    is_weighted : bool
        Whether samples have weights.
    is_repeated : bool
        Whether many passes over the samples follow.
    """

    n_rows: int
    n_columns: int
    density: float = 1.0
    packed_bytes: int = 0
    is_sparse: bool = False
    is_mapped: bool = False
    is_weighted: bool = False
    is_repeated: bool = False


def profile(
    X: NDArray[Any] | Csr, dtype: np.dtype[Any], is_repeated: bool = False, is_weighted: bool = False
) -> DataProfile:
    """Measure about 8 evenly spaced rows of the samples, or about 128 for many passes.

    Parameters
    ----------
    X : ndarray or Csr, shape (n_samples, n_inputs)
        Samples from `fastfnn.inputs.validation.check_inputs`.
    dtype : dtype
        dtype of the network.
    is_repeated : bool
        Whether many passes over the samples follow.
    is_weighted : bool
        Whether the samples have weights.
    """
    n_rows, n_columns = X.shape
    step = max(1, n_rows // (DENSITY_ROWS if is_repeated else FEW_DENSITY_ROWS))
    if isinstance(X, Csr):
        density = len(X.values) / max(1, n_rows * n_columns)
        packed_bytes = _packed_bytes_of_csr(X, dtype, step) if is_repeated else 0
        return DataProfile(n_rows, n_columns, density, packed_bytes, True, False, is_weighted, is_repeated)
    # NumPy counts non-zeros several times as fast in contiguous memory.
    rows = np.ascontiguousarray(X[::step])
    density = float(np.count_nonzero(rows) / max(1, rows.size))
    packed_bytes = _packed_bytes(rows, dtype) * n_rows // max(1, len(rows)) if is_repeated else 0
    is_mapped = isinstance(X, np.memmap)
    return DataProfile(n_rows, n_columns, density, packed_bytes, False, is_mapped, is_weighted, is_repeated)


def _packed_bytes(rows: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """Return the bytes of rows packed in their own order."""
    if not len(rows):
        return 0
    stored = np.logical_or.reduceat(rows != 0, np.arange(0, len(rows), ROWS_OF_GROUP), axis=0)
    return int(np.count_nonzero(stored)) * _bytes_of_entry(dtype)


def _packed_bytes_of_csr(X: Csr, dtype: np.dtype[Any], step: int) -> int:
    """Return the bytes of all rows once packed, estimated from every `step`-th row."""
    entries = take_rows(X, np.arange(0, X.shape[0], step))
    n_bytes = len(pack_entries(entries).indices) * _bytes_of_entry(dtype)
    return n_bytes * X.shape[0] // max(1, entries.shape[0])


def _bytes_of_entry(dtype: np.dtype[Any]) -> int:
    """Return the bytes of one stored column of a group: its index, and a value for each row."""
    return np.dtype(np.int32).itemsize + ROWS_OF_GROUP * dtype.itemsize
