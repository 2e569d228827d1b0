"""Layers of a user's own in trainings: with a `backward` of their own, and with parameters."""

import numpy as np
import pytest
from networks import (
    ROUNDING,
    Doubling,
    assert_close,
    bytes_of,
    each_backend,
    each_dtype,
    numeric_gradient,
    samples,
    sparse_samples,
)

from fastfnn import SGD, Adam, Dense, Gradient, Layer, Network, Tanh
from fastfnn.execution import thresholds
from fastfnn.execution.plan import Propagation, Storage, Update
from fastfnn.execution.thresholds import ROWS_OF_LARGE_BLOCK


class OwnTanh(Layer):
    """As little as a layer without parameters needs."""

    def n_outputs_for(self, n_inputs):
        return n_inputs

    def forward(self, x, out=None):
        return np.tanh(x)

    def backward(self, x, y, grad_y):
        return grad_y * (1 - y * y)

    def config(self):
        return {}


class InPlace(OwnTanh):
    """The same, written into the memory that the network offers."""

    def forward(self, x, out=None):
        return np.tanh(x, out=out)


class OwnDense(Layer):
    """As little as a layer with parameters needs."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.n_inputs, self.n_outputs = n_inputs, n_outputs

    def draw_parameters(self, dtype, rng):
        self.weights = rng.standard_normal((self.n_inputs, self.n_outputs)).astype(dtype)
        self.bias = rng.standard_normal(self.n_outputs).astype(dtype)

    @property
    def parameters(self):
        return {"weights": self.weights, "bias": self.bias}

    def n_outputs_for(self, n_inputs):
        return self.n_outputs

    def forward(self, x, out=None):
        return x @ self.weights + self.bias

    def backward(self, x, y, grad_y):
        self.gradient = Gradient(x.T @ grad_y, grad_y.sum(axis=0))
        return grad_y @ self.weights.T

    def config(self):
        return {"n_inputs": self.n_inputs, "n_outputs": self.n_outputs}


class Shift(OwnTanh):
    """A layer whose only parameter is a bias."""

    def draw_parameters(self, dtype, rng):
        self.bias = np.full(5, 0.5, dtype)

    @property
    def parameters(self):
        return {"bias": self.bias}

    def forward(self, x, out=None):
        return np.add(x, self.bias, out=out)

    def backward(self, x, y, grad_y):
        self.start_gradient()
        self.gradient.bias[...] += grad_y.sum(axis=0)
        return grad_y


class Watched(Dense):
    """A layer whose way back is seen."""

    def backward(self, x, y, grad_y):
        self.n_rows_back = [*getattr(self, "n_rows_back", []), len(grad_y)]
        return super().backward(x, y, grad_y)


PLACES = {
    "between": lambda tanh: [Dense(4, 5), tanh(), Dense(5, 3)],
    "after an activation": lambda tanh: [Dense(4, 5, "sigmoid"), tanh(), Dense(5, 3)],
    "before an activation": lambda tanh: [Dense(4, 5), tanh(), Tanh(), Dense(5, 3, "tanh")],
    "first": lambda tanh: [tanh(), Dense(4, 5, "relu"), Dense(5, 3)],
    "last": lambda tanh: [Dense(4, 5, "relu"), Dense(5, 3), tanh()],
    "last, after an activation": lambda tanh: [Dense(4, 3, "sigmoid"), tanh()],
    "everywhere": lambda tanh: [tanh(), tanh(), Dense(4, 5), tanh(), tanh(), Dense(5, 3), tanh(), tanh()],
}


@pytest.fixture
def small_blocks(monkeypatch):
    """Divide few rows into several blocks."""
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", 7)
    monkeypatch.setattr(thresholds, "ROWS_OF_LARGE_BLOCK", 9)


def assert_same_numbers(net, other, tolerance):
    for array, expected in zip(net.parameters.values(), other.parameters.values(), strict=True):
        assert_close(array, expected, tolerance)


@each_backend
@each_dtype
@pytest.mark.parametrize("kind", [OwnTanh, InPlace])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("n_rows", "batch_size"), [(20, None), (20, 7), (ROWS_OF_LARGE_BLOCK + 100, None)])
def test_a_layer_trains_as_the_one_that_is_built_in(backend, dtype, kind, place, n_rows, batch_size):
    X, y = samples(n_rows, dtype=dtype)
    own, built_in = (Network(PLACES[place](tanh), backend, dtype, seed=3) for tanh in (kind, Tanh))
    figures = [
        net.fit(X, y, Adam(0.05), epochs=3, batch_size=batch_size, l2=0.01, validation_data=(X[:9], y[:9]))
        for net in (own, built_in)
    ]
    tolerance = 50 * ROUNDING[dtype]
    for name in ("loss", "validation_loss", "accuracy", "validation_accuracy"):
        assert figures[0][name] == pytest.approx(
            figures[1][name], rel=tolerance, abs=1.1 / n_rows * (name[-1] == "y")
        )
    assert_same_numbers(own, built_in, tolerance)
    assert_close(own.predict_proba(X[:100]), built_in.predict_proba(X[:100]), tolerance)
    for layer in own.layers:
        assert isinstance(layer, Dense) or layer.gradient == Gradient()


@each_backend
def test_a_layer_trains_as_the_one_that_is_built_in_block_by_block(small_blocks, backend):
    X, y = samples(40)
    own, built_in = (Network(PLACES["everywhere"](tanh), backend, "float64", seed=3) for tanh in (OwnTanh, Tanh))
    for net in (own, built_in):
        net.fit(X, y, SGD(0.1), epochs=2, batch_size=20)
    assert_same_numbers(own, built_in, 1e-11)


OWN_PARAMETERS = {
    "between": lambda: [Dense(4, 5, "tanh"), OwnDense(5, 6), Dense(6, 3)],
    "first": lambda: [OwnDense(4, 4), Tanh(), Dense(4, 3)],
    "last": lambda: [Dense(4, 5, "relu"), OwnDense(5, 3)],
    "twice": lambda: [OwnDense(4, 4), OwnTanh(), Dense(4, 5), OwnDense(5, 3), Dense(3, 3)],
    "a bias alone": lambda: [Dense(4, 5, "sigmoid"), Shift(), Tanh(), Dense(5, 3)],
    "a way back of their own beside one of the package": lambda: [Watched(4, 5, "tanh"), Dense(5, 5), Watched(5, 3)],
}


@each_backend
@pytest.mark.parametrize("stack", OWN_PARAMETERS)
def test_gradients_of_own_parameters_add_up_over_blocks(small_blocks, backend, stack):
    net = Network(OWN_PARAMETERS[stack](), backend, "float64", seed=3)
    X, y = samples(25)
    for _ in range(2):  # the second starts from zero again
        _, gradients = net.loss_and_gradients(X, y, l2=0.1, l2_bias=0.2)
        for layer, gradient in zip(net.layers, gradients, strict=True):
            for name, array in layer.parameters.items():
                expected = numeric_gradient(lambda: net.loss_and_gradients(X, y, l2=0.1, l2_bias=0.2)[0], array)
                assert_close(getattr(gradient, name), expected, 1e-7)


@each_backend
@each_dtype
@pytest.mark.parametrize("n_rows", [30, ROWS_OF_LARGE_BLOCK + 100])
@pytest.mark.parametrize("batch_size", [None, 20])
def test_own_parameters_are_trained_as_those_of_dense(backend, dtype, n_rows, batch_size):
    n_rows = min(n_rows, 60) if batch_size else n_rows
    X, y = samples(n_rows, dtype=dtype)
    own, plain = (Network([first(4, 4), Tanh(), Dense(4, 3)], backend, dtype, seed=3) for first in (OwnDense, Dense))
    for name, array in plain.parameters.items():
        array[...] = own.parameters[name]
    optimizers = Adam(0.02), Adam(0.02)
    assert own.plan(X, y, optimizers[0]).update is Update.PER_TENSOR
    for net, optimizer in zip((own, plain), optimizers, strict=True):
        net.fit(X, y, optimizer, epochs=3, batch_size=batch_size, shuffle=False, clip_norm=10.0)
    assert_same_numbers(own, plain, 200 * ROUNDING[dtype])


@each_backend
@pytest.mark.parametrize("batch_size", [None, 1, 8])
def test_a_class_derived_from_dense_that_overrides_backward_is_called(small_blocks, backend, batch_size):
    X, y = samples(20)
    own, plain = (Network([kind(4, 5, "relu"), kind(5, 3)], backend, "float64", seed=3) for kind in (Watched, Dense))
    own.fit(X, y, SGD(0.1), batch_size=batch_size)
    plain.fit(X, y, SGD(0.1), batch_size=batch_size)
    rows_of_block = 9 if backend == "numba" else 7
    sizes = (
        [20] if batch_size is None else [batch_size] * (20 // batch_size) + [20 % batch_size] * (20 % batch_size > 0)
    )
    expected = [min(rows_of_block, size - first) for size in sizes for first in range(0, size, rows_of_block)]
    assert [layer.n_rows_back for layer in own.layers] == [expected, expected]
    assert_same_numbers(own, plain, 1e-12)


@each_backend
@each_dtype
@pytest.mark.parametrize("batch_size", [None, 1, 8])
def test_a_derived_class_that_overrides_backward_takes_dense_inputs(backend, dtype, batch_size):
    X, y = sparse_samples(30, 4, 3, dtype)
    own, plain = (Network([kind(4, 5, "relu"), Dense(5, 3)], backend, dtype, seed=3) for kind in (Watched, Dense))
    for net in (own, plain):
        net.fit(X, y, SGD(0.05), epochs=2, batch_size=batch_size, input_format="sparse")
    plan = own.plan(X, y, SGD(), input_format="sparse")
    assert plan.storage is Storage.DENSE  # `backward` takes arrays
    assert plan.because[0].endswith("takes no packed inputs")
    assert_same_numbers(own, plain, 50 * ROUNDING[dtype])
    assert own.layers[0].n_rows_back


@each_backend
def test_backward_is_called_where_there_is_an_input_gradient_too(backend):
    class Both(Doubling):
        def backward(self, x, y, grad_y):
            calls.append(len(x))
            return 2 * grad_y

    calls = []
    X, y = samples(20)
    own, plain = (Network([Dense(4, 5), layer, Dense(5, 3)], backend, "float64", 3) for layer in (Both(), Doubling()))
    for net in (own, plain):
        net.fit(X, y, SGD(0.1), epochs=2)
    assert calls == [20, 20]
    assert_same_numbers(own, plain, 1e-12)


def test_the_plan_names_the_layer():
    plan = Network([Dense(4, 5), OwnTanh(), Dense(5, 3)]).plan(*samples(20), SGD(), batch_size=1)
    assert plan.propagation is not Propagation.WHOLE_STACK
    assert "one call a step: OwnTanh is not among the layers of one kernel" in plan.because


@each_backend
def test_a_layer_without_a_way_back_is_refused(backend):
    class OneWay(OwnTanh):
        backward = Layer.backward

    with pytest.raises(
        TypeError, match=r"OneWay cannot be trained: implement backward\(x, y, grad_y\), which returns"
    ):
        Network([Dense(4, 3), OneWay()], backend)


@each_backend
def test_parameters_of_other_names_are_refused(backend):
    class Named(OwnDense):
        @property
        def parameters(self):
            return {"weights": self.weights, "gain": self.bias}

    with pytest.raises(TypeError, match="the parameters of Named must be named weights and bias; got 'gain'"):
        Network([Named(4, 3), Dense(3, 3)], backend)


@each_backend
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda x, grad_y: grad_y[:, :2], r"\(20, 2\)"),
        (lambda x, grad_y: grad_y[0], r"\(5,\)"),
        (lambda x, grad_y: grad_y.astype(np.float32), r"\(20, 5\), float32"),
        (lambda x, grad_y: None, "None"),
        (lambda x, grad_y: (x, grad_y), ""),
    ],
)
def test_a_gradient_of_a_wrong_shape_is_refused(backend, wrong, got):
    class Wrong(OwnTanh):
        def backward(self, x, y, grad_y):
            return wrong(x, grad_y)

    net = Network([Dense(4, 5), Wrong(), Dense(5, 3)], backend, "float64")
    before = bytes_of(net)
    message = "Wrong.backward must return the gradient with respect to x, an array of shape"
    with pytest.raises(ValueError, match=rf"{message} \(20, 5\) and dtype float64; got {got}"):
        net.fit(*samples(20), SGD(0.1))
    assert bytes_of(net) == before


@each_backend
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda weights, bias: None, r"set gradient.weights, an array of shape \(5, 6\) and dtype float64; got None"),
        (
            lambda weights, bias: Gradient(weights),
            r"set gradient.bias, an array of shape \(6,\) and dtype float64; got None",
        ),
        (lambda weights, bias: Gradient(weights[:1], bias), r"of shape \(5, 6\) and dtype float64; got \(1, 6\)"),
        (lambda weights, bias: Gradient(weights, 0.5), r"of shape \(6,\) and dtype float64; got 0.5"),
    ],
)
def test_a_missing_gradient_of_a_parameter_is_refused(backend, wrong, message):
    class Wrong(OwnDense):
        def backward(self, x, y, grad_y):
            gradient = wrong(x.T @ grad_y, grad_y.sum(axis=0))
            if gradient is not None:
                self.gradient = gradient
            return grad_y @ self.weights.T

    net = Network([Dense(4, 5), Wrong(5, 6), Dense(6, 3)], backend, "float64")
    before = bytes_of(net)
    with pytest.raises(ValueError, match=f"Wrong.backward must .*{message}"):
        net.fit(*samples(20), SGD(0.1))
    assert bytes_of(net) == before


def test_the_gradient_of_earlier_blocks_is_not_written_to(small_blocks):
    class Writes(OwnDense):
        def backward(self, x, y, grad_y):
            self.gradient.weights[...] = x.T @ grad_y

    with pytest.raises(TypeError, match="NoneType"):
        Network([Dense(4, 5), Writes(5, 6), Dense(6, 3)]).fit(*samples(20), SGD(0.1))


@each_backend
def test_the_first_layer_gives_the_width_of_the_inputs(backend):
    """An own first layer that changes the width has `n_inputs`; its result need not be contiguous."""

    class Halves(Layer):
        n_inputs = 8

        def n_outputs_for(self, n_inputs):
            return 4

        def forward(self, x, out=None):
            return np.ascontiguousarray(x[:, ::2])

        def backward(self, x, y, grad_y):
            return np.repeat(grad_y, 2, axis=1).T.copy().T

        def config(self):
            return {}

    X, y = samples(20)
    wide = np.repeat(X, 2, axis=1)
    net, plain = (Network([*first, Dense(4, 3)], backend, "float64", seed=3) for first in ([Halves()], []))
    assert (net.n_inputs, net.widths) == (8, [4, 3])
    for network, data in ((net, wide), (plain, X)):
        network.fit(data, y, SGD(0.1), epochs=3)
    assert_close(net.layers[1].weights, plain.layers[0].weights, 1e-12)
