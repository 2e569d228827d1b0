"""Arrays that begin at a cache line."""

import numpy as np
import pytest
from fastfnn_kernels import jitted

import fastfnn
from fastfnn._memory import CACHE_LINE, aligned_copy, aligned_empty, aligned_full

# So large that alignment pays, whatever the sizes from which it does.
SHAPES = [(100_001,), (317, 1001), (101, 11, 97)]


def is_aligned(array):
    return array.ctypes.data % CACHE_LINE == 0


def assert_ordinary(array, shape, dtype):
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable


@pytest.mark.parametrize("shape", [*SHAPES, (), (0,), (3, 0), (1,), (5, 7)])
def test_arrays_are_as_those_of_numpy(shape, dtype, rng):
    values = rng.standard_normal(shape)
    assert_ordinary(aligned_empty(shape, dtype), shape, dtype)
    full, copy = aligned_full(shape, 0.25, dtype), aligned_copy(np.asarray(values), dtype)
    assert_ordinary(full, shape, dtype)
    assert_ordinary(copy, shape, dtype)
    assert (full == 0.25).all()
    assert np.array_equal(copy, np.asarray(values).astype(dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_large_arrays_begin_at_a_cache_line(shape, dtype, rng):
    for _ in range(5):
        values = rng.standard_normal(shape)
        assert is_aligned(aligned_empty(shape, dtype))
        assert is_aligned(aligned_full(shape, 1, dtype))
        assert is_aligned(aligned_copy(values, dtype))
        assert is_aligned(aligned_copy(np.asfortranarray(values), dtype))


def test_a_copy_has_memory_of_its_own(dtype):
    array = np.ones(SHAPES[1], dtype)
    copy = aligned_copy(array, dtype)
    copy[0, 0] = 7
    assert array[0, 0] == 1
    assert not np.shares_memory(array, copy)


def test_every_byte_can_be_written(dtype):
    arrays = [aligned_full((10_007,), value, dtype) for value in range(20)]
    for value, array in enumerate(arrays):
        array[...] = -value
    assert [array.min() == array.max() == -value for value, array in enumerate(arrays)] == [True] * 20


def test_kernels_take_aligned_arrays_as_outputs(dtype, rng):
    x, w = rng.standard_normal((300, 70)).astype(dtype), rng.standard_normal((70, 90)).astype(dtype)
    out = aligned_full((300, 90), np.nan, dtype)
    assert jitted.dense_forward(x, w, out=out) is out
    assert np.array_equal(out, jitted.dense_forward(x, w))


@pytest.mark.parametrize("optimizer", [fastfnn.SGD(0.1, 0.5), fastfnn.RMSprop(), fastfnn.Adam()])
def test_parameters_and_gradients_are_aligned(optimizer, rng):
    net = fastfnn.Network([fastfnn.Dense(300, 200, "relu"), fastfnn.Dense(200, 10)], seed=1)
    net.fit(rng.random((50, 300)), rng.integers(0, 10, 50), optimizer)
    assert is_aligned(net.layers[0].weights)
    assert is_aligned(net.layers[0].gradient.weights)
