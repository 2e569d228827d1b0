"""The forms in which mostly-zero inputs are stored, so that their zeros are not multiplied."""

from __future__ import annotations

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


def number_of_groups(n_rows: int) -> int:
    """Return how many groups hold `n_rows` rows."""
    return -(-n_rows // ROWS_OF_GROUP)


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
