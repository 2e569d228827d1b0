"""Facts about a data set that a plan depends on: its size, and the share of numbers that are not zero."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastfnn_kernels.packing import ROWS_OF_GROUP
from numpy.typing import NDArray

from fastfnn.inputs.csr import Csr, pack_entries, take_rows

# Rows in which a density is measured, for one pass over the data and for many. Of wide rows, only as many as have a
# million numbers are measured: counting these takes less than a millisecond (one core of an Intel Xeon).
FEW_DENSITY_ROWS = 8
DENSITY_ROWS = 128
MEASURED_NUMBERS = 2**20


class DataProfile(NamedTuple):
    """Facts about samples.

    Attributes
    ----------
    n_rows : int
        Number of samples.
    density : float
        Share of the numbers that are not zero, from 0 to 1; measured in some rows.
    packed_bytes : int or None
        Estimated size of all samples once packed, from the same rows. None where packed samples cannot be kept: in
        mapped files, and without many passes in one order.
    is_sparse : bool
        Whether the samples are a sparse array.
    is_mapped : bool
        Whether the samples are a memory-mapped file.
    is_weighted : bool
        Whether samples have weights.
    """

    n_rows: int
    density: float = 1.0
    packed_bytes: int | None = None
    is_sparse: bool = False
    is_mapped: bool = False
    is_weighted: bool = False


def profile(
    X: NDArray[Any] | Csr,
    dtype: np.dtype[Any],
    is_repeated: bool = False,
    in_order: bool = False,
    is_weighted: bool = False,
) -> DataProfile:
    """Measure samples in some rows, spread evenly over them.

    Parameters
    ----------
    X : ndarray or Csr, shape (n_samples, n_inputs)
        From `fastfnn.inputs.validation.check_inputs`.
    dtype : dtype
        dtype of the network.
    is_repeated : bool
        Whether there will be many passes over the samples. More rows are measured for them.
    in_order : bool
        Whether all passes take the samples in one order, so that packed samples can be kept.
    is_weighted : bool
        Whether the samples have weights.
    """
    n_rows, n_columns = X.shape
    n_measured = min(DENSITY_ROWS, MEASURED_NUMBERS // max(1, n_columns)) if is_repeated else 0
    step = max(1, n_rows // max(n_measured, FEW_DENSITY_ROWS))
    if isinstance(X, Csr):
        n_used = np.count_nonzero(X.values) if is_repeated else len(X.values)
        density = float(n_used / max(1, n_rows * n_columns))
        packed_bytes = _packed_bytes_of_csr(X, dtype, step) if in_order else None
        return DataProfile(n_rows, density, packed_bytes, True, False, is_weighted)
    # NumPy counts contiguous numbers several times as fast.
    rows = np.ascontiguousarray(X[::step])
    density = float(np.count_nonzero(rows) / max(1, rows.size))
    is_mapped = isinstance(X, np.memmap)
    keepable = in_order and not is_mapped
    packed_bytes = _packed_bytes(rows, dtype) * n_rows // max(1, len(rows)) if keepable else None
    return DataProfile(n_rows, density, packed_bytes, False, is_mapped, is_weighted)


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
