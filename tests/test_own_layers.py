"""Layers of a user's own in trainings: with a `backward` of their own, and with parameters."""

from types import SimpleNamespace

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
from fastfnn.distributed import alone
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


def test_a_refused_network_leaves_its_layers_free():
    class OneWay(OwnTanh):
        backward = Layer.backward

    class Fails(OwnDense):
        def draw_parameters(self, dtype, rng):
            raise ZeroDivisionError

    def layers():
        return [Dense(4, 3), OwnTanh(), OwnDense(3, 3)]

    taken, free = Dense(3, 3), layers()
    Network([taken])
    for bad, error in (
        (OneWay(), TypeError),
        (np.tanh, TypeError),
        (Fails(3, 3), ZeroDivisionError),
        (Dense(3, 3, initializer=lambda rng, n_inputs, n_outputs: np.ones(3)), ValueError),
        (taken, ValueError),
        (Dense(5, 3), ValueError),
    ):
        for place in (1, 2, 3):
            with pytest.raises(error):
                Network([*free[:place], bad, *free[place:]], "numpy")
            for layer in free:
                layer.check_free()
    net, same = (Network(stack, "numpy", "float64", seed=3) for stack in (free, layers()))
    for each in (net, same):
        each.fit(*samples(20), SGD(0.1), epochs=2)
    assert bytes_of(net) == bytes_of(same)


class Gain(OwnTanh):
    """A layer whose parameter has another name."""

    def draw_parameters(self, dtype, rng):
        self.gain = np.full(5, 1.5, dtype)

    @property
    def parameters(self):
        return {"gain": self.gain}

    def forward(self, x, out=None):
        return np.multiply(x, self.gain, out=out)

    def backward(self, x, y, grad_y):
        self.gradient = SimpleNamespace(gain=(x * grad_y).sum(axis=0))
        return grad_y * self.gain


class GainWithGradient(Gain):
    """The same, with a gradient of its own."""

    def start_gradient(self):
        self.gradient = SimpleNamespace(gain=np.zeros_like(self.gain))


class Factor(OwnTanh):
    """The same, named as fastfnn names parameters."""

    def draw_parameters(self, dtype, rng):
        self.weights = np.full(5, 1.5, dtype)

    @property
    def parameters(self):
        return {"weights": self.weights}

    def forward(self, x, out=None):
        return np.multiply(x, self.weights, out=out)

    def backward(self, x, y, grad_y):
        self.gradient = Gradient(weights=(x * grad_y).sum(axis=0))
        return grad_y * self.weights


@each_backend
def test_parameters_of_other_names_are_refused_when_a_training_starts(backend):
    net = Network([Dense(4, 5), Gain(), Dense(5, 3)], backend, "float64", seed=3)
    X, y = samples(20)
    before, optimizer, calls = bytes_of(net), Adam(0.1), []
    assert list(net.parameters)[2] == "1.gain"
    assert net.predict(X).shape == (20,)
    assert np.isfinite(net.evaluate(X, y)[0])
    message = "the parameters of Gain must be named weights and bias; got 'gain'"
    for batch_size in (None, 1, 7):
        with pytest.raises(TypeError, match=message):
            net.fit(X, y, optimizer, batch_size=batch_size, step_callbacks=[calls.append])
    with pytest.raises(TypeError, match=message):
        net.loss_and_gradients(X, y)
    assert bytes_of(net) == before
    assert (optimizer.n_steps, calls) == (0, [])


@each_backend
@pytest.mark.parametrize("batch_size", [None, 1, 7])
@pytest.mark.parametrize("group", [None, alone(4)])
def test_parameters_of_other_names_are_trained_by_a_layer_with_its_own_gradient(
    small_blocks, backend, batch_size, group
):
    X, y = samples(20)
    named, plain = (
        Network([Dense(4, 5, "tanh"), layer, Dense(5, 3)], backend, "float64", seed=3)
        for layer in (GainWithGradient(), Factor())
    )
    for net in (named, plain):
        net.fit(X, y, Adam(0.1), epochs=3, batch_size=batch_size, l2=0.1, clip_norm=1.0, communicator=group)
    assert (named.layers[1].gain != 1.5).all()
    assert_same_numbers(named, plain, 1e-12)
    assert_close(named.layers[1].gradient.gain, plain.layers[1].gradient.weights, 1e-12)


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
@pytest.mark.parametrize("place", ["between", "first", "last"])
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda y: y.astype(np.float64), "({n}, {width}), float64"),
        (lambda y: y[:, :2], "({n}, 2), float32"),
        (lambda y: y[0], "({width},), float32"),
        (lambda y: y[:, :, np.newaxis], "({n}, {width}, 1), float32"),
        (lambda y: None, "None"),
        (lambda y: 0.5, "0.5"),
    ],
)
def test_an_output_of_another_shape_or_dtype_is_refused(backend, place, wrong, got):
    class Wrong(OwnTanh):
        def forward(self, x, out=None):
            return wrong(np.tanh(x))

    X, y = samples(20, dtype="float32")
    net = Network(PLACES[place](Wrong), backend)
    width = {"between": 5, "first": 4, "last": 3}[place]
    before, optimizer = bytes_of(net), Adam(0.1)
    for n, call in (
        (20, lambda: net.fit(X, y, optimizer)),
        (7, lambda: net.fit(X, y, optimizer, batch_size=7)),
        (1, lambda: net.fit(X, y, optimizer, batch_size=1)),
        (20, lambda: net.loss_and_gradients(X, y)),
        (20, lambda: net.evaluate(X, y)),
        (20, lambda: net.predict(X)),
        (3, lambda: net.predict_proba(X[:3])),
    ):
        with pytest.raises(ValueError, match="must return y") as caught:
            call()
        assert str(caught.value) == (
            f"Wrong.forward must return y, an array of shape ({n}, {width}) and dtype float32; "
            f"got {got.format(n=n, width=width)}"
        )
    assert bytes_of(net) == before
    assert optimizer.n_steps == 0


class InColumns(OwnTanh):
    """A layer whose arrays are stored column by column."""

    def forward(self, x, out=None):
        return np.asfortranarray(np.tanh(x))

    def backward(self, x, y, grad_y):
        return np.asfortranarray(super().backward(x, y, grad_y))


class EveryOther(OwnTanh):
    """A layer whose arrays are views with gaps."""

    def forward(self, x, out=None):
        return np.repeat(np.tanh(x), 2, axis=1)[:, ::2]

    def backward(self, x, y, grad_y):
        return np.repeat(super().backward(x, y, grad_y), 2, axis=1)[:, ::2]


@each_backend
@each_dtype
@pytest.mark.parametrize("kind", [InColumns, EveryOther])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_outputs_need_not_be_contiguous(small_blocks, backend, dtype, kind, place, batch_size):
    X, y = samples(20, dtype=dtype)
    own, plain = (Network(PLACES[place](tanh), backend, dtype, seed=3) for tanh in (kind, OwnTanh))
    for net in (own, plain):
        net.fit(X, y, SGD(0.1), epochs=2, batch_size=batch_size)
    assert bytes_of(own) == bytes_of(plain)
    for rows in (X, X[:3]):
        assert own.predict_proba(rows).tobytes() == plain.predict_proba(rows).tobytes()
    assert own.evaluate(X, y) == plain.evaluate(X, y)


@each_backend
@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_an_error_in_backward_leaves_a_gradient_with_arrays(backend, batch_size):
    class Fails(OwnDense):
        def backward(self, x, y, grad_y):
            if fails:
                raise ZeroDivisionError
            return super().backward(x, y, grad_y)

    layers, (X, y), fails = [Dense(4, 5), Fails(5, 6), Dense(6, 3)], samples(20), True
    net = Network(layers, backend, "float64", seed=3)
    before, optimizer = bytes_of(net), SGD(0.1)
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, optimizer, batch_size=batch_size)
    for layer in layers:
        assert (layer.gradient.weights.shape, layer.gradient.bias.shape) == (layer.weights.shape, layer.bias.shape)
    assert bytes_of(net) == before
    assert optimizer.n_steps == 0
    fails = False
    same = Network([Dense(4, 5), OwnDense(5, 6), Dense(6, 3)], backend, "float64", seed=3)
    same.rng.bit_generator.state = net.rng.bit_generator.state
    for each in (net, same):
        each.fit(X, y, SGD(0.1), epochs=2, batch_size=batch_size)
    assert bytes_of(net) == bytes_of(same)


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
