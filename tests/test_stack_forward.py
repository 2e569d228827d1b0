"""A few rows through a stack of layers by one call."""

import itertools

import numpy as np
import pytest
from arrays import Unchanged, integers, mostly_zeros, normals, read_only
from fastfnn_kernels import jitted, reference
from hypothesis import given
from hypothesis import strategies as st
from layer_stacks import ACTIVATIONS, as_float64, draw_layers

DTYPE = st.sampled_from([np.float32, np.float64])
SEED = st.integers(0, 2**32 - 1)
ROWS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 20, 33])
WIDTH = st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 127, 128, 129, 200])
# One layer, or three: each number of layers is compiled by itself, and the hidden ones take turns from three on.
WIDTHS = st.sampled_from([2, 4]).flatmap(lambda n: st.lists(WIDTH, min_size=n, max_size=n))


def layer_by_layer(kernels, x, weights, biases, activations, skip_zeros):
    """Go through the layers' own kernels."""
    if skip_zeros:
        y = kernels.sparse_forward(kernels.pack_rows(x, x.dtype), weights[0], biases[0], activations[0])
    else:
        y = kernels.dense_forward(x, weights[0], biases[0], activations[0])
    for w, b, activation in zip(weights[1:], biases[1:], activations[1:], strict=True):
        y = kernels.dense_forward(y, w, b, activation)
    return y


@given(ROWS, WIDTHS, st.booleans(), st.booleans(), DTYPE, SEED)
def test_every_shape_gives_the_bits_of_the_layers_one_by_one(n_rows, widths, use_bias, skip_zeros, dtype, seed):
    rng = np.random.default_rng(seed)
    weights, biases = draw_layers(rng, widths, dtype, use_bias)
    activations = rng.choice(ACTIVATIONS, len(weights)).tolist()
    x = mostly_zeros(rng, (n_rows, widths[0]), dtype) / dtype(4)
    expected = layer_by_layer(jitted, x, weights, biases, activations, skip_zeros)
    actual = jitted.stack_forward(x, weights, biases, activations, 2.0 * skip_zeros)
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@given(ROWS, WIDTHS, st.booleans(), DTYPE, SEED)
def test_whole_numbers_are_exact(n_rows, widths, skip_zeros, dtype, seed):
    rng = np.random.default_rng(seed)
    # From -1 to 1: three layers stay far below 2**24.
    weights = [integers(rng, shape, dtype) // 4 for shape in itertools.pairwise(widths)]
    biases = [integers(rng, w.shape[1], dtype) for w in weights]
    activations = rng.choice(["identity", "relu"], len(weights)).tolist()
    x = mostly_zeros(rng, (n_rows, widths[0]), dtype) // 4
    expected = reference.stack_forward(x, weights, biases, activations, 2.0 * skip_zeros)
    assert np.array_equal(jitted.stack_forward(x, weights, biases, activations, 2.0 * skip_zeros), expected)


@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 64])
def test_chunks_and_many_threads(n_rows, skip_zeros, threads, dtype, rng):
    weights, biases = draw_layers(rng, [1100, 600, 70, 10], dtype.type)
    x = mostly_zeros(rng, (n_rows, 1100), dtype) / dtype.type(4)
    activations = ["relu", "tanh", "identity"]
    expected = layer_by_layer(jitted, x, weights, biases, activations, skip_zeros)
    assert jitted.stack_forward(x, weights, biases, activations, 2.0 * skip_zeros).tobytes() == expected.tobytes()
    exact = reference.stack_forward(
        x.astype(np.float64), as_float64(weights), as_float64(biases), activations, 2.0 * skip_zeros
    )
    assert expected == pytest.approx(exact, abs=64 * float(np.finfo(dtype).eps))


def test_some_layers_have_no_bias(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4, 3], dtype.type)
    x, activations = normals(rng, (3, 6), dtype), ["tanh", "relu", "identity"]
    for given_biases in ([None, biases[1], None], [biases[0], None, biases[2]]):
        zeros = [np.zeros(w.shape[1], dtype) if b is None else b for w, b in zip(weights, given_biases, strict=True)]
        expected = kernels.stack_forward(x, weights, zeros, activations)
        assert np.array_equal(kernels.stack_forward(x, weights, given_biases, activations), expected)


def test_arguments_are_only_read_and_out_is_written(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4, 3], dtype.type)
    x = read_only(normals(rng, (3, 6), dtype))
    weights, biases = tuple(map(read_only, weights)), tuple(map(read_only, biases))
    unchanged, out = Unchanged(x, *weights, *biases), np.full((3, 3), np.nan, dtype)
    assert kernels.stack_forward(x, weights, biases, ("relu", "tanh", "sigmoid"), 2.0, out) is out
    unchanged.check()
    assert np.array_equal(out, kernels.stack_forward(x, weights, biases, ("relu", "tanh", "sigmoid"), 2.0))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_inf_go_where_the_reference_sends_them(special, activation, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4, 3], dtype.type)
    x = np.ones((4, 6), dtype)
    x[2, 3] = special
    expected = reference.stack_forward(x, weights, biases, [activation, "relu", "identity"])
    for skip_zeros in (False, True):
        actual = jitted.stack_forward(x, weights, biases, [activation, "relu", "identity"], 2.0 * skip_zeros)
        assert actual == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_no_inputs_leave_the_biases(kernels, dtype):
    weights = [np.zeros((0, 3), dtype), np.ones((3, 2), dtype), np.eye(2, dtype=dtype)]
    biases, activations = [np.arange(3).astype(dtype), None, None], ["relu", "identity", "identity"]
    for skip_zeros in (False, True):
        out = kernels.stack_forward(np.zeros((2, 0), dtype), weights, biases, activations, 2.0 * skip_zeros)
        assert out.tolist() == [[3, 3], [3, 3]]


def test_zeros_are_skipped_below_the_density_alone(dtype, rng):
    """Zeros times NaN would show."""
    x, weights = np.zeros((4, 8), dtype), [normals(rng, (8, 3), dtype)]
    x[:, :2] = 1
    weights[0][2:] = np.nan
    skipped = jitted.stack_forward(x, weights, [None], ["identity"], 0.26)
    assert skipped.tobytes() == np.tile(weights[0][0] + weights[0][1], (4, 1)).tobytes()
    assert np.isnan(jitted.stack_forward(x, weights, [None], ["identity"], 0.25)).all()
