"""Samples handed out in tiles of rows, dense or packed.

A tile is small enough for its activations to stay in cache, so that a batch of any size, in memory or mapped
from a file, costs the memory of one tile. A tile has all its rows in order, or is gathered from a shuffled batch.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from fastfnn_kernels.packing import Compressed, Packed, PackedBatches, join_batches
from numpy.typing import NDArray

from fastfnn.csr import Csr, compress_entries, pack_entries, take_rows, write_dense
from fastfnn.memory import aligned_empty
from fastfnn.row_patterns import row_patterns, sample_step, telling_columns

# Rows that run forward and backward together.
TILE_ROWS = 3072

# Of dense samples in kernels that cut long sums into chunks themselves: the threads meet less often.
LARGE_TILE_ROWS = 3 * TILE_ROWS

Rows = slice | NDArray[np.int64]


Tile = NDArray[Any] | Packed


class Samples(Protocol):
    """Rows that can be had in the network's dtype, dense or packed."""

    n_rows: int

    def dense(self, rows: Rows) -> NDArray[Any]:
        """Return at most `LARGE_TILE_ROWS` rows; they are valid until the next ones are asked for."""
        ...

    def packed(self, rows: Rows) -> Packed:
        """Pack these rows."""
        ...

    def packed_alike(self, rows: slice) -> Packed:
        """Pack these rows for many uses: those with their non-zeros in much the same columns together."""
        ...

    def patterns(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return numbers that are close to each other for rows with their non-zeros in much the same columns."""
        ...

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Pack these rows in batches."""
        ...

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Store these rows one by one."""
        ...


class ArraySamples:
    """Samples in an array or memmap, converted as they are asked for; uint8 is scaled."""

    def __init__(self, X: NDArray[Any], dtype: np.dtype[Any], scale: float, kernels: ModuleType) -> None:
        self.n_rows = len(X)
        self._is_mapped = isinstance(X, np.memmap)
        self._kernels = kernels
        self._X = np.asarray(X)
        self._dtype = dtype
        self._scale = scale if X.dtype == np.uint8 else 1.0
        self._gathered = _Buffer(self._X, X.dtype)
        self._converted = _Buffer(self._X, dtype)

    def dense(self, rows: Rows) -> NDArray[Any]:
        """Return these rows, where they lie if they need no conversion."""
        taken = self._take(rows)
        if taken.dtype == self._dtype and taken.flags.c_contiguous:
            return taken
        converted = self._converted.rows(len(taken))
        if taken.dtype == np.uint8:
            np.multiply(taken, self._dtype.type(self._scale), out=converted)
        else:
            converted[...] = taken
        return converted

    def packed(self, rows: Rows) -> Packed:
        """Pack these rows."""
        x, taken = self._contiguous(rows)
        packed: Packed = self._kernels.pack_rows(x, self._dtype, self._scale, taken)
        return packed

    def packed_alike(self, rows: slice) -> Packed:
        """Pack these rows for many uses: those with their non-zeros in much the same columns together."""
        x, _ = self._contiguous(rows)
        return _packed_in_order(self, np.arange(rows.start, rows.stop), self._kernels.similar_rows(x))

    def patterns(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return numbers that are close to each other for rows with their non-zeros in much the same columns.

        A mapped file is not read once more to find all of them beforehand: those of these rows are found each time.
        """
        return row_patterns(self._X[rows], self._columns) if self._is_mapped else self._patterns[rows]

    @functools.cached_property
    def _columns(self) -> NDArray[np.int64]:
        return telling_columns(self._X[:: sample_step(self.n_rows)])

    @functools.cached_property
    def _patterns(self) -> NDArray[np.uint16]:
        return row_patterns(self._X, self._columns)

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Pack these rows in batches."""
        x, taken = self._contiguous(rows)
        packed: PackedBatches = self._kernels.pack_batches(x, self._dtype, batch_size, self._scale, taken)
        return packed

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Store these rows one by one."""
        x, taken = self._contiguous(rows)
        compressed: Compressed = self._kernels.compress_rows(x, self._dtype, self._scale, taken)
        return compressed

    def _contiguous(self, rows: Rows) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return a contiguous array, and which of its rows these are, None for all."""
        if isinstance(rows, slice) or not self._X.flags.c_contiguous:
            return np.ascontiguousarray(self._X[rows]), None
        return self._X, rows

    def _take(self, rows: Rows) -> NDArray[Any]:
        # `take` would first copy an array that is not contiguous as a whole.
        if isinstance(rows, slice) or not self._X.flags.c_contiguous:
            return self._X[rows]
        return self._X.take(rows, 0, out=self._gathered.rows(len(rows)), mode="clip")


class CsrSamples:
    """Samples in compressed sparse rows; uint8 is scaled."""

    def __init__(self, csr: Csr, dtype: np.dtype[Any], scale: float) -> None:
        self.n_rows = csr.shape[0]
        values = csr.values.astype(dtype, copy=False)
        self._csr = csr._replace(values=values * dtype.type(scale) if csr.dtype == np.uint8 else values)
        self._written = _Buffer(csr, dtype)

    def dense(self, rows: Rows) -> NDArray[Any]:
        """Write these rows out in full."""
        entries = take_rows(self._csr, rows)
        written = self._written.rows(entries.shape[0])
        write_dense(entries, written)
        return written

    def packed(self, rows: Rows) -> Packed:
        """Pack these rows."""
        return pack_entries(take_rows(self._csr, rows))

    def packed_alike(self, rows: slice) -> Packed:
        """Pack these rows as they come: their columns are too many to be compared."""
        return self.packed(rows)

    def patterns(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return numbers that are close to each other for rows with their non-zeros in much the same columns."""
        return self._patterns[rows]

    @functools.cached_property
    def _patterns(self) -> NDArray[np.uint16]:
        columns = telling_columns(take_rows(self._csr, np.arange(0, self.n_rows, sample_step(self.n_rows))))
        tiles = [slice(first, min(first + TILE_ROWS, self.n_rows)) for first in range(0, self.n_rows, TILE_ROWS)]
        return np.concatenate([row_patterns(take_rows(self._csr, rows), columns) for rows in tiles])

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Pack these rows in batches."""
        batches = [self.packed(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
        return join_batches(batches, batch_size, self._csr.shape[1], self._csr.dtype)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Store these rows one by one."""
        return compress_entries(take_rows(self._csr, rows))


class Tiles(Protocol):
    """Samples that can be had tile by tile, each of `tile_rows` rows at most."""

    n_rows: int
    tile_rows: int
    is_packed: bool

    def tile(self, first: int, end: int) -> Tile:
        """Return rows first:end, where `first` is a multiple of `tile_rows`; valid until the next are asked for."""
        ...

    def gather(self, rows: NDArray[np.int64]) -> Tile:
        """Return at most `tile_rows` rows in the order given; valid until the next are asked for."""
        ...

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Return rows in the order given, one by one."""
        ...


class DenseTiles:
    """Tiles that are arrays."""

    is_packed = False

    def __init__(self, samples: Samples, tile_rows: int) -> None:
        self.n_rows = samples.n_rows
        self.tile_rows = tile_rows
        self._samples = samples
        self._latest: tuple[int, int] | None = None
        self._tile: Any = None

    def tile(self, first: int, end: int) -> NDArray[Any]:
        """Return rows first:end; the only tile of few samples is converted once."""
        if self._latest != (first, end):
            self._latest, self._tile = (first, end), self._samples.dense(slice(first, end))
        tile: NDArray[Any] = self._tile
        return tile

    def gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows in the order given."""
        self._latest = None  # its memory is taken
        return self._samples.dense(rows)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Return rows in the order given, one by one."""
        return self._samples.compressed(rows)


class PackedTiles:
    """Tiles of mostly-zero samples, packed as they are asked for unless they are kept."""

    tile_rows = TILE_ROWS
    is_packed = True

    def __init__(self, samples: Samples) -> None:
        self.n_rows = samples.n_rows
        self._samples = samples
        self._kept: list[Packed] = []

    def keep(self, max_bytes: int) -> bool:
        """Pack all tiles once and for all; keep none, and return False, if they take more than `max_bytes`."""
        tiles, n_bytes = [], 0
        for first in range(0, self.n_rows, self.tile_rows):
            tile = self._samples.packed_alike(slice(first, min(first + self.tile_rows, self.n_rows)))
            n_bytes += tile.nbytes
            if n_bytes > max_bytes:
                return False
            tiles.append(tile)
        self._kept = tiles
        return True

    def tile(self, first: int, end: int) -> Packed:
        """Return rows first:end."""
        return self._kept[first // self.tile_rows] if self._kept else self._samples.packed(slice(first, end))

    def gather(self, rows: NDArray[np.int64]) -> Packed:
        """Return rows in the order given; those that are alike are packed together."""
        return _packed_in_order(self._samples, rows, np.argsort(self._samples.patterns(rows), kind="stable"))

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Return rows in the order given, in batches."""
        return self._samples.batches(rows, batch_size)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Return rows in the order given, one by one."""
        return self._samples.compressed(rows)


def _packed_in_order(samples: Samples, rows: NDArray[np.int64], order: NDArray[np.int64]) -> Packed:
    """Pack these rows in groups that take them in some order."""
    return samples.packed(rows[order])._replace(order=order.astype(np.int32))


class _Buffer:
    """Memory of one tile, taken when it is first needed."""

    def __init__(self, X: NDArray[Any] | Csr, dtype: np.dtype[Any]) -> None:
        self._shape = (min(LARGE_TILE_ROWS, X.shape[0]), X.shape[1])
        self._dtype = np.dtype(dtype)
        self._array: NDArray[Any] | None = None

    def rows(self, n_rows: int) -> NDArray[Any]:
        if self._array is None:
            self._array = aligned_empty(self._shape, self._dtype)
        return self._array[:n_rows]
