"""Numbers by which rows with their non-zeros in much the same columns are brought together.

Rows that are packed together store, and multiply, a column in which any of them is not zero: the more alike they are,
the fewer. Comparing all rows takes too long for a batch that is used once, but a few columns tell most of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.inputs.csr import Entries

# Columns that tell rows apart: the bits of a row's number.
TELLING_COLUMNS = 16

# Columns that they are chosen from, and rows by which.
CANDIDATE_COLUMNS = 256
SAMPLE_ROWS = 512

# A column's variance below which it tells nothing that those before it have not told.
LEAST_VARIANCE = 1e-3


def sample_step(n_rows: int) -> int:
    """Return how far apart rows are of which some 512 are spread evenly."""
    return max(1, n_rows // SAMPLE_ROWS)


def row_patterns(rows: NDArray[Any] | Entries, columns: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Give rows numbers that say which of the telling columns they are not zero in.

    Parameters
    ----------
    rows : ndarray of uint8, float32 or float64, or Entries, shape (n_rows, n_columns)
        The rows.
    columns : ndarray of int64, shape (n_telling,)
        From `telling_columns`.

    Returns
    -------
    ndarray of uint16, shape (n_rows,)
        A bit for each telling column, the highest for the most telling one: rows with numbers close to each other
        are alike.
    """
    bits = np.uint16(1) << np.arange(TELLING_COLUMNS, dtype=np.uint16)[::-1][: len(columns)]
    patterns: NDArray[np.uint16] = _marks(rows, columns) @ bits
    return patterns


def telling_columns(sample: NDArray[Any] | Entries) -> NDArray[np.int64]:
    """Choose columns whose non-zeros say most of where a row's others are.

    They are chosen one after the other, each for the variance that it explains in all candidates beyond what those
    before it do: forward selection component analysis (Puggini and McLoone, 2017), of non-zeros as ones.

    Parameters
    ----------
    sample : ndarray or Entries, shape (n_rows, n_columns)
        Some rows.

    Returns
    -------
    ndarray of int64
        At most 16 columns, the most telling one first; none that is alike in all rows.
    """
    share = _counts(sample) / max(1, sample.shape[0])
    candidates = np.argsort(share * (share - 1), kind="stable")[:CANDIDATE_COLUMNS]
    covariance = _covariance(_marks(sample, candidates), share[candidates])
    chosen: list[int] = []
    while len(chosen) < TELLING_COLUMNS:
        variance = covariance.diagonal()
        explained = np.square(covariance).sum(axis=0) / np.where(variance > LEAST_VARIANCE, variance, np.inf)
        if not explained.any():
            break
        best = int(explained.argmax())
        covariance -= np.outer(covariance[best], covariance[best] / covariance[best, best])
        chosen.append(best)
    return candidates[chosen]


def _covariance(marks: NDArray[np.bool_], share: NDArray[Any]) -> Any:
    """Return the covariance of columns of zeros and ones; the counts are exact, in whatever order they are summed."""
    ones = marks.astype(np.float32)
    together = (ones.T @ ones).astype(np.float64)
    return together / max(1, len(marks)) - np.outer(share, share)


def _counts(rows: NDArray[Any] | Entries) -> NDArray[np.int64]:
    """Count the non-zeros of each column."""
    if isinstance(rows, Entries):
        return np.bincount(rows.columns[rows.values != 0], minlength=rows.shape[1])
    counts: NDArray[np.int64] = np.count_nonzero(rows, axis=0)
    return counts


def _marks(rows: NDArray[Any] | Entries, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell where some columns are not zero."""
    if not isinstance(rows, Entries):
        marks: NDArray[np.bool_] = rows[:, columns] != 0
        return marks
    places = np.full(rows.shape[1], -1)
    places[columns] = np.arange(len(columns))
    place = places[rows.columns]
    found = (place >= 0) & (rows.values != 0)
    marks = np.zeros((rows.shape[0], len(columns)), np.bool_)
    marks[rows.rows[found], place[found]] = True
    return marks
