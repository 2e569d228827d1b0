"""Samples in row blocks, dense or packed.

A row block is small enough for its activations to stay in cache. A batch of any size, in memory or in a mapped file,
needs the memory of one block. A block holds successive rows, or rows gathered from a shuffled batch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from fastfnn_kernels.packing import Compressed, Packed, PackedBatches
from numpy.typing import NDArray

from fastfnn.inputs.samples import Samples, packed_in_order

RowBlock = NDArray[Any] | Packed


class RowBlocks(Protocol):
    """Samples in blocks of at most `rows_of_block` rows."""

    n_rows: int
    rows_of_block: int

    def block(self, first: int, end: int) -> RowBlock:
        """Return rows first:end, where `first` is a multiple of `rows_of_block`; valid until the next call."""
        ...

    def gather(self, rows: NDArray[np.int64]) -> RowBlock:
        """Return at most `rows_of_block` rows in the given order; valid until the next call."""
        ...

    def indexed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return an array that contains the given rows, and where they are in it; valid until the next call."""
        ...

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Return the non-zeros of rows in the given order, row by row."""
        ...


class DenseBlocks:
    """Dense row blocks, as arrays.

    Parameters
    ----------
    samples : Samples
        The rows.
    rows_of_block : int
        Largest number of rows in a block.
    keep : bool
        Whether to keep the latest block; not if other samples use its memory.
    """

    def __init__(self, samples: Samples, rows_of_block: int, keep: bool = True) -> None:
        self.n_rows = samples.n_rows
        self.rows_of_block = rows_of_block
        self._samples = samples
        self._keep = keep
        self._latest: tuple[int, int] | None = None
        self._block: Any = None

    def block(self, first: int, end: int) -> NDArray[Any]:
        """Return rows first:end; samples that fit in one block are converted once."""
        if not self._keep:
            return self._samples.dense(slice(first, end))
        if self._latest != (first, end):
            self._latest, self._block = (first, end), self._samples.dense(slice(first, end))
        block: NDArray[Any] = self._block
        return block

    def gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows in the given order."""
        self._latest = None  # its memory is reused
        return self._samples.dense(rows)

    def indexed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return an array that contains the given rows, and where they are in it."""
        self._latest = None  # its memory may be reused
        return self._samples.indexed(rows)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Return the non-zeros of rows in the given order, row by row."""
        return self._samples.compressed(rows)


class PackedBlocks:
    """Row blocks of mostly-zero samples, packed once and kept, or packed at each request.

    Parameters
    ----------
    samples : Samples
        The rows.
    rows_of_block : int
        Largest number of rows in a block.
    keep : bool
        Whether to pack all blocks now and keep them, for many passes.
    """

    def __init__(self, samples: Samples, rows_of_block: int, keep: bool = False) -> None:
        self.n_rows = samples.n_rows
        self.rows_of_block = rows_of_block
        self._samples = samples
        firsts = range(0, self.n_rows, rows_of_block) if keep else ()
        slices = [slice(first, min(first + rows_of_block, self.n_rows)) for first in firsts]
        self._kept = [samples.packed_both_ways(rows) for rows in slices]

    def block(self, first: int, end: int) -> Packed:
        """Return rows first:end."""
        return self._kept[first // self.rows_of_block] if self._kept else self._samples.packed(slice(first, end))

    def gather(self, rows: NDArray[np.int64]) -> Packed:
        """Return rows in the given order; similar rows are packed together."""
        return packed_in_order(self._samples, rows, np.argsort(self._samples.patterns(rows), kind="stable"))

    def indexed(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a dense array that contains the given rows, and where they are in it."""
        return self._samples.indexed(rows)

    def alike(self, rows: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
        """Return the rows with similar ones next to each other in each batch: packed, they take less memory."""
        batch = np.arange(len(rows)) // batch_size
        return rows[np.argsort(batch * 2**16 + self._samples.patterns(rows), kind="stable")]

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> PackedBatches:
        """Return rows in the given order, packed in batches."""
        return self._samples.batches(rows, batch_size)

    def compressed(self, rows: NDArray[np.int64]) -> Compressed:
        """Return the non-zeros of rows in the given order, row by row."""
        return self._samples.compressed(rows)
