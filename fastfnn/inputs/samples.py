"""Samples of a data set: any rows of them, converted to the network's dtype or packed."""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np
from fastfnn_kernels.arguments import SOURCES
from fastfnn_kernels.packing import Compressed, Packed, PackedBatches, join_batches, pack_columns
from fastfnn_kernels.protocol import Kernels
from fastfnn_kernels.workspace import Workspace
from numpy.typing import NDArray

from fastfnn.inputs.csr import Csr, compress_entries, pack_entries, take_rows, write_dense
from fastfnn.inputs.row_patterns import row_patterns, sample_step, telling_columns

Rows = slice | NDArray[np.int64]

# Rows whose patterns are computed at once: limits the entries of sparse samples that are copied at a time.
PATTERN_ROWS = 3072

# Columns up to which all pairs of them are compared, which takes less time than comparing the rows of one block.
COMPARED_COLUMNS = 3072


class Samples(Protocol):
    """Rows in the network's dtype, dense or packed."""

    n_rows: int

    def dense(self, rows: Rows) -> NDArray[Any]:
        """Return these rows; they are valid until the next call."""
        ...

    def indexed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a dense array that contains these rows, and where they are in it; valid until the next call."""
        ...

    def packed(self, rows: Rows) -> Packed:
        """Pack these rows."""
        ...

    def packed_alike(self, rows: slice) -> Packed:
        """Pack these rows for repeated use: rows with their non-zeros in similar columns share a group."""
        ...

    def packed_both_ways(self, rows: slice) -> Packed:
        """Pack these rows for repeated use, by rows and, where weight gradients gain from it, by columns too."""
        ...

    def patterns(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return numbers that are close for rows with their non-zeros in similar columns."""
        ...

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Pack these rows in batches, valid until the next call."""
        ...

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Store the non-zeros of these rows, row by row."""
        ...


def samples_of(
    X: NDArray[Any] | Csr,
    dtype: np.dtype[Any],
    scale: float,
    kernels: Kernels,
    workspace: Workspace | None = None,
) -> Samples:
    """Wrap a checked X.

    Parameters
    ----------
    X : ndarray or Csr, shape (n_samples, n_inputs)
        Samples from `fastfnn.inputs.validation.check_inputs`.
    dtype : dtype
        dtype of the network.
    scale : float
        Factor of uint8 numbers; floats are not scaled.
    kernels : Kernels
        Backend that packs the rows.
    workspace : Workspace, optional
        Memory for converted rows.
    """
    if isinstance(X, Csr):
        return CsrSamples(X, dtype, scale, workspace)
    return ArraySamples(X, dtype, scale, kernels, workspace)


class ArraySamples:
    """Samples in an array or a memory-mapped file, converted when rows are requested; uint8 is scaled.

    Numbers may have any real type and any layout in memory. Kernels pack bytes, float32 and float64 directly; rows of
    another type are converted first.
    """

    def __init__(
        self,
        X: NDArray[Any],
        dtype: np.dtype[Any],
        scale: float,
        kernels: Kernels,
        workspace: Workspace | None = None,
    ) -> None:
        self.n_rows = len(X)
        self._is_mapped = isinstance(X, np.memmap)
        self._kernels = kernels
        self._X = np.asarray(X)
        self._dtype = dtype
        self._scale = scale if X.dtype == np.uint8 else 1.0
        self._is_packable = X.dtype in SOURCES and self._X.flags.aligned
        self._workspace = workspace or Workspace()

    def dense(self, rows: Rows) -> NDArray[Any]:
        """Return these rows; a view of X if they need no conversion."""
        taken = self._take(rows)
        if taken.dtype == self._dtype and taken.flags.c_contiguous and taken.flags.aligned:
            return taken
        converted = self._workspace.array("converted", taken.shape, self._dtype)
        if taken.dtype == np.uint8:
            np.multiply(taken, self._dtype.type(self._scale), out=converted)
        else:
            converted[...] = taken
        return converted

    def indexed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a dense array that contains these rows, X itself if it can be, and where they are in it."""
        flags = self._X.flags
        if self._X.dtype == self._dtype and flags.c_contiguous and flags.aligned:
            return self._X, rows
        return self.dense(rows), np.arange(len(rows))

    def packed(self, rows: Rows) -> Packed:
        """Pack these rows."""
        x, taken = self._contiguous(rows)
        return self._kernels.pack_rows(x, self._dtype, self._scale, taken)

    def packed_alike(self, rows: slice) -> Packed:
        """Pack these rows for repeated use: rows with their non-zeros in similar columns share a group."""
        x, _ = self._contiguous(rows)
        return packed_in_order(self, np.arange(rows.start, rows.stop), self._kernels.similar_rows(x))

    def packed_both_ways(self, rows: slice) -> Packed:
        """Pack these rows for repeated use, by rows and by columns."""
        x, _ = self._contiguous(rows)
        columns = pack_columns(self._kernels.pack_rows, x, self._dtype, self._scale, self._column_order)
        return self.packed_alike(rows)._replace(by_columns=columns)

    def patterns(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return numbers that are close for rows with their non-zeros in similar columns.

        The patterns of a mapped file are computed at each call: computing all of them in advance would read the
        whole file once more.
        """
        return row_patterns(self._X[rows], self._columns) if self._is_mapped else self._patterns[rows]

    @functools.cached_property
    def _columns(self) -> NDArray[np.int64]:
        return telling_columns(self._X[:: sample_step(self.n_rows)])

    @functools.cached_property
    def _column_order(self) -> NDArray[np.int64]:
        """An order in which columns with their non-zeros in similar rows share a group; too many are not compared."""
        n_columns = self._X.shape[1]
        if n_columns > COMPARED_COLUMNS:
            return np.arange(n_columns)
        some = self._X[:: sample_step(self.n_rows)].T
        return self._kernels.similar_rows(some.astype(self._X.dtype if self._is_packable else self._dtype, order="C"))

    @functools.cached_property
    def _patterns(self) -> NDArray[np.uint16]:
        return row_patterns(self._X, self._columns)

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Pack these rows in batches."""
        x, taken = self._contiguous(rows)
        return self._kernels.pack_batches(x, self._dtype, batch_size, self._scale, taken, self._workspace)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Store the non-zeros of these rows, row by row."""
        x, taken = self._contiguous(rows)
        return self._kernels.compress_rows(x, self._dtype, self._scale, taken)

    def _contiguous(self, rows: Rows) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return a contiguous array to pack, and the indices of these rows in it; None for all of its rows."""
        if not self._is_packable:
            return self.dense(rows), None
        if isinstance(rows, slice) or not self._X.flags.c_contiguous:
            return np.ascontiguousarray(self._X[rows]), None
        return self._X, rows

    def _take(self, rows: Rows) -> NDArray[Any]:
        # `take` would first copy the whole of a non-contiguous array.
        if isinstance(rows, slice) or not self._X.flags.c_contiguous:
            return self._X[rows]
        gathered = self._workspace.array("gathered", (len(rows), self._X.shape[1]), self._X.dtype)
        return self._X.take(rows, 0, out=gathered, mode="clip")


class CsrSamples:
    """Samples in compressed sparse rows; uint8 is scaled."""

    def __init__(self, csr: Csr, dtype: np.dtype[Any], scale: float, workspace: Workspace | None = None) -> None:
        self.n_rows = csr.shape[0]
        values = csr.values.astype(dtype, copy=False)
        self._csr = csr._replace(values=values * dtype.type(scale) if csr.dtype == np.uint8 else values)
        self._workspace = workspace or Workspace()

    def dense(self, rows: Rows) -> NDArray[Any]:
        """Return these rows as a dense array, valid until the next call."""
        entries = take_rows(self._csr, rows)
        written = self._workspace.array("written", entries.shape, self._csr.values.dtype)
        write_dense(entries, written)
        return written

    def indexed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a dense array of these rows, and their places in it."""
        return self.dense(rows), np.arange(len(rows))

    def packed(self, rows: Rows) -> Packed:
        """Pack these rows."""
        return pack_entries(take_rows(self._csr, rows))

    def packed_alike(self, rows: slice) -> Packed:
        """Pack these rows in their own order: sparse samples have too many columns to compare the rows."""
        return self.packed(rows)

    def packed_both_ways(self, rows: slice) -> Packed:
        """Pack these rows in their own order, by rows alone: most of their columns have too few entries to gain."""
        return self.packed_alike(rows)

    def patterns(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return numbers that are close for rows with their non-zeros in similar columns."""
        return self._patterns[rows]

    @functools.cached_property
    def _patterns(self) -> NDArray[np.uint16]:
        columns = telling_columns(take_rows(self._csr, np.arange(0, self.n_rows, sample_step(self.n_rows))))
        firsts = range(0, self.n_rows, PATTERN_ROWS)
        parts = [slice(first, min(first + PATTERN_ROWS, self.n_rows)) for first in firsts]
        return np.concatenate([row_patterns(take_rows(self._csr, rows), columns) for rows in parts])

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Pack these rows in batches."""
        batches = [self.packed(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
        return join_batches(batches, batch_size, self._csr.shape[1], self._csr.dtype)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Store the non-zeros of these rows, row by row."""
        return compress_entries(take_rows(self._csr, rows))


def packed_in_order(samples: Samples, rows: NDArray[np.int64], order: NDArray[np.int64]) -> Packed:
    """Pack these rows in groups, filled in the given order."""
    return samples.packed(rows[order])._replace(order=order.astype(np.int32))
