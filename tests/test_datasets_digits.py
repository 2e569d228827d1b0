import sys

import numpy as np
import pytest

from fastfnn.datasets import load_digits


def test_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    digits = load_digits()
    published = datasets.load_digits()
    assert digits.X.shape == (1797, 64)
    assert digits.X.dtype == np.uint8
    assert (digits.X.min(), digits.X.max()) == (0, 16)
    assert digits.y.shape == (1797,)
    assert digits.y.dtype == np.int64
    np.testing.assert_array_equal(digits.X, published.data)
    np.testing.assert_array_equal(digits.y, published.target)


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'pip install "fastfnn\[sklearn\]"'):
        load_digits()
