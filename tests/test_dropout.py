"""Dropout's kernel: the mask follows from seed and place alone."""

import numpy as np
import pytest
from arrays import Unchanged, integers, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted._products.loops import BLOCK

SHAPES = [(0, 3), (1, 1), (1, BLOCK - 1), (BLOCK, 1), (3, BLOCK + 1), (300, 300)]

# The first numbers of SplitMix64 from the seed 1234567, as its authors' program prints them.
SPLIT_MIX = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def splitmix(seed, count):
    """Return the generator's numbers one by one, with integers of any size."""
    numbers, state = [], seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(z ^ (z >> 31))
    return numbers


def test_the_generator_is_the_published_one():
    assert splitmix(1234567, 5) == SPLIT_MIX


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.99])
def test_an_element_is_kept_by_its_own_number(kernels, rate, dtype):
    seed, x = 2**62 + 12345, np.arange(1, 61, dtype=dtype).reshape(6, 10)
    kept = np.array([number >> 32 >= int(rate * 2**32) for number in splitmix(seed, 80)[20:]]).reshape(6, 10)
    expected = np.where(kept, x * dtype.type(1 / (1 - rate)), 0)
    assert np.array_equal(kernels.dropout(x, rate, seed, first_row=2), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_both_backends_drop_the_same(shape, dtype, threads, rng):
    x = read_only(normals(rng, shape, dtype))
    unchanged = Unchanged(x)
    out = np.full(shape, np.nan, dtype)
    assert jitted.dropout(x, 0.25, 99, 5, out) is out
    assert np.array_equal(out, reference.dropout(x, 0.25, 99, 5))
    written = np.full(shape, np.nan, dtype)
    assert reference.dropout(x, 0.25, 99, 5, written) is written
    assert np.array_equal(out, written)
    unchanged.check()


def test_parts_of_a_batch_have_the_mask_of_the_whole(kernels, dtype, rng):
    x = integers(rng, (40, 7), dtype) + 10
    whole = kernels.dropout(x, 0.5, 3)
    parts = [kernels.dropout(x[first : first + 9], 0.5, 3, first) for first in range(0, 40, 9)]
    assert np.array_equal(np.vstack(parts), whole)
    assert not np.array_equal(kernels.dropout(x, 0.5, 4), whole)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_share_and_the_mean_are_kept(kernels, rate):
    dropped = kernels.dropout(np.ones((1000, 1000), np.float32), rate, 7)
    assert np.mean(dropped == 0) == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / 1e6))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / (1 - rate))}


def test_nan_is_dropped_like_a_number(kernels, dtype):
    dropped = kernels.dropout(np.full((50, 50), np.nan, dtype), 0.5, 1)
    zeros = dropped == 0
    assert 0 < zeros.sum() < zeros.size
    assert np.isnan(dropped[~zeros]).all()
