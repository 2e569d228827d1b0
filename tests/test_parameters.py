"""The parameters of a small network in one vector: who moves them there, and what is done with all at once."""

import copy
import pickle

import numpy as np
import pytest
from networks import each_backend, samples

from fastfnn import SGD, Adam, AdamW, Dense, Dropout, Network, RMSprop
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.joining import parameters_of
from fastfnn.memory import SMALL_BYTES
from fastfnn.parts import Parts, parts_or_list
from fastfnn.small_networks import SmallBackpropagation
from fastfnn.steps import Steps


def network(backend="numba", dtype="float64"):
    return Network([Dense(4, 6, "tanh"), Dense(6, 3)], backend, dtype, seed=3)


def assert_same_bits(one, other):
    for name, array in one.parameters.items():
        assert array.tobytes() == other.parameters[name].tobytes(), name


def test_arrays_are_views_of_the_vector_in_order():
    arrays = [np.arange(6.0).reshape(2, 3), np.array([6.0]), np.arange(7.0, 11).reshape(4, 1)]
    parts = Parts.copied(arrays)
    assert parts.vector.tolist() == list(range(11))
    for part, array in zip(parts, arrays, strict=True):
        assert np.array_equal(part, array)
        assert part.base is parts.vector
    assert len(parts) == 3
    filled = parts.filled(2)
    assert [part.shape for part in filled] == [(2, 3), (1,), (4, 1)]
    assert np.all(filled.vector == 2)
    assert parts.vector[0] == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda parts: pickle.loads(pickle.dumps(parts))])
def test_a_copy_is_whole(copied):
    parts = Parts.copied([np.zeros((2, 2)), np.ones(3)])
    other = copied(parts)
    other.vector[:] = 5
    assert [part.sum() for part in other] == [20, 15]
    assert parts.vector.sum() == 3


def test_only_all_of_a_vector_in_order_are_its_parts():
    vector = np.arange(10.0)
    first, second = vector[:4].reshape(2, 2), vector[4:]
    parts = parts_or_list([first, second])
    assert isinstance(parts, Parts)
    assert parts.vector is vector
    for others in ([second, first], [first], [first, second[:5]], [first, vector[4:9]], [first, np.zeros(6)]):
        assert isinstance(parts_or_list(others), list)
    assert isinstance(parts_or_list([vector[::-1][:4], vector[4:]]), list)
    assert isinstance(parts_or_list([vector[:4], vector.view(np.int64)[4:]]), list)


def test_a_small_network_has_one_vector_from_the_start_and_keeps_it():
    net = network()
    X, y = samples(30)
    held = net.parameters
    parts = parameters_of(net.layers)
    assert isinstance(parts, Parts)
    net.fit(X, y, Adam(0.1), epochs=2)
    for name, array in net.parameters.items():
        assert array is held[name]
    assert np.array_equal(parts.vector[-3:], net.layers[1].bias)
    net.reset(seed=3)
    assert_same_bits(net, network())


def test_large_networks_and_layers_of_others_keep_their_arrays():
    class Own(Dense):
        pass

    n_inputs = SMALL_BYTES // (8 * 6)
    for layers in ([Own(4, 6), Dense(6, 3)], [Dense(n_inputs, 6), Dense(6, 3)]):
        net = Network(layers, "numpy", "float64")
        assert isinstance(parameters_of(net.layers), list)
        assert all(a is b for a, b in zip(parameters_of(net.layers), net.parameters.values(), strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.1)])
def test_copies_of_network_and_optimizer_go_on_alike(copied, optimizer):
    optimizer = copy.deepcopy(optimizer)
    net = Network([Dense(4, 6, "tanh"), Dense(6, 3)], "numpy", "float64", seed=3)
    X, y = samples(30)
    net.fit(X, y, optimizer, epochs=2)
    layers = [Dense(4, 6, "tanh"), Dense(6, 3)]
    other_optimizer, other = copied(optimizer), Network(layers, "numpy", "float64")
    for name, array in other.parameters.items():
        array[...] = net.parameters[name]
    for model, its in ((net, optimizer), (other, other_optimizer)):
        model.fit(X, y, its, epochs=2)
    assert_same_bits(net, other)
    assert_states_alike(optimizer, other_optimizer)


def assert_states_alike(one, other):
    for name, values in one.state.items():
        for value, wanted in zip(values, other.state[name], strict=True):
            assert np.array_equal(value, wanted)


class OneByOne(list):
    """Parameters that are no parts of a vector, whatever they are views of."""


@each_backend
@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0.1),
        lambda: SGD(0.1, momentum=0.9, nesterov=True),
        lambda: Adam(0.1),
        lambda: AdamW(0.1),
        lambda: RMSprop(0.1),
        lambda: RMSprop(0.1, granularity="tensor", initial=1.0),
    ],
)
def test_all_at_once_and_one_by_one_give_the_same_bits(backend, make):
    together, apart = network(backend, "float32"), network(backend, "float32")
    rng = np.random.default_rng(5)
    optimizers = make(), make()
    for _ in range(3):
        gradient = parameters_of(together.layers).filled(0)
        gradient.vector[:] = rng.standard_normal(gradient.vector.size)
        optimizers[0].step(together.kernels, parameters_of(together.layers), gradient)
        optimizers[1].step(apart.kernels, OneByOne(apart.parameters.values()), OneByOne(gradient))
    assert_same_bits(together, apart)
    assert_states_alike(*optimizers)


def test_a_derived_optimizer_is_asked_for_each_parameter():
    class Noted(Adam):
        def _update(self, kernels, index, parameter, gradient):
            seen.append((index, parameter.shape))
            super()._update(kernels, index, parameter, gradient)

    seen = []
    net, same = network(), network()
    X, y = samples(30)
    net.fit(X, y, Noted(0.1), epochs=1)
    same.fit(X, y, Adam(0.1), epochs=1)
    assert seen == [(0, (4, 6)), (1, (6,)), (2, (6, 3)), (3, (3,))]
    assert_same_bits(net, same)


@each_backend
def test_factors_of_single_layers_are_kept(backend):
    net = Network([Dense(4, 6, "tanh", learning_rate_factor=0), Dense(6, 3)], backend, "float64", seed=3)
    before = net.layers[0].weights.copy()
    X, y = samples(30)
    net.fit(X, y, Adam(0.1), epochs=3)
    assert np.array_equal(net.layers[0].weights, before)
    assert not np.array_equal(net.layers[1].weights, network().layers[1].weights)


def test_a_resumed_optimizer_changes_all_at_once(tmp_path):
    net, optimizer = network(), Adam(0.1)
    X, y = samples(30)
    net.fit(X, y, optimizer, epochs=2, callbacks=[Checkpoint(tmp_path / "checkpoint")])
    resumed, its = network(), Adam(0.1)
    load_checkpoint(tmp_path / "checkpoint", resumed, its)
    assert_states_alike(optimizer, its)
    assert its._takes_all_at_once()
    net.fit(X, y, optimizer, epochs=2)
    resumed.fit(X, y, its, epochs=2)
    assert_same_bits(net, resumed)
    assert_states_alike(optimizer, its)


def test_gradients_of_layers_are_views_that_go_on_being_written(monkeypatch):
    seen = []
    monkeypatch.setattr(Steps, "_call_back", lambda steps, step: seen.append(steps._backpropagation))
    net = network()
    X, y = samples(30)
    net.fit(X, y, SGD(0.1), epochs=2, step_callbacks=[print])
    assert isinstance(seen[-1], SmallBackpropagation)
    assert net.layers[0].gradient.weights.base is seen[-1].gradients.vector
    gradient = net.layers[1].gradient.bias.copy()
    _, wanted = net.loss_and_gradients(X, y)
    net.fit(X, y, SGD(0.1), epochs=1)
    assert np.array_equal(net.layers[1].gradient.bias, wanted[1].bias)
    assert not np.array_equal(net.layers[1].gradient.bias, gradient)


def test_dropout_between_does_not_keep_parameters_apart():
    net = Network([Dense(4, 6, "relu"), Dropout(0.5), Dense(6, 3)], "numpy", "float64", seed=3)
    assert isinstance(parameters_of(net.layers), Parts)
