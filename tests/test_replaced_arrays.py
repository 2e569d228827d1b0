"""Arrays that a layer replaces by others: the training that follows takes those."""

import copy
import pickle

import numpy as np
import pytest
from networks import bytes_of, each_backend, each_dtype, samples

from fastfnn import SGD, Adam, Dense, Gradient, Layer, Network, RMSprop
from fastfnn.parameters import CONTIGUOUS_BYTES, FlatArrays

each_batch_size = pytest.mark.parametrize("batch_size", [None, 1, 7])

OPTIMIZERS = [
    lambda: SGD(0.05),
    lambda: SGD(0.05, momentum=0.5),
    lambda: Adam(0.02),
    lambda: RMSprop(0.05, granularity="tensor", initial=1.0),
]
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS)


class Scale(Layer):
    """A layer of a user's own that assigns its array anew."""

    def draw_parameters(self, dtype, rng):
        self.weights = rng.uniform(1, 2, 4).astype(dtype)

    def reset_parameters(self, rng):
        self.draw_parameters(self.weights.dtype, rng)

    @property
    def parameters(self):
        return {"weights": self.weights}

    def n_outputs_for(self, n_inputs):
        return n_inputs

    def forward(self, x, out=None):
        return np.multiply(x, self.weights, out=out)

    def backward(self, x, y, grad_y):
        self.gradient = Gradient(weights=(x * grad_y).sum(axis=0))
        return grad_y * self.weights

    def config(self):
        return {}


def scaled_network(backend="numpy", dtype="float64"):
    return Network([Scale(), Dense(4, 5, "relu"), Dense(5, 3)], backend, dtype, seed=3)


def plain_network(backend="numpy", dtype="float64", n_hidden=6):
    return Network([Dense(4, n_hidden, "relu"), Dense(n_hidden, 3)], backend, dtype, seed=3)


def large_network(backend="numpy", dtype="float64"):
    """Return a network whose parameters have gaps between them."""
    net = plain_network(backend, dtype, CONTIGUOUS_BYTES // 32 + 1)
    assert not net.parameter_arrays.layout.is_contiguous
    return net


def learnable(dtype="float64"):
    X, _ = samples(40, dtype=dtype)
    return X, X[:, :3].argmax(axis=1)


def train(net, optimizer, batch_size=None, epochs=3):
    X, y = learnable(net.dtype.name)
    return net.fit(X, y, optimizer, epochs, batch_size)["loss"]


def assert_is_trained(net, optimizer, batch_size=None):
    """Train a network, and see every array of its layers move, and its loss fall."""
    X, y = learnable(net.dtype.name)
    before, loss = {name: array.copy() for name, array in net.parameters.items()}, net.evaluate(X, y)[0]
    train(net, optimizer, batch_size, epochs=10)
    for name, array in net.parameters.items():
        assert (array != before[name]).any(), name
    assert net.evaluate(X, y)[0] < 0.95 * loss


def replace_by_copies(net):
    for layer in net.layers:
        if isinstance(layer, Dense):
            layer.use_arrays(**{name: array.copy() for name, array in layer.parameters.items()})


@each_backend
@each_batch_size
@each_optimizer
def test_an_array_that_a_layer_assigns_is_trained(backend, batch_size, make):
    net, same = scaled_network(backend), scaled_network(backend)
    new = np.array([0.5, 2.0, -1.0, 1.0])
    net.layers[0].weights = new
    same.layers[0].weights[...] = new
    given = new.copy()
    assert_is_trained(net, make(), batch_size)
    assert net.layers[0].weights is new  # it is changed in place
    assert (new != given).any()
    train(same, make(), batch_size, epochs=10)
    assert bytes_of(net) == bytes_of(same)


@each_backend
@each_batch_size
@each_optimizer
def test_arrays_that_a_reset_assigns_are_trained(backend, batch_size, make):
    net, new, optimizer = scaled_network(backend), scaled_network(backend), make()
    train(net, optimizer, batch_size)
    held = net.layers[0].weights
    net.reset(seed=3)
    optimizer.reset()
    assert net.layers[0].weights is not held
    assert bytes_of(net) == bytes_of(new)
    assert_is_trained(net, optimizer, batch_size)
    train(new, make(), batch_size, epochs=10)
    assert bytes_of(net) == bytes_of(new)


@each_backend
@each_dtype
@each_batch_size
@each_optimizer
@pytest.mark.parametrize("build", [plain_network, large_network])
def test_arrays_given_to_dense_layers_are_trained(backend, dtype, batch_size, make, build):
    net, same = build(backend, dtype), build(backend, dtype)
    replace_by_copies(net)
    assert bytes_of(net) == bytes_of(same)
    assert train(net, make(), batch_size) == train(same, make(), batch_size)
    assert bytes_of(net) == bytes_of(same)
    assert isinstance(net.parameter_arrays, FlatArrays)
    assert all(a is b for a, b in zip(net.parameters.values(), net.parameter_arrays, strict=True))


@each_backend
@each_batch_size
@each_optimizer
def test_an_optimizer_goes_on_with_arrays_that_were_replaced(backend, batch_size, make):
    net, same, optimizers = plain_network(backend), plain_network(backend), (make(), make())
    for _ in range(3):
        losses = [train(each, its, batch_size) for each, its in zip((net, same), optimizers, strict=True)]
        assert losses[0] == losses[1]
        replace_by_copies(net)
    assert bytes_of(net) == bytes_of(same)
    assert optimizers[0].n_steps == optimizers[1].n_steps


@each_backend
@pytest.mark.parametrize("place", [0, 1])
def test_the_arrays_of_one_layer_may_be_replaced(backend, place):
    net, same = plain_network(backend), plain_network(backend)
    layer = net.layers[place]
    layer.use_arrays(layer.weights.copy(), layer.bias)
    assert_is_trained(net, SGD(0.1))
    train(same, SGD(0.1), epochs=10)
    assert bytes_of(net) == bytes_of(same)


@each_backend
def test_gradients_are_those_of_replaced_arrays(backend):
    X, y = learnable()
    net, same = plain_network(backend), plain_network(backend)
    for each in (net, same):
        each.layers[0].use_arrays(np.full((4, 6), 0.25), np.linspace(-1, 1, 6))
    same = pickle.loads(pickle.dumps(same))
    loss, gradients = net.loss_and_gradients(X, y, l2=0.1)
    expected_loss, expected = same.loss_and_gradients(X, y, l2=0.1)
    assert loss == expected_loss
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert gradient.weights.tobytes() == wanted.weights.tobytes()
        assert gradient.bias.tobytes() == wanted.bias.tobytes()


@each_backend
@pytest.mark.parametrize("build", [plain_network, large_network, scaled_network])
def test_a_plan_leaves_replaced_arrays_as_they_are(backend, build):
    X, y = learnable()
    net = build(backend)
    plan = net.plan(X, y, Adam())
    replace_by_copies(net)
    before, outputs = bytes_of(net), net.predict_proba(X).tobytes()
    assert net.plan(X, y, Adam()) == plan
    assert bytes_of(net) == before
    assert net.predict_proba(X).tobytes() == outputs


@each_backend
@each_batch_size
@pytest.mark.parametrize("make", OPTIMIZERS[1:3])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("build", [plain_network, large_network, scaled_network])
def test_a_network_and_its_shallow_copy_may_be_copied_together(backend, batch_size, make, copied, build):
    """Both share their layers: whichever is trained, its arrays are those of the layers."""
    original = build(backend)
    before = bytes_of(original)
    for first in (0, 1):
        nets = copied((original, copy.copy(original)))
        assert all(a is b for a, b in zip(nets[0].layers, nets[1].layers, strict=True))
        same, optimizers = build(backend), (make(), make())
        for net in (nets[first], nets[1 - first], nets[first]):
            net.rng.bit_generator.state = same.rng.bit_generator.state
            losses = [train(each, its, batch_size) for each, its in zip((net, same), optimizers, strict=True)]
            assert losses[0] == losses[1]
            assert bytes_of(nets[0]) == bytes_of(nets[1]) == bytes_of(same)
        for net in nets:
            assert all(array.tobytes() != before[name] for name, array in net.parameters.items())
            assert net.evaluate(*learnable())[0] < 0.95 * original.evaluate(*learnable())[0]
    assert bytes_of(original) == before
