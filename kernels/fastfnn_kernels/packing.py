"""Storage formats for mostly-zero inputs, whose zeros are not multiplied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Loads of the other operand limit the product. Three rows share each load; a fourth would add more stored zeros than
# it saves loads.
ROWS_OF_GROUP = 3

# Rows in a chunk of a matrix stored by columns. A panel of the other operand, eight AVX-512 vectors wide, has 512 KiB
# in a chunk, which stay in a second-level cache. Sums of chunks are added in order: the bits depend on this number.
ROWS_OF_CHUNK = 1024


class PackedColumns(NamedTuple):
    """A matrix stored as groups of three columns that share the rows of their non-zeros.

    The rows are cut into chunks of 1,024, and every chunk has entries of all groups. Columns may be in any order.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_chunks * n_groups + 1,)
        The entries of chunk c and group g are `offsets[c * n_groups + g]:offsets[c * n_groups + g + 1]`.
    indices : ndarray of int32, shape (n_entries,)
        Row of each entry, counted from the chunk's first row, ascending within a group.
    values : ndarray, shape (n_entries, 3)
        The entry in each of the three columns; zero where a column has none, and past the last column.
    order : ndarray of int32, shape (n_columns,)
        Column numbers in the matrix: group g contains the columns `order[3 * g : 3 * g + 3]`.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    order: NDArray[np.int32]


class Packed(NamedTuple):
    """A matrix stored as groups of three rows that share the columns of their non-zeros.

    The format is block compressed sparse row with 3 x 1 blocks, and the rows may be in any order.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Group g's entries are `offsets[g]:offsets[g + 1]`.
    indices : ndarray of int32, shape (n_entries,)
        Column of each entry, ascending within a group.
    values : ndarray, shape (n_entries, 3)
        The entry in each of the three rows; zero where a row has none, and past the last row.
    order : ndarray of int32, shape (n_rows,)
        Row numbers in the matrix: group g contains the rows `order[3 * g : 3 * g + 3]`.
    shape : (int, int)
        (n_rows, n_columns) of the matrix.
    by_columns : PackedColumns, optional
        The same matrix stored by columns, from `pack_columns`. The weight gradient then reads these instead of the
        rows, and takes about 0.6 of the time.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    order: NDArray[np.int32]
    shape: tuple[int, int]
    by_columns: PackedColumns | None = None

    @property
    def nbytes(self) -> int:
        """Total size of the arrays."""
        return sum(array.nbytes for array in (*self[:4], *(self.by_columns or ())))


class PackedBatches(NamedTuple):
    """Consecutive batches of rows, each packed separately: no group contains rows of two batches.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Group g's entries are `offsets[g]:offsets[g + 1]`. Each batch has just enough groups for its rows.
    indices : ndarray of int32, shape (n_entries,)
        As in `Packed`.
    values : ndarray, shape (n_entries, 3)
        As in `Packed`.
    batch_size : int
        Rows in a batch; the last batch may have fewer.
    shape : (int, int)
        Total (n_rows, n_columns) of all batches.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    batch_size: int
    shape: tuple[int, int]

    def batches(self) -> Iterator[Packed]:
        """Yield each batch as views."""
        (n_rows, n_columns), n_groups = self.shape, number_of_groups(self.batch_size)
        for first_row in range(0, n_rows, self.batch_size):
            first = first_row // self.batch_size * n_groups
            offsets = self.offsets[first : first + n_groups + 1]
            entries = slice(offsets[0], offsets[-1])
            taken = min(self.batch_size, n_rows - first_row)
            order = np.arange(taken, dtype=np.int32)
            yield Packed(offsets - offsets[0], self.indices[entries], self.values[entries], order, (taken, n_columns))


class Compressed(NamedTuple):
    """A matrix in compressed sparse row (CSR) format.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_rows + 1,)
        Row i's entries are `offsets[i]:offsets[i + 1]`.
    indices : ndarray of int32, shape (n_entries,)
        Column of each entry, ascending within a row.
    values : ndarray, shape (n_entries,)
        The entries.
    shape : (int, int)
        (n_rows, n_columns) of the matrix.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Total size of the three arrays."""
        return self.offsets.nbytes + self.indices.nbytes + self.values.nbytes


def join_batches(batches: Sequence[Packed], batch_size: int, n_columns: int, dtype: Any) -> PackedBatches:
    """Join separately packed batches, all of `batch_size` rows except possibly the last.

    Parameters
    ----------
    batches : sequence of Packed
        The batches, with their rows in order.
    batch_size : int
        Rows in each batch; the last may have fewer.
    n_columns : int
        Columns in each batch.
    dtype : float32 or float64
        dtype of the values.

    Returns
    -------
    PackedBatches
        Copies of all entries.
    """
    ends = np.cumsum([0, *(len(batch.indices) for batch in batches)])
    offsets = [batch.offsets[1:] + end for batch, end in zip(batches, ends, strict=False)]
    return PackedBatches(
        np.concatenate([np.zeros(1, np.int64), *offsets]),
        np.concatenate([np.empty(0, np.int32), *(batch.indices for batch in batches)]),
        np.concatenate([np.empty((0, ROWS_OF_GROUP), dtype), *(batch.values for batch in batches)]),
        batch_size,
        (sum(batch.shape[0] for batch in batches), n_columns),
    )


def pack_columns(
    pack_rows: Callable[..., Packed], x: NDArray[Any], dtype: Any, scale: float, order: NDArray[np.int64]
) -> PackedColumns:
    """Pack a matrix by columns.

    Parameters
    ----------
    pack_rows : callable
        The kernel of this name, which packs the transpose of each chunk.
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_columns)
        The matrix.
    dtype : float32 or float64
        dtype of the values.
    scale : float
        Factor of all values.
    order : ndarray of int64, shape (n_columns,)
        Column numbers. The first three columns form the first group, and so on. Groups of columns whose non-zeros are
        in similar rows take less memory and time.

    Returns
    -------
    PackedColumns
        scale * x without its zeros.
    """
    firsts = range(0, max(len(x), 1), ROWS_OF_CHUNK)
    chunks = [pack_rows(x[first : first + ROWS_OF_CHUNK].T.copy(), dtype, scale, order) for first in firsts]
    joined = join_batches(chunks, len(order), ROWS_OF_CHUNK, dtype)
    return PackedColumns(joined.offsets, joined.indices, joined.values, order.astype(np.int32))


def number_of_groups(n_rows: int) -> int:
    """Return the number of groups for `n_rows` rows."""
    return -(-n_rows // ROWS_OF_GROUP)


def number_of_groups_in_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of groups for `n_rows` rows in batches; no group contains rows of two batches."""
    n_whole, n_left = divmod(n_rows, batch_size)
    return n_whole * number_of_groups(batch_size) + number_of_groups(n_left)


def unpack(packed: Packed) -> NDArray[Any]:
    """Write out a packed matrix in full.

    Parameters
    ----------
    packed : Packed
        From `pack_rows`.

    Returns
    -------
    ndarray, shape `packed.shape`
        The matrix.
    """
    n_rows, n_columns = packed.shape
    n_groups = number_of_groups(n_rows)
    groups = np.zeros((n_groups, n_columns, ROWS_OF_GROUP), packed.values.dtype)
    group = np.repeat(np.arange(n_groups), np.diff(packed.offsets))
    groups[group, packed.indices] = packed.values
    matrix = np.empty((n_rows, n_columns), packed.values.dtype)
    matrix[packed.order] = groups.transpose(0, 2, 1).reshape(ROWS_OF_GROUP * n_groups, n_columns)[:n_rows]
    return matrix
