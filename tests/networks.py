"""Networks to test with, and the formulas they must follow, written out over the whole batch in plain NumPy."""

import os

import numpy as np
import pytest
from fastfnn_kernels.arguments import ACTIVATIONS

import fastfnn

each_backend = pytest.mark.parametrize("backend", ["numba", "numpy"])
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)

FORMULAS = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "leaky_relu": lambda z: np.where(z > 0, z, z / 100),
    "elu": lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1),
    "softplus": lambda z: np.log(1 + np.exp(z)),
}

# Largest relative distance from a float64 result, in the sums of a tiny network.
ROUNDING = {"float32": 2e-5, "float64": 1e-12}


class Doubling(fastfnn.Layer):
    """A layer of a user's own."""

    def n_outputs_for(self, n_inputs):
        return n_inputs

    def forward(self, x, out=None):
        return x + x

    def input_gradient(self, grad_z, x, activation, out=None):
        return self.kernels.activation_gradient(x, grad_z + grad_z, activation, out)

    def config(self):
        return {}

    def __repr__(self):
        return "Doubling()"


def small_network(backend="numpy", dtype="float64", seed=3, **options):
    """Return 4 -> 5 relu -> 3, with a bias in the first layer alone."""
    layers = [fastfnn.Dense(4, 5, activation="relu"), fastfnn.Dense(5, 3, use_bias=False)]
    net = fastfnn.Network(layers, backend, dtype, seed, **options)
    net.layers[0].bias[...] = [0.5, -0.25, 0.125, 0.75, -0.5]
    return net


def samples(n_rows, n_inputs=4, n_classes=3, dtype="float64", seed=8):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_inputs)).astype(dtype), rng.integers(0, n_classes, n_rows)


def sparse_samples(n_rows, n_inputs, n_classes, dtype, seed=8):
    """Return samples of whole numbers, of which a fifth is not zero."""
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (n_rows, n_inputs)) * (rng.random((n_rows, n_inputs)) < 0.2)
    return X.astype(dtype), rng.integers(0, n_classes, n_rows)


def logits_of(layers, X):
    y = np.asarray(X, np.float64)
    for layer in layers:
        if "weights" in layer.parameters:
            y = y @ layer.weights.astype(np.float64)
            y = y if layer.bias is None else y + layer.bias.astype(np.float64)
        y = FORMULAS[layer.activation](y)
    return y


def softmax_of(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def loss_of(layers, X, y, l2=0.0):
    cross_entropy = -np.log(softmax_of(logits_of(layers, X))[np.arange(len(y)), y]).mean()
    weights = [layer.parameters["weights"].astype(np.float64) for layer in layers if "weights" in layer.parameters]
    return cross_entropy + l2 / 2 * sum((w**2).sum() for w in weights)


def numeric_gradient(function, array, step=1e-5):
    """Central differences of function() with respect to each element of `array`, which it reads."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        gradient[index] = (above - function()) / (2 * step)
        array[index] = kept
    return gradient


def assert_gradients_are(gradients, expected, tolerance):
    """Compare Gradients with a list of (weights, bias)."""
    assert len(gradients) == len(expected)
    for gradient, (weights, bias) in zip(gradients, expected, strict=True):
        assert_close(gradient.weights, weights, tolerance)
        assert_close(gradient.bias, bias, tolerance)


def assert_close(actual, expected, tolerance):
    """Compare two arrays, or None with None, relative to the largest element."""
    assert (actual is None) == (expected is None)
    if expected is not None:
        assert np.shape(actual) == np.shape(expected)
        size = np.max(np.abs(expected), initial=1e-3)
        assert np.isfinite(actual).all()
        assert np.max(np.abs(actual - expected), initial=0.0) <= tolerance * size


def numeric_gradients(layers, X, y, l2=0.0):
    """Return the gradients of the loss, a pair (weights, bias) a layer, by central differences."""
    gradients = []
    for layer in layers:
        parameters = layer.parameters
        found = {
            name: numeric_gradient(lambda: loss_of(layers, X, y, l2), array) for name, array in parameters.items()
        }
        gradients.append((found.get("weights"), found.get("bias")))
    return gradients


def backpropagated(net, X, y, l2=0.0):
    """Return loss and gradients of 4 -> 5 relu -> 3 by the chain rule, over the whole batch in float64."""
    first, last = net.layers
    W0, b0, W1 = (array.astype(np.float64) for array in (first.weights, first.bias, last.weights))
    X = np.asarray(X, np.float64)
    hidden = np.maximum(X @ W0 + b0, 0)
    delta = softmax_of(hidden @ W1)
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    delta_hidden = (delta @ W1.T) * (hidden > 0)
    gradients = [(X.T @ delta_hidden + l2 * W0, delta_hidden.sum(axis=0)), (hidden.T @ delta + l2 * W1, None)]
    return loss_of(net.layers, X, y, l2), gradients


def flipped_bits(path):
    """Give a file all contents of which one bit is another, one after the other, and yield where it is.

    The bytes are written in place: file systems wait for the disk where a file is emptied and written again.
    """
    content = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(content):
            for flipped in (*(byte ^ 1 << bit for bit in range(8)), byte):
                file.seek(position)
                file.write(bytes([flipped]))
                if flipped != byte:
                    yield position


def truncations(path):
    """Give a file all its beginnings, from the longest on, and yield their lengths."""
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        yield length


def bytes_of(net):
    return {name: array.tobytes() for name, array in net.parameters.items()}


def refused_model(path):
    """Return the message with which `path` is refused, on one line and alike on both backends."""
    messages = []
    for backend in ("numba", "numpy"):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            fastfnn.Network.load(path, backend)
        assert type(caught.value) in (ValueError, FileNotFoundError)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert str(path) in messages[0]
    assert messages[0].isprintable()
    assert len(messages[0]) < 1500
    return messages[0]
