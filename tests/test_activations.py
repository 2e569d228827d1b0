"""Activations and their derivatives."""

import numpy as np
import pytest
from arrays import Unchanged, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted._products.loops import BLOCK
from tolerances import assert_elements_close

ACTIVATIONS = ["identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus"]
SHAPES = [(0, 3), (1, 1), (1, BLOCK - 1), (BLOCK, 1), (3, BLOCK + 1), (300, 300)]

FORMULAS = {
    "identity": (lambda z: z, lambda y: np.ones_like(y)),
    "relu": (lambda z: np.where(z > 0, z, 0), lambda y: (y > 0) * 1),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y**2),
    "leaky_relu": (lambda z: np.where(z > 0, z, z / 100), lambda y: np.where(y > 0, 1, y.dtype.type(1) / 100)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda y: np.where(y > 0, 1, 1 + y)),
    "softplus": (lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), lambda y: -np.expm1(-y)),
}

# What has a smallest output, beyond which no derivative is asked for.
LEAST_OUTPUT = {"softplus": 0.0}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_the_formula(kernels, activation, shape, dtype, threads, rng):
    z = read_only(4 * normals(rng, shape, dtype))
    unchanged = Unchanged(z)
    out = np.full(shape, np.nan, dtype)
    assert kernels.activation_forward(z, activation, out) is out
    assert_elements_close(out, FORMULAS[activation][0](z.astype(np.longdouble)))
    assert np.array_equal(out, kernels.activation_forward(z, activation))
    unchanged.check()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_the_formula(kernels, activation, shape, dtype, threads, rng):
    y = read_only(rng.uniform(LEAST_OUTPUT.get(activation, -1.0), 1, shape).astype(dtype))
    grad = read_only(normals(rng, shape, dtype))
    unchanged = Unchanged(y, grad)
    out = np.full(shape, np.nan, dtype)
    assert kernels.activation_gradient(y, grad, activation, out) is out
    exact = grad.astype(np.longdouble) * FORMULAS[activation][1](y.astype(np.longdouble))
    assert_elements_close(out, exact, scale=np.abs(grad))
    assert np.array_equal(out, kernels.activation_gradient(y, grad, activation))
    unchanged.check()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "elu", "softplus"])
def test_small_and_large_arguments(kernels, activation, dtype):
    z = np.concatenate([np.logspace(-35, 2, 400), [0.0, 1e4, np.inf]])
    z = np.concatenate([z, -z])[np.newaxis].astype(dtype)
    with np.errstate(over="ignore"):
        exact = FORMULAS[activation][0](z.astype(np.longdouble))
    assert_elements_close(kernels.activation_forward(z, activation), exact)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_nan_and_signs_stay(activation, dtype):
    z = np.array([[np.nan, np.inf, -np.inf, 0.0]], dtype)
    assert np.array_equal(
        jitted.activation_forward(z, activation), reference.activation_forward(z, activation), equal_nan=True
    )


def test_relu_has_no_gradient_at_zero(kernels, dtype):
    y, grad = np.array([[0.0, -0.0, 1.0]], dtype), np.array([[5.0, 6.0, 7.0]], dtype)
    assert kernels.activation_gradient(y, grad, "relu").tolist() == [[0, 0, 7]]


@pytest.mark.parametrize(("activation", "outputs"), [("leaky_relu", [0.01, 0.01]), ("elu", [1, 0.5])])
def test_derivatives_at_zero_and_below(kernels, activation, outputs, dtype):
    y, grad = np.array([[0.0, -0.5]], dtype), np.array([[1.0, 1.0]], dtype)
    assert kernels.activation_gradient(y, grad, activation) == pytest.approx(np.array([outputs], dtype))
