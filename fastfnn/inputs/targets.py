"""Targets: the values that outputs are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The labels or numbers of samples, and the samples' weights.

    Attributes
    ----------
    values : ndarray
        Classes, int64 of shape (n_samples,), or numbers of the network's dtype, shape (n_samples, n_outputs).
    weights : ndarray of the network's dtype, shape (n_samples,), optional
        Weight of each sample; 1 for all when None.
    are_columns : bool
        Whether the user passed numbers of shape (n_samples, 1) instead of (n_samples,).
    """

    values: NDArray[Any]
    weights: NDArray[Any] | None = None
    are_columns: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: slice | NDArray[np.int64]) -> Targets:
        """Return the targets of some samples."""
        return Targets(self.values[rows], None if self.weights is None else self.weights[rows])

    @property
    def total_weight(self) -> float:
        """Sum of the weights; the number of samples when there are none."""
        return len(self.values) if self.weights is None else float(self.weights.sum(dtype=np.float64))
