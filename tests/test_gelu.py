"""GELU and its derivative."""

import numpy as np
import pytest
from arrays import Unchanged, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted._products.loops import BLOCK
from tolerances import assert_elements_close

SHAPES = [(0, 3), (1, 1), (1, BLOCK - 1), (BLOCK, 1), (3, BLOCK + 1), (300, 300)]


def exact(z):
    """Return y and y', in the words of the paper: z/2 (1 + tanh v), v = sqrt(2/pi) (z + 0.044715 z**3)."""
    z = z.astype(np.longdouble)
    v = np.sqrt(np.longdouble(2) / np.pi) * (z + 0.044715 * z**3)
    slope = np.sqrt(np.longdouble(2) / np.pi) * (1 + 3 * 0.044715 * z**2)
    return z / 2 * (1 + np.tanh(v)), (1 + np.tanh(v)) / 2 + z / 2 * slope / np.cosh(v) ** 2


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_gradient_are_the_formula(kernels, shape, dtype, threads, rng):
    z, grad = read_only(2 * normals(rng, shape, dtype)), read_only(normals(rng, shape, dtype))
    unchanged = Unchanged(z, grad)
    y, derivative = exact(z)
    out = np.full(shape, np.nan, dtype)
    assert kernels.gelu_forward(z, out) is out
    # An exponential's error grows with its argument.
    assert_elements_close(out, y, scale=np.abs(z))
    assert np.array_equal(out, kernels.gelu_forward(z))
    out = np.full(shape, np.nan, dtype)
    assert kernels.gelu_gradient(z, grad, out) is out
    assert_elements_close(out, grad * derivative, scale=3 * np.abs(grad))
    assert np.array_equal(out, kernels.gelu_gradient(z, grad))
    unchanged.check()


def test_worked_example(kernels, dtype):
    # The distribution function of the normal distribution at 1 is 0.8413: the form without it is 2e-4 from there.
    y = kernels.gelu_forward(np.array([[0, 1, -1, 100, -100]], dtype))
    assert y == pytest.approx(np.array([[0, 0.8413, -0.1587, 100, 0]]), abs=2e-4)


@pytest.mark.parametrize("size", [49.0, 51.0, 1e10, 3e38])
def test_large_numbers_stay_finite(kernels, size, dtype):
    z = np.array([[size, -size]], dtype)
    assert kernels.gelu_forward(z).tolist() == [[dtype.type(size), 0]]
    assert kernels.gelu_gradient(z, np.ones_like(z)).tolist() == [[1, 0]]


def test_the_gradient_is_the_derivative(kernels, rng):
    z, step = rng.uniform(-4, 4, (1, 200)), 1e-6
    difference = (kernels.gelu_forward(z + step) - kernels.gelu_forward(z - step)) / (2 * step)
    assert kernels.gelu_gradient(z, np.ones_like(z)) == pytest.approx(difference, abs=1e-8)


def test_nan_and_inf_go_where_the_reference_sends_them(dtype):
    z = np.array([[np.nan, np.inf, -np.inf]], dtype)
    grad = np.ones_like(z)
    assert np.array_equal(jitted.gelu_forward(z), reference.gelu_forward(z), equal_nan=True)
    assert np.array_equal(jitted.gelu_gradient(z, grad), reference.gelu_gradient(z, grad), equal_nan=True)
