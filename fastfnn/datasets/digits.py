"""The 8x8 digits that scikit-learn ships."""

import numpy as np

from fastfnn.datasets.dataset import Dataset


def load_digits() -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits of 8x8 pixels.

    Returns
    -------
    Dataset
        X of shape (1797, 64), uint8: the raw values, integers from 0 (background) to 16, not scaled.
        y of shape (1797,), int64: the digits 0 to 9.

    Raises
    ------
    ImportError
        When scikit-learn is not installed.

    Notes
    -----
    Origin: the test part of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI
    Machine Learning Repository, as distributed with scikit-learn, which holds the same integers as float64.
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise ImportError(
            'the digits come with scikit-learn, which is not installed: pip install "fastfnn[sklearn]"'
        ) from error
    digits = datasets.load_digits()
    return Dataset(digits.data.astype(np.uint8), digits.target.astype(np.int64))
