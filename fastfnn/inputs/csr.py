"""Compressed sparse rows. SciPy sparse arrays are recognised by their `tocsr` method, so SciPy is not imported."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from fastfnn_kernels.packing import ROWS_OF_GROUP, Compressed, Packed
from numpy.typing import NDArray


class SparseArray(Protocol):
    """A sparse array or matrix of SciPy, in any format, or an object that behaves like one."""

    shape: Any
    dtype: Any

    def tocsr(self) -> Any:
        """Return the array in compressed sparse rows."""
        ...


class Csr(NamedTuple):
    """A matrix in compressed sparse rows, without duplicate entries.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_rows + 1,)
        Row i's entries are `offsets[i]:offsets[i + 1]`.
    indices : ndarray of int32 or int64, shape (n_entries,)
        Column of each entry, ascending within a row.
    values : ndarray, shape (n_entries,)
        The entries; zeros are allowed.
    shape : (int, int)
        (n_rows, n_columns).
    """

    offsets: NDArray[np.int64]
    indices: NDArray[Any]
    values: NDArray[Any]
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self.values.dtype

    def place(self, entry: int) -> tuple[int, int]:
        """Return row and column of an entry."""
        return int(np.searchsorted(self.offsets, entry, side="right")) - 1, int(self.indices[entry])


class Entries(NamedTuple):
    """Entries of selected rows of a matrix: row (its position in the selection), column, and value."""

    rows: NDArray[np.int64]
    columns: NDArray[Any]
    values: NDArray[Any]
    shape: tuple[int, int]


def as_csr(X: SparseArray, name: str) -> Csr:
    """Convert a sparse array, which stays unchanged; duplicate entries are summed.

    Raises
    ------
    ValueError
        If its index arrays are damaged.
    """
    csr = X.tocsr()
    _check_indices(csr, name)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    offsets = np.array(csr.indptr, np.int64)
    n_entries = offsets[-1]
    return Csr(offsets, csr.indices[:n_entries], csr.data[:n_entries], csr.shape)


def _check_indices(csr: Any, name: str) -> None:
    """Raise ValueError for indices that would read or write out of bounds."""
    n_rows, n_columns = csr.shape
    offsets, n_entries = csr.indptr, min(len(csr.indices), len(csr.data))
    rising = len(offsets) == n_rows + 1 and offsets[0] == 0 and bool((offsets[1:] >= offsets[:-1]).all())
    if not (rising and offsets[-1] <= n_entries):
        raise ValueError(f"{name}.indptr must rise from 0 to at most {n_entries}, its entries, in {n_rows} steps")
    columns = csr.indices[: offsets[-1]]
    if len(columns) and not 0 <= columns.min() <= columns.max() < n_columns:
        found = f"{columns.min()} to {columns.max()}"
        raise ValueError(f"{name}.indices must lie from 0 to {n_columns - 1}, its columns; got {found}")


def take_rows(csr: Csr, rows: slice | NDArray[np.int64]) -> Entries:
    """Take a slice of rows, or any rows in any order."""
    if isinstance(rows, slice):
        offsets = csr.offsets[rows.start : rows.stop + 1]
        entries: Any = slice(offsets[0], offsets[-1])
        lengths = np.diff(offsets)
    else:
        starts = csr.offsets[rows]
        lengths = csr.offsets[rows + 1] - starts
        ends = np.cumsum(lengths)
        entries = np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())
    row_of_entry = np.repeat(np.arange(len(lengths)), lengths)
    columns = csr.indices[entries].clip(0, csr.shape[1] - 1)  # in range even if someone writes to them meanwhile
    return Entries(row_of_entry, columns, csr.values[entries], (len(lengths), csr.shape[1]))


def rows_of_csr(csr: Csr, rows: slice) -> Csr:
    """Return a slice of rows as a matrix, whose entries are views."""
    offsets = csr.offsets[rows.start : rows.stop + 1]
    entries = slice(offsets[0], offsets[-1])
    shape = (rows.stop - rows.start, csr.shape[1])
    return Csr(offsets - offsets[0], csr.indices[entries], csr.values[entries], shape)


def pack_entries(entries: Entries) -> Packed:
    """Pack rows, like `pack_rows` for dense rows."""
    n_rows, n_columns = entries.shape
    n_groups = -(-n_rows // ROWS_OF_GROUP)
    groups = entries.rows // ROWS_OF_GROUP
    order = np.lexsort((_short(entries.columns, n_columns), _short(groups, n_groups)))
    groups, columns = groups[order], entries.columns[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (groups[1:] != groups[:-1]) | (columns[1:] != columns[:-1])
    values = np.zeros((np.count_nonzero(is_new), ROWS_OF_GROUP), entries.values.dtype)
    values[np.cumsum(is_new) - 1, (entries.rows % ROWS_OF_GROUP)[order]] = entries.values[order]
    offsets = np.searchsorted(groups[is_new], np.arange(n_groups + 1)).astype(np.int64)
    in_order = np.arange(n_rows, dtype=np.int32)
    return Packed(offsets, columns[is_new].astype(np.int32), values, in_order, entries.shape)


def compress_entries(entries: Entries) -> Compressed:
    """Compress rows, like `compress_rows` for dense rows."""
    offsets = np.searchsorted(entries.rows, np.arange(entries.shape[0] + 1)).astype(np.int64)
    values = np.ascontiguousarray(entries.values)
    return Compressed(offsets, entries.columns.astype(np.int32), values, entries.shape)


def write_dense(entries: Entries, out: NDArray[Any]) -> None:
    """Write rows into a dense array."""
    out[...] = 0
    out[entries.rows, entries.columns] = entries.values


def _short(numbers: NDArray[Any], end: int) -> NDArray[Any]:
    """Return numbers below `end` in 16 bits if they fit: NumPy sorts those by radix, in linear time."""
    return numbers.astype(np.uint16) if end <= 2**16 else numbers
