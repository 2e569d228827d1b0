"""The forms in which mostly-zero inputs are stored, so that their zeros are not multiplied."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LINES_OF_GROUP = 4


class Packed(NamedTuple):
    """A matrix as groups of four neighbouring lines that share the positions of their non-zeros.

    It is block compressed sparse row storage with blocks of four by one. Four lines share each load of the
    other operand, which is what the product waits for.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Group g's entries are `offsets[g]:offsets[g + 1]`.
    indices : ndarray of int32, shape (n_entries,)
        Position along the lines of each entry, ascending within a group.
    values : ndarray, shape (n_entries, 4)
        The entry in each of the four lines; zero in a line that has none there, or behind the last line.
    shape : (int, int)
        (n_lines, n_positions) of the matrix.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes the three arrays take."""
        return self.offsets.nbytes + self.indices.nbytes + self.values.nbytes


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


def number_of_groups(n_lines: int) -> int:
    """Return how many groups of four hold `n_lines` lines."""
    return -(-n_lines // LINES_OF_GROUP)


def unpack(packed: Packed) -> NDArray[Any]:
    """Write a packed matrix out in full.

    Parameters
    ----------
    packed : Packed
        From `pack_rows` or `pack_columns`.

    Returns
    -------
    ndarray, shape `packed.shape`
        The matrix: the inputs from `pack_rows`, their transpose from `pack_columns`.
    """
    n_lines, n_positions = packed.shape
    n_groups = number_of_groups(n_lines)
    groups = np.zeros((n_groups, n_positions, LINES_OF_GROUP), packed.values.dtype)
    group = np.repeat(np.arange(n_groups), np.diff(packed.offsets))
    groups[group, packed.indices] = packed.values
    return np.ascontiguousarray(groups.transpose(0, 2, 1).reshape(LINES_OF_GROUP * n_groups, n_positions)[:n_lines])


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0) -> Packed:
    """Pack rows with the reference, for callers that have no backend; see `reference.packing.pack_rows`."""
    from fastfnn_kernels.reference import packing

    return packing.pack_rows(x, dtype, scale)


def pack_columns(x: NDArray[Any], dtype: Any, scale: float = 1.0) -> Packed:
    """Pack columns with the reference, for callers that have no backend; see `reference.packing.pack_columns`."""
    from fastfnn_kernels.reference import packing

    return packing.pack_columns(x, dtype, scale)
