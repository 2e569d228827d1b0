"""Row patterns: one number per row, close for rows whose non-zeros are in similar columns.

A group of packed rows stores and multiplies every column in which any of its rows is non-zero: the more similar the
rows, the fewer columns. Comparing all rows takes too long for a batch that is used once, but the non-zeros of a few
"telling" columns predict most of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.inputs.csr import Entries

# Largest number of telling columns, one for each bit of a pattern.
TELLING_COLUMNS = 16

# Columns that they are chosen from, and rows that are compared to choose them.
CANDIDATE_COLUMNS = 256
SAMPLE_ROWS = 512

# A column with less remaining variance adds nothing to those already chosen.
LEAST_VARIANCE = 1e-3


def sample_step(n_rows: int) -> int:
    """Return the step between rows that selects about 512 evenly spaced ones."""
    return max(1, n_rows // SAMPLE_ROWS)


def row_patterns(rows: NDArray[Any] | Entries, columns: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return a pattern for each row: the telling columns in which it is non-zero, as bits.

    Parameters
    ----------
    rows : ndarray of uint8, float32 or float64, or Entries, shape (n_rows, n_columns)
        The rows.
    columns : ndarray of int64, shape (n_telling,)
        Columns from `telling_columns`.

    Returns
    -------
    ndarray of uint16, shape (n_rows,)
        A bit for each telling column, the highest for the most telling one. Rows with close patterns are similar.
    """
    bits = np.uint16(1) << np.arange(TELLING_COLUMNS, dtype=np.uint16)[::-1][: len(columns)]
    patterns: NDArray[np.uint16] = _marks(rows, columns) @ bits
    return patterns


def telling_columns(sample: NDArray[Any] | Entries) -> NDArray[np.int64]:
    """Choose the columns whose non-zeros best predict a row's other non-zeros.

    Each step chooses the column that explains most of the variance remaining in all candidates: forward selection
    component analysis (Puggini and McLoone, 2017), with non-zeros as ones.

    Parameters
    ----------
    sample : ndarray or Entries, shape (n_rows, n_columns)
        Some rows.

    Returns
    -------
    ndarray of int64
        At most 16 columns, the most telling one first; none that is constant over all rows.
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
    """Return the covariance of columns of zeros and ones; the counts are exact in any order of summation."""
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
    """Tell where the given columns are non-zero."""
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
