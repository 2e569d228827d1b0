"""Which rows of a mostly-zero matrix to pack together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import ROWS_OF_GROUP


def similar_rows(x: NDArray[Any]) -> NDArray[np.int64]:
    """Order rows so that those of one group have their non-zeros in much the same places.

    A group stores, and multiplies, every position where one of its rows is not zero. It begins with the row that has
    most non-zeros of those left, and takes in the row that differs in the fewest positions from the rows it holds.

    Parameters
    ----------
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_inputs)
        Inputs. The time grows with the square of the rows: some thousand are enough.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Row numbers, for `pack_rows`; the first three make the first group, and so on. Of equals the first comes
        first.
    """
    left = np.argsort(-np.count_nonzero(x, axis=1), kind="stable")
    nonzero = x[left] != 0
    order: list[int] = []
    while len(left):
        group = nonzero[0]
        for _ in range(min(ROWS_OF_GROUP, len(left))):
            is_first = len(order) % ROWS_OF_GROUP == 0
            chosen = 0 if is_first else np.count_nonzero(nonzero ^ group, axis=1).argmin()
            group = group | nonzero[chosen]
            order.append(left[chosen])
            left, nonzero = np.delete(left, chosen), np.delete(nonzero, chosen, axis=0)
    return np.array(order, np.int64)
