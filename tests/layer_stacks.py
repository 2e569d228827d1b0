"""Stacks of dense layers to train by one call of a kernel."""

import itertools

import numpy as np
import pytest
from arrays import normals

ACTIVATIONS = ["identity", "relu", "sigmoid", "tanh"]


def draw_layers(rng, widths, dtype, use_bias=True):
    """Draw weights whose outputs are about as large as their inputs, and biases."""
    weights = [normals(rng, (i, o), dtype) / dtype(np.sqrt(i)) for i, o in itertools.pairwise(widths)]
    return weights, [normals(rng, o, dtype) if use_bias else None for o in widths[1:]]


def copies(arrays):
    return [None if array is None else array.copy() for array in arrays]


def assert_close(actual, expected, dtype, steps):
    """Check parameters after `steps` steps, each of which may add some roundings of numbers about one in size."""
    for array, wanted in zip(actual, expected, strict=True):
        assert (array is None) == (wanted is None)
        if array is not None:
            assert array.astype(np.float64) == pytest.approx(
                wanted.astype(np.float64), abs=16 * steps * float(np.finfo(dtype).eps)
            )


def as_float64(arrays):
    return [None if array is None else array.astype(np.float64) for array in arrays]
