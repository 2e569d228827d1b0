from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    FORMULAS,
    ROUNDING,
    assert_close,
    assert_gradients_are,
    each_activation,
    each_backend,
    each_dtype,
    logits_of,
    numeric_gradient,
    numeric_gradients,
    samples,
)

import fastfnn
from fastfnn import ELU, GELU, Dense, Identity, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh

ACTIVATION_LAYERS = {layer.activation: layer for layer in (Identity, ReLU, Sigmoid, Tanh, LeakyReLU, ELU, Softplus)}
each_bias = pytest.mark.parametrize("use_bias", [True, False])


def network(layers, backend, dtype="float64"):
    net = fastfnn.Network(layers, backend, dtype, seed=11)
    rng = np.random.default_rng(12)
    for layer in net.layers:
        if layer.parameters.get("bias") is not None:
            layer.bias[...] = rng.standard_normal(layer.bias.shape)
    return net


@each_backend
@each_activation
@each_bias
def test_gradients_of_a_fused_activation(backend, activation, use_bias):
    net = network([Dense(4, 5, activation, use_bias), Dense(5, 3, activation, use_bias)], backend)
    X, y = samples(9)
    _, gradients = net.loss_and_gradients(X, y)
    assert_gradients_are(gradients, numeric_gradients(net.layers, X, y), 1e-8)


@each_backend
@each_activation
@each_bias
def test_gradients_of_activation_layers(backend, activation, use_bias):
    between, last = ACTIVATION_LAYERS[activation](), ACTIVATION_LAYERS[activation]()
    net = network([Dense(4, 5, use_bias=use_bias), between, Dense(5, 3, use_bias=use_bias), last], backend)
    X, y = samples(9)
    _, gradients = net.loss_and_gradients(X, y)
    assert_gradients_are(gradients, numeric_gradients(net.layers, X, y), 1e-8)


STACKS = {
    "with an activation in its own pass": lambda: [Dense(4, 5, "elu"), Dense(5, 6, "softplus"), Dense(6, 3, "relu")],
    "activation first": lambda: [Tanh(), Dense(4, 3)],
    "two activations first": lambda: [Sigmoid(), Tanh(), Dense(4, 3, "relu"), Dense(3, 3)],
    "activation last": lambda: [Dense(4, 3), Sigmoid()],
    "relu last": lambda: [Dense(4, 3), ReLU()],
    "two in a row": lambda: [Dense(4, 5), Tanh(), Sigmoid(), Dense(5, 3)],
    "three in a row at the end": lambda: [Dense(4, 3), Sigmoid(), Identity(), Tanh()],
    "on top of a fused one": lambda: [Dense(4, 5, "tanh"), Sigmoid(), Dense(5, 3, "sigmoid"), Tanh()],
    "relu twice": lambda: [Dense(4, 6, "relu"), ReLU(), Dense(6, 3)],
    "deep and narrow": lambda: [Dense(4, 1, "tanh"), Dense(1, 1, "sigmoid", False), Dense(1, 3)],
}


@each_backend
@pytest.mark.parametrize("stack", STACKS)
def test_gradients_wherever_activations_stand(backend, stack):
    net = network(STACKS[stack](), backend)
    X, y = samples(9)
    _, gradients = net.loss_and_gradients(X, y, l2=0.1)
    assert_gradients_are(gradients, numeric_gradients(net.layers, X, y, l2=0.1), 1e-8)


@each_backend
@each_dtype
@pytest.mark.parametrize("stack", STACKS)
def test_outputs_follow_the_formulas(backend, dtype, stack):
    net = network(STACKS[stack](), backend, dtype)
    X, _ = samples(9, dtype=dtype)
    expected = logits_of(net.layers, X)
    y = X
    for layer in net.layers:
        y = layer.forward(y)
    assert y.dtype == dtype
    assert_close(y, expected, ROUNDING[dtype])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    n_rows=st.integers(1, 12),
    activation=st.sampled_from(["identity", "relu", "sigmoid", "tanh"]),
    backend=st.sampled_from(["numba", "numpy"]),
    use_bias=st.booleans(),
)
def test_gradients_of_any_shape(widths, n_rows, activation, backend, use_bias):
    net = network([Dense(*pair, activation, use_bias) for pair in pairwise(widths)], backend)
    X, y = samples(n_rows, widths[0], widths[-1])
    _, gradients = net.loss_and_gradients(X, y, l2=0.1)
    assert_gradients_are(gradients, numeric_gradients(net.layers, X, y, l2=0.1), 1e-7)


@each_backend
@each_activation
@each_bias
def test_backward_of_a_dense_layer(backend, activation, use_bias):
    layer = network([Dense(4, 5, activation, use_bias)], backend).layers[0]
    rng = np.random.default_rng(1)
    x, grad_y = rng.standard_normal((6, 4)), rng.standard_normal((6, 5))

    def objective():
        return (logits_of([layer], x) * grad_y).sum()

    grad_x = layer.backward(x, layer.forward(x), grad_y)
    assert_close(grad_x, numeric_gradient(objective, x), 1e-8)
    assert_close(layer.gradient.weights, numeric_gradient(objective, layer.weights), 1e-8)
    assert_close(layer.gradient.bias, numeric_gradient(objective, layer.bias) if use_bias else None, 1e-8)


@each_backend
@each_dtype
@each_activation
def test_backward_of_an_activation_layer(backend, dtype, activation):
    layer = network([ACTIVATION_LAYERS[activation](), Dense(4, 2)], backend, dtype).layers[0]
    rng = np.random.default_rng(1)
    x, grad_y = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    expected = numeric_gradient(lambda: (FORMULAS[activation](x) * grad_y).sum(), x)
    grad_x = layer.backward(x.astype(dtype), layer.forward(x.astype(dtype)), grad_y.astype(dtype))
    assert grad_x.dtype == dtype
    assert_close(grad_x, expected, max(ROUNDING[dtype], 1e-8))
    assert layer.gradient == fastfnn.Gradient(None, None)


@each_backend
@each_dtype
def test_backward_writes_to_none_of_its_arguments(backend, dtype):
    layer = network([Dense(4, 5, "tanh")], backend, dtype).layers[0]
    rng = np.random.default_rng(1)
    x, grad_y = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal((6, 5)).astype(dtype)
    y = layer.forward(x)
    arrays = (x, y, grad_y, layer.weights, layer.bias)
    before = [array.copy() for array in arrays]
    layer.backward(x, y, grad_y)
    for array, copy in zip(arrays, before, strict=True):
        assert np.array_equal(array, copy)


@each_backend
def test_backward_starts_from_zero_each_time(backend):
    layer = network([Dense(2, 2)], backend).layers[0]
    x = np.array([[1.0, 2.0]])
    for _ in range(2):
        layer.backward(x, layer.forward(x), np.array([[1.0, -1.0]]))
    assert layer.gradient.weights.tolist() == [[1, -1], [2, -2]]
    assert layer.gradient.bias.tolist() == [1, -1]


@each_backend
@each_dtype
def test_dense_layer_on_a_worked_example(backend, dtype):
    layer = network([Dense(2, 2, "relu")], backend, dtype).layers[0]
    layer.weights[...] = [[1, -1], [2, 0.5]]
    layer.bias[...] = [-4, 0.25]
    x = np.array([[1, 2], [-1, 0]], dtype)
    y = layer.forward(x)
    assert y.tolist() == [[1, 0.25], [0, 1.25]]
    assert layer.backward(x, y, np.array([[1, 2], [3, 4]], dtype)).tolist() == [[-1, 3], [-4, 2]]
    assert layer.gradient.weights.tolist() == [[1, -2], [2, 4]]
    assert layer.gradient.bias.tolist() == [1, 6]


@each_backend
def test_relu_hands_nothing_back_at_zero(backend):
    layer = network([ReLU(), Dense(1, 1)], backend).layers[0]
    x = np.array([[0.0], [-0.0], [1e-300], [-1e-300]])
    y = layer.forward(x)
    assert layer.backward(x, y, np.ones((4, 1))).tolist() == [[0], [0], [1], [0]]


@each_backend
@each_dtype
@pytest.mark.parametrize("layer_class", [Sigmoid, Tanh])
def test_saturated_activations_stay_finite(backend, dtype, layer_class):
    layer = network([layer_class(), Dense(2, 1)], backend, dtype).layers[0]
    x = np.array([[-1e4, 1e4]], dtype)
    y = layer.forward(x)
    assert y.tolist() == [[0 if layer_class is Sigmoid else -1, 1]]
    assert layer.backward(x, y, np.ones((1, 2), dtype)).tolist() == [[0, 0]]


@each_backend
def test_forward_writes_where_it_is_told(backend):
    for layer in network([Dense(4, 3), Tanh()], backend).layers:
        x = np.ones((2, 4 if isinstance(layer, Dense) else 3))
        out = np.full((2, 3), np.nan)
        assert layer.forward(x, out) is out
        assert np.array_equal(out, layer.forward(x))


def test_a_layer_without_a_network_says_what_to_do():
    layer = Dense(2, 3)
    for use in (lambda: layer.weights, lambda: layer.bias, lambda: layer.forward(np.ones((1, 2)))):
        with pytest.raises(RuntimeError, match="this Dense belongs to no network yet: build a Network with it first"):
            use()


def test_no_bias_is_none():
    layer = network([Dense(2, 3, use_bias=False)], "numpy").layers[0]
    assert layer.bias is None
    assert list(layer.parameters) == ["weights"]


@each_dtype
def test_parameters_are_plain_arrays_of_the_networks_dtype(dtype):
    layer = network([Dense(2, 3)], "numpy", dtype).layers[0]
    assert (layer.weights.shape, layer.bias.shape) == ((2, 3), (3,))
    for array in layer.parameters.values():
        assert type(array) is np.ndarray
        assert array.dtype == dtype
        assert array.flags.writeable
        assert array.flags.c_contiguous


@pytest.mark.parametrize("width", [0, -1, 2.0, "3", None, True])
def test_widths_that_are_no_counts_are_refused(width):
    with pytest.raises(ValueError, match="n_inputs must be a whole number from 1 up; got"):
        Dense(width, 3)
    with pytest.raises(ValueError, match="n_outputs must be a whole number from 1 up; got"):
        Dense(3, width)


def test_widths_may_be_numpy_integers():
    assert Dense(np.int64(3), np.uint8(4)).config()["n_outputs"] == 4


@pytest.mark.parametrize("activation", ["swish", "", "ReLU", 1, ["relu"]])
def test_unknown_activation_is_refused_with_those_there_are(activation):
    with pytest.raises(ValueError, match=r"unknown activation .*activation must be one of identity, relu, sig"):
        Dense(2, 3, activation)


def test_repr_is_what_makes_the_layer():
    layer = Dense(2, 3, "tanh", use_bias=False)
    assert repr(layer) == "Dense(2, 3, activation='tanh', use_bias=False)"
    assert eval(repr(layer)).config() == layer.config()
    assert repr(ReLU()) == "ReLU()"


GELU_STACKS = {
    "between": lambda: [Dense(4, 5), GELU(), Dense(5, 3)],
    "after a fused activation": lambda: [Dense(4, 5, "tanh"), GELU(), Dense(5, 3)],
    "twice, first and last": lambda: [GELU(), GELU(), Dense(4, 3), GELU()],
}


@each_backend
@pytest.mark.parametrize("stack", GELU_STACKS)
def test_gradients_with_gelu(backend, stack):
    net = network(GELU_STACKS[stack](), backend)
    X, y = samples(9)
    _, gradients = net.loss_and_gradients(X, y)
    for layer, gradient in zip(net.layers, gradients, strict=True):
        for name, array in layer.parameters.items():
            expected = numeric_gradient(lambda: net.loss_and_gradients(X, y)[0], array)
            assert_close(getattr(gradient, name), expected, 1e-8)


@each_backend
@each_dtype
def test_gelu_is_half_of_an_argument_near_zero_and_all_of_a_large_one(backend, dtype):
    layer = network([Dense(3, 3), GELU()], backend, dtype).layers[1]
    y = layer.forward(np.array([[1e-3, 10, -10]], dtype))
    assert y == pytest.approx(np.array([[0.5004e-3, 10, 0]]), rel=1e-4, abs=1e-9)


def test_gelu_is_no_activation_of_another_layer():
    with pytest.raises(ValueError, match="gelu is a layer of its own: use Dense"):
        Dense(2, 3, "gelu")


def test_the_nearest_name_is_named():
    with pytest.raises(ValueError, match="did you mean 'sigmoid'"):
        Dense(2, 3, "sigmoyd")
    with pytest.raises(ValueError, match="did you mean 'huber'"):
        fastfnn.Network([Dense(2, 3)], "numpy", loss="hubert")
