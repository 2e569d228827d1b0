"""Data sets, as every loader and reader returns them: samples, with or without labels."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Dataset:
    """One set of samples.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features), dtype uint8, float32 or float64
        Samples, one per row.
    y : ndarray of shape (n_samples,), dtype int64, or None
        Label of each row, 0 or greater; None when the samples have no labels.
    columns : tuple of str, or None
        Names of the columns of X; None when the file has none.
    """

    X: npt.NDArray[Any]
    y: npt.NDArray[np.int64] | None = None
    columns: tuple[str, ...] | None = None


class Labelled(NamedTuple):
    """Samples with labels: a pair (X, y) of arrays, as described for `Dataset`."""

    X: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
