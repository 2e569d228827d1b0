"""How far a result may lie from the truth, by dtype: the one table that every test uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Largest max|error| / (eps * sum |a||b|) of a product, against float64: the ratio BLAS test suites bound.
PRODUCT_RATIO = 16.0

# Largest error of an elementwise formula, in units of eps * |value|: a few roundings and an exponential.
ELEMENT_RATIO = {np.dtype(np.float32): 8.0, np.dtype(np.float64): 8.0}


def assert_product_close(actual: NDArray[Any], exact: NDArray[Any], magnitude: NDArray[Any]) -> None:
    """Check a product against `exact`, of more digits, where `magnitude` is the sum of |a||b| of each element."""
    assert actual.shape == exact.shape
    assert np.array_equal(np.isnan(actual), np.isnan(exact))
    eps = np.finfo(actual.dtype).eps
    error = np.abs(actual.astype(exact.dtype) - exact)
    allowed = PRODUCT_RATIO * eps * magnitude
    worst = np.nanmax(error - allowed, initial=-1.0)
    assert worst <= 0, f"an element is {worst:.3g} beyond {PRODUCT_RATIO} * eps * sum |a||b|"


def assert_elements_close(actual: NDArray[Any], expected: NDArray[Any], scale: float | NDArray[Any] = 0.0) -> None:
    """Check element by element, relative to the larger of |expected| and `scale`; NaN and inf must match."""
    assert actual.shape == expected.shape
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    infinite = np.isinf(expected)
    assert np.array_equal(actual[infinite], expected[infinite])
    finite = np.isfinite(expected)
    error = np.abs(actual[finite].astype(expected.dtype) - expected[finite])
    size = np.maximum(np.abs(expected[finite]), np.broadcast_to(scale, expected.shape)[finite])
    limits = np.finfo(actual.dtype)
    allowed = ELEMENT_RATIO[actual.dtype] * (limits.eps * size + limits.smallest_subnormal)
    worst = np.max(error - allowed, initial=-1.0)
    assert worst <= 0, f"an element is {worst:.3g} beyond {ELEMENT_RATIO[actual.dtype]} * eps"
