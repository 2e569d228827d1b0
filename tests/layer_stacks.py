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


def joined(weights, biases):
    """Copy all parameters into one vector, layer by layer."""
    arrays = [array for layer in zip(weights, biases, strict=True) for array in layer if array is not None]
    return np.concatenate([array.reshape(-1) for array in arrays])


def split(vector, weights, biases):
    """Return the parts of a vector that stand where these do in what `joined` makes of them."""
    parts, first = ([], []), 0
    for layer in zip(weights, biases, strict=True):
        for part, like in zip(parts, layer, strict=True):
            size = 0 if like is None else like.size
            part.append(None if like is None else vector[first : first + size].reshape(like.shape))
            first += size
    return parts


def stack_gradient(kernels, x, weights, biases, activations, losses, *options, **named):
    """Call the kernel, which takes the parameters in one vector."""
    widths, use_bias = [w.shape[1] for w in weights], [b is not None for b in biases]
    return kernels.stack_gradient(
        x, joined(weights, biases), widths, activations, use_bias, losses, *options, **named
    )


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
