"""What every loader and reader returns: the samples, with their labels when they have any; and those that have."""

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
        One sample a row.
    y : ndarray of shape (n_samples,), dtype int64, or None
        The label of each row, 0 or greater; None when the samples carry no labels.
    """

    X: npt.NDArray[Any]
    y: npt.NDArray[np.int64] | None = None


class Labelled(NamedTuple):
    """Samples all of which have a label; a pair (X, y) of arrays, as `Dataset` describes them."""

    X: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
