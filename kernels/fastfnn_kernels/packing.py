"""The forms in which mostly-zero inputs are stored, so that their zeros are not multiplied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Three share each load of the other operand, which is what the product would wait for; a fourth would add more zeros
# than it saves loads.
ROWS_OF_GROUP = 3


class Packed(NamedTuple):
    """A matrix as groups of three rows that share the columns of their non-zeros.

    It is block compressed sparse row storage with blocks of three by one, the rows in any order.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Group g's entries are `offsets[g]:offsets[g + 1]`.
    indices : ndarray of int32, shape (n_entries,)
        Column of each entry, ascending within a group.
    values : ndarray, shape (n_entries, 3)
        The entry in each of the three rows; zero in a row that has none there, or behind the last row.
    order : ndarray of int32, shape (n_rows,)
        Which rows of the matrix the groups hold: those of group g are `order[3 * g : 3 * g + 3]`.
    shape : (int, int)
        (n_rows, n_columns) of the matrix.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    order: NDArray[np.int32]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes the arrays take."""
        return sum(array.nbytes for array in self[:4])


class PackedBatches(NamedTuple):
    """Batches of rows, one behind the other, each packed on its own: no group has rows of two of them.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Group g's entries are `offsets[g]:offsets[g + 1]`. Each batch has as many groups as its rows need.
    indices : ndarray of int32, shape (n_entries,)
        As in `Packed`.
    values : ndarray, shape (n_entries, 3)
        As in `Packed`.
    batch_size : int
        Rows of a batch; the last one has what is left.
    shape : (int, int)
        (n_rows, n_columns) of all batches together.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    batch_size: int
    shape: tuple[int, int]

    def batches(self) -> Iterator[Packed]:
        """Yield each batch; its arrays are views."""
        (n_rows, n_columns), n_groups = self.shape, number_of_groups(self.batch_size)
        for first_row in range(0, n_rows, self.batch_size):
            first = first_row // self.batch_size * n_groups
            offsets = self.offsets[first : first + n_groups + 1]
            entries = slice(offsets[0], offsets[-1])
            taken = min(self.batch_size, n_rows - first_row)
            order = np.arange(taken, dtype=np.int32)
            yield Packed(offsets - offsets[0], self.indices[entries], self.values[entries], order, (taken, n_columns))


class Compressed(NamedTuple):
    """A matrix as rows of non-zeros: compressed sparse row storage.

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
        """Bytes the three arrays take."""
        return self.offsets.nbytes + self.indices.nbytes + self.values.nbytes


def join_batches(batches: Sequence[Packed], batch_size: int, n_columns: int, dtype: Any) -> PackedBatches:
    """Join batches that were packed each on its own, all but the last of `batch_size` rows.

    Parameters
    ----------
    batches : sequence of Packed
        Their rows in order.
    batch_size : int
        Rows of each, but for the last, which may have fewer.
    n_columns : int
        Columns of each.
    dtype : float32 or float64
        dtype of their values.

    Returns
    -------
    PackedBatches
        Copies of their entries.
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


def number_of_groups(n_rows: int) -> int:
    """Return how many groups hold `n_rows` rows."""
    return -(-n_rows // ROWS_OF_GROUP)


def number_of_groups_in_batches(n_rows: int, batch_size: int) -> int:
    """Return how many groups hold `n_rows` rows in batches, none with rows of two."""
    n_whole, n_left = divmod(n_rows, batch_size)
    return n_whole * number_of_groups(batch_size) + number_of_groups(n_left)


def unpack(packed: Packed) -> NDArray[Any]:
    """Write a packed matrix out in full.

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
