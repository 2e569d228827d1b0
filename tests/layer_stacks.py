"""Stacks of dense layers to train by one call of a kernel."""

import itertools

import numpy as np
import pytest
from arrays import normals
from fastfnn_kernels import jitted, reference

ACTIVATIONS = ["identity", "relu", "sigmoid", "tanh"]


def draw_layers(rng, widths, dtype, use_bias=True):
    """Draw weights whose outputs are about as large as their inputs, and biases."""
    weights = [normals(rng, (i, o), dtype) / dtype(np.sqrt(i)) for i, o in itertools.pairwise(widths)]
    return weights, [normals(rng, o, dtype) if use_bias else None for o in widths[1:]]


def copies(arrays):
    return [None if array is None else array.copy() for array in arrays]


def assert_close(actual, expected, dtype, steps):
    """Check parameters after `steps` steps, each of which may add some roundings of numbers about one in size."""
    eps = float(np.finfo(dtype).eps)
    for array, wanted in zip(actual, expected, strict=True):
        assert (array is None) == (wanted is None)
        if array is not None:
            np.testing.assert_allclose(array, wanted, rtol=0, atol=16 * steps * eps, equal_nan=False)


def as_float64(arrays):
    return [None if array is None else array.astype(np.float64) for array in arrays]


def assert_trains_like_the_reference(
    name, stored, wide, n_steps, labels, weights, biases, activations, learning_rate
):
    """Train by the kernel `name` and by the reference in float64, and compare what both leave and return.

    `stored` are the samples in the kernel's dtype, and `wide` the same in float64.
    """
    dtype = stored.values.dtype
    wide_weights, wide_biases = as_float64(weights), as_float64(biases)
    exact_loss, exact_correct = getattr(reference, name)(
        wide, labels, wide_weights, wide_biases, activations, learning_rate
    )
    loss, n_correct = getattr(jitted, name)(stored, labels, weights, biases, activations, learning_rate)
    assert isinstance(loss, float)
    assert isinstance(n_correct, int)
    assert n_correct == exact_correct
    assert loss == pytest.approx(exact_loss, rel=64 * n_steps * float(np.finfo(dtype).eps))
    assert_close([*weights, *biases], [*wide_weights, *wide_biases], dtype, n_steps)
