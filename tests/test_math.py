"""Elementary functions against more digits, over numbers of every size, and the reductions of a loop."""

import numpy as np
import pytest
from fastfnn_kernels.jitted._compile.jit import In1, Out1, kernel
from fastfnn_kernels.jitted._llvm.math import (
    add_in_any_order,
    exp_of_negative,
    expm1_of_negative,
    flush_subnormal,
    log,
    log1p_of_share,
    maximum,
    normal_exp_of_negative,
)

# Above what `_llvm/math.py` states, and below what a missing term leaves.
LARGEST_ERROR_IN_ULP = 1.25
LARGEST_ERROR_OF_NORMAL_EXP_IN_ULP = 1.75  # without fused multiply-adds, a term is subnormal near the limit
LARGEST_ERROR_OF_LOG1P_IN_ULP = 1.5  # a logarithm, a quotient and their sum

STEP = {np.dtype(np.float32): 1009, np.dtype(np.float64): 2**43 + 9}  # a million or two of all bit patterns


@kernel
def exponentials(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = exp_of_negative(x[i])


@kernel
def normal_exponentials(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = normal_exp_of_negative(x[i])


@kernel
def flushed(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = flush_subnormal(x[i])


@kernel
def exponentials_minus_one(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = expm1_of_negative(x[i])


@kernel
def logarithms(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = log(x[i])


@kernel
def logarithms_of_one_and(x: In1, y: Out1) -> None:
    for i in range(x.size):
        y[i] = log1p_of_share(x[i])


@kernel
def largest_and_sum(x: In1, y: Out1) -> None:
    largest, total = x.dtype.type(-np.inf), x.dtype.type(0)
    for i in range(x.size):
        largest = maximum(largest, x[i])
        total = add_in_any_order(total, x[i])
    y[0] = largest
    y[1] = total


def apply(function, x):
    y = np.empty_like(x)
    function(0, x.dtype, x, y)
    return y


def positive_numbers(dtype, rng):
    """Sample the bit patterns from 0 up to inf regularly, and the numbers around 1 and the ends densely."""
    whole = np.dtype(f"u{dtype.itemsize}")
    limits = np.finfo(dtype)
    ends = np.array([limits.smallest_subnormal, limits.smallest_normal, 0.5**0.5, 1, 2**0.5, limits.max], dtype)
    neighbours = [ends, np.nextafter(ends, dtype.type(0)), np.nextafter(ends[:-1], dtype.type(9))]
    regular = np.arange(0, np.array(np.inf, dtype).view(whole), STEP[dtype], whole).view(dtype)
    dense = [rng.uniform(0, top, 300_000).astype(dtype) for top in (2, 120, 800)]
    numbers = np.concatenate([regular, *neighbours, *dense])
    return numbers[np.isfinite(numbers)]


def ulps(actual, exact):
    spacing = np.spacing(np.abs(exact.astype(actual.dtype)))
    return np.max(np.abs(actual.astype(exact.dtype) - exact) / spacing.astype(exact.dtype))


def wider(x):
    return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


@pytest.mark.parametrize(("function", "exact"), [(exponentials, np.exp), (exponentials_minus_one, np.expm1)])
def test_exponentials_of_negative_numbers_are_as_close_as_stated(function, exact, dtype, rng):
    x = -positive_numbers(dtype, rng)
    assert ulps(apply(function, x), exact(wider(x))) <= LARGEST_ERROR_IN_ULP


def test_normal_exponentials_are_those_or_zero(dtype, rng):
    """All floats near the limit are tried: an error there would be a subnormal number, or a lost normal one."""
    least = np.finfo(dtype).smallest_normal
    limit = np.log(least.astype(np.longdouble)).astype(dtype)
    x = np.concatenate([-positive_numbers(dtype, rng), limit + np.spacing(limit) * np.arange(-2000, 2000)])
    x = x.astype(dtype)
    is_normal = wider(x) >= np.log(wider(least))
    actual = apply(normal_exponentials, x)
    assert not actual[~is_normal].any()
    assert actual[is_normal].min() >= least
    assert ulps(actual[is_normal], np.exp(wider(x[is_normal]))) <= LARGEST_ERROR_OF_NORMAL_EXP_IN_ULP


def test_subnormal_numbers_are_flushed(dtype):
    limits = np.finfo(dtype)
    least, below = limits.smallest_normal, np.nextafter(limits.smallest_normal, dtype.type(0))
    x = np.array([least, below, limits.smallest_subnormal, 0, 1, limits.max, np.inf], dtype)
    expected = np.array([least, 0, 0, 0, 1, limits.max, np.inf], dtype)
    for sign in (1, -1):
        assert np.array_equal(apply(flushed, sign * x), sign * expected)


def test_logarithms_are_as_close_as_stated(dtype, rng):
    x = positive_numbers(dtype, rng)
    x = x[x > 0]
    assert ulps(apply(logarithms, x), np.log(wider(x))) <= LARGEST_ERROR_IN_ULP


def test_logarithms_of_one_and_shares_are_as_close_as_stated(dtype, rng):
    x = positive_numbers(dtype, rng)
    x = x[x <= 1]
    assert ulps(apply(logarithms_of_one_and, x), np.log1p(wider(x))) <= LARGEST_ERROR_OF_LOG1P_IN_ULP


def test_exponentials_at_their_ends(dtype):
    x = np.array([np.nan, -np.inf, 0.0, -0.0, -1e30], dtype)
    assert np.array_equal(apply(exponentials, x), np.array([np.nan, 0, 1, 1, 0], dtype), equal_nan=True)
    assert np.array_equal(apply(normal_exponentials, x), np.array([np.nan, 0, 1, 1, 0], dtype), equal_nan=True)
    assert np.array_equal(apply(exponentials_minus_one, x), np.array([np.nan, -1, 0, 0, -1], dtype), equal_nan=True)


def test_logarithms_at_their_ends(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -1, -1e-30], dtype)
    expected = np.array([np.nan, np.inf, np.nan, -np.inf, -np.inf, 0, np.nan, np.nan], dtype)
    assert np.array_equal(apply(logarithms, x), expected, equal_nan=True)


@pytest.mark.parametrize("function", [exponentials, normal_exponentials, exponentials_minus_one, logarithms, flushed])
def test_every_kind_of_nan_stays_nan(function, dtype):
    whole = np.dtype(f"u{dtype.itemsize}")
    payloads = np.arange(1, 1000, dtype=whole)
    sign = whole.type(1 << (8 * dtype.itemsize - 1))
    quiet = np.array(np.nan, dtype).view(whole) | payloads
    for bits in (quiet, quiet | sign):
        assert np.isnan(apply(function, bits.view(dtype))).all()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 1000])
def test_reductions_see_every_element(size, dtype, rng):
    result = np.empty(2, dtype)
    x = rng.integers(-100, 101, size).astype(dtype)
    largest_and_sum(0, dtype, x, result)
    assert result.tolist() == [x.max(initial=-np.inf), x.sum()]
    for place in range(size):
        raised = x.copy()
        raised[place] = 1000
        largest_and_sum(0, dtype, raised, result)
        assert result.tolist() == [1000, raised.sum()]
        raised[place] = np.nan
        largest_and_sum(0, dtype, raised, result)
        assert np.isnan(result).all()
