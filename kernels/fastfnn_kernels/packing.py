"""The form in which mostly-zero inputs are stored, so that their zeros are not multiplied."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Three share each load of the other operand, which is what the product would wait for; a fourth would add more zeros
# than it saves loads.
LINES_OF_GROUP = 3


class Packed(NamedTuple):
    """A matrix as groups of three lines that share the positions of their non-zeros.

    It is block compressed sparse row storage with blocks of three by one, the lines in any order.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_groups + 1,)
        Group g's entries are `offsets[g]:offsets[g + 1]`.
    indices : ndarray of int32, shape (n_entries,)
        Position along the lines of each entry, ascending within a group.
    values : ndarray, shape (n_entries, 3)
        The entry in each of the three lines; zero in a line that has none there, or behind the last line.
    lines : ndarray of int32, shape (n_lines,)
        The lines in the order of the groups: those of group g are `lines[3 * g : 3 * g + 3]`.
    shape : (int, int)
        (n_lines, n_positions) of the matrix.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    lines: NDArray[np.int32]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes the arrays take."""
        return sum(array.nbytes for array in self[:4])


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0) -> Packed:
    """Pack the rows of scale * x, for `sparse_forward`.

    Parameters
    ----------
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_inputs)
        Inputs.
    dtype : float32 or float64
        dtype of the packed values.
    scale : float
        Factor of every value.

    Returns
    -------
    Packed
        n_rows lines of n_inputs positions.
    """
    n_lines, n_positions = x.shape
    n_groups = -(-n_lines // LINES_OF_GROUP)
    lines = np.zeros((n_groups * LINES_OF_GROUP, n_positions), x.dtype)
    lines[:n_lines] = x
    groups = lines.reshape(n_groups, LINES_OF_GROUP, n_positions)
    group, position = np.nonzero(groups.any(axis=1))
    offsets = np.searchsorted(group, np.arange(n_groups + 1)).astype(np.int64)
    values = np.ascontiguousarray(groups.transpose(0, 2, 1)[group, position], dtype)
    values *= values.dtype.type(scale)
    return Packed(offsets, position.astype(np.int32), values, np.arange(n_lines, dtype=np.int32), (n_lines, n_positions))


def pack_columns(x: NDArray[Any], dtype: Any, scale: float = 1.0) -> Packed:
    """Pack the columns of scale * x, for `sparse_weight_gradient`.

    Parameters
    ----------
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_inputs)
        Inputs.
    dtype : float32 or float64
        dtype of the packed values.
    scale : float
        Factor of every value.

    Returns
    -------
    Packed
        n_inputs lines of n_rows positions.
    """
    return pack_rows(x.T, dtype, scale)


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
    n_groups = len(packed.offsets) - 1
    groups = np.zeros((n_groups, n_positions, LINES_OF_GROUP), packed.values.dtype)
    group = np.repeat(np.arange(n_groups), np.diff(packed.offsets))
    groups[group, packed.indices] = packed.values
    matrix = np.empty((n_lines, n_positions), packed.values.dtype)
    matrix[packed.lines] = groups.transpose(0, 2, 1).reshape(LINES_OF_GROUP * n_groups, n_positions)[:n_lines]
    return matrix
