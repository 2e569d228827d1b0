"""The parameters of a network in one flat vector: their layout, and one update for all of them."""

import copy
import pickle

import numpy as np
import pytest
from networks import each_backend, samples

from fastfnn import SGD, Adam, AdamW, Dense, Dropout, Network, Optimizer, RMSprop, Tanh
from fastfnn._memory import CACHE_LINE
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.execution.plan import Propagation, Update
from fastfnn.parameters import CONTIGUOUS_BYTES, FlatArrays, layout_of


def network(backend="numba", dtype="float64"):
    return Network([Dense(4, 6, "tanh"), Dense(6, 3)], backend, dtype, seed=3)


def large_layers(dtype="float64"):
    """Return layers whose parameters are too many to be stored without gaps."""
    return [Dense(CONTIGUOUS_BYTES // (np.dtype(dtype).itemsize * 7), 7, "relu"), Dense(7, 3)]


def assert_same_bits(one, other):
    for name, array in one.parameters.items():
        assert array.tobytes() == other.parameters[name].tobytes(), name


def test_arrays_are_views_of_the_vector_in_order():
    arrays = [np.arange(6.0).reshape(2, 3), np.array([6.0]), np.arange(7.0, 11).reshape(4, 1)]
    flat = FlatArrays.copied(arrays)
    assert flat.vector.tolist() == list(range(11))
    for view, array in zip(flat, arrays, strict=True):
        assert np.array_equal(view, array)
        assert view.base is flat.vector
    assert len(flat) == 3
    filled = flat.filled(2)
    assert filled.layout is flat.layout
    assert [view.shape for view in filled] == [(2, 3), (1,), (4, 1)]
    assert np.all(filled.vector == 2)
    assert flat.vector[0] == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda flat: pickle.loads(pickle.dumps(flat))])
def test_a_copy_is_whole(copied):
    flat = FlatArrays.copied([np.zeros((2, 2)), np.ones(3)])
    other = copied(flat)
    other.vector[:] = 5
    assert [view.sum() for view in other] == [20, 15]
    assert flat.vector.sum() == 3
    assert all(view.base is other.vector for view in other)


def test_the_layout_has_no_gaps_up_to_a_size_and_whole_cache_lines_beyond(dtype):
    per_line, largest = CACHE_LINE // dtype.itemsize, CONTIGUOUS_BYTES // dtype.itemsize
    small = layout_of([(1,), (2, 3), (largest - 7,)], dtype)
    assert (small.starts, small.size, small.is_contiguous) == ((0, 1, 7), largest, True)
    assert small.shapes == ((1,), (2, 3), (largest - 7,))
    large = layout_of([(1,), (2, 3), (largest - 6,)], dtype)
    assert large.starts == (0, per_line, 2 * per_line)
    assert (large.size, large.is_contiguous) == (2 * per_line + largest - 6, False)
    whole_lines = layout_of([(per_line, 2), (largest,)], dtype)
    assert (whole_lines.starts, whole_lines.is_contiguous) == ((0, 2 * per_line), True)


def test_numbers_in_gaps_stay_zero():
    net = Network([*large_layers(), Tanh()], "numpy", "float64", seed=3)
    flat = net.parameter_arrays
    gaps = np.ones(flat.layout.size, bool)
    for start, view in zip(flat.layout.starts, flat, strict=True):
        gaps[start : start + view.size] = False
        assert view.ctypes.data % CACHE_LINE == 0
    assert gaps.any()
    X, y = samples(30, net.n_inputs)
    for optimizer in (SGD(0.1, momentum=0.9), AdamW(0.1), RMSprop(0.1)):
        assert net.plan(X, y, optimizer).update is Update.FLAT
        net.fit(X, y, optimizer, epochs=2, l2=0.1)
        assert not flat.vector[gaps].any()
        assert flat.vector[~gaps].all()


@pytest.mark.parametrize("layers", [lambda: [Dense(4, 6, "tanh"), Dense(6, 3)], large_layers])
def test_a_network_has_one_vector_from_the_start_and_keeps_it(layers):
    net = Network(layers(), "numba", "float64", seed=3)
    X, y = samples(30, net.n_inputs)
    held, flat = net.parameters, net.parameter_arrays
    assert isinstance(flat, FlatArrays)
    net.fit(X, y, Adam(0.1), epochs=2)
    assert net.parameter_arrays is flat
    for (name, array), view in zip(net.parameters.items(), flat, strict=True):
        assert array is held[name] is view
        assert np.shares_memory(array, flat.vector)
    assert np.array_equal(flat.vector[-3:], net.layers[1].bias)
    net.reset(seed=3)
    assert_same_bits(net, Network(layers(), "numba", "float64", seed=3))


def test_layers_of_others_keep_their_arrays():
    class Own(Dense):
        pass

    for layers in ([Own(4, 6), Dense(6, 3)], [Dense(4, 6), Own(6, 3)]):
        net = Network(layers, "numpy", "float64")
        assert isinstance(net.parameter_arrays, list)
        assert all(a is b for a, b in zip(net.parameter_arrays, net.parameters.values(), strict=True))


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


MAKERS = [
    lambda: SGD(0.1),
    lambda: SGD(0.1, momentum=0.9, nesterov=True),
    lambda: SGD(0.1, momentum=0.9, velocity="steps"),
    lambda: SGD(0.1, momentum=0.9, nesterov=True, velocity="steps"),
    lambda: Adam(0.1),
    lambda: Adam(0.1, epsilon=0.1, epsilon_hat=True),
    lambda: AdamW(0.1),
    lambda: RMSprop(0.1),
    lambda: RMSprop(0.1, granularity="tensor", initial=1.0),
]


@each_backend
@pytest.mark.parametrize("make", MAKERS)
def test_all_at_once_and_one_by_one_give_the_same_bits(backend, make):
    together, apart = network(backend, "float32"), network(backend, "float32")
    rng = np.random.default_rng(5)
    optimizers = make(), make()
    by_element = getattr(optimizers[0], "granularity", "element") == "element"
    assert optimizers[0].updates_by_element == by_element
    step = optimizers[0].step_flat if by_element else optimizers[0].step
    for _ in range(3):
        gradient = together.parameter_arrays.filled(0)
        gradient.vector[:] = rng.standard_normal(gradient.vector.size)
        step(together.kernels, together.parameter_arrays, gradient)
        optimizers[1].step(apart.kernels, list(apart.parameters.values()), list(gradient))
    assert_same_bits(together, apart)
    assert_states_alike(*optimizers)


@pytest.mark.parametrize("make", MAKERS)
def test_a_plan_of_one_update_is_carried_out_by_one_call(monkeypatch, make):
    optimizer, net, shapes = make(), network(), []
    update = type(optimizer)._update

    def noted(self, kernels, index, parameter, gradient):
        shapes.append(parameter.shape)
        update(self, kernels, index, parameter, gradient)

    monkeypatch.setattr(type(optimizer), "_update", noted)
    X, y = samples(30)
    plan = net.plan(X, y, optimizer)
    net.fit(X, y, optimizer, epochs=2)
    assert plan.update is (Update.FLAT if optimizer.updates_by_element else Update.PER_TENSOR)
    assert shapes == 2 * ([(51,)] if plan.update is Update.FLAT else [(4, 6), (6,), (6, 3), (3,)])


def test_a_derived_optimizer_is_asked_for_each_parameter():
    class Noted(Adam):
        def _update(self, kernels, index, parameter, gradient):
            seen.append((index, parameter.shape))
            super()._update(kernels, index, parameter, gradient)

    seen = []
    net, same = network(), network()
    X, y = samples(30)
    assert net.plan(X, y, Noted(0.1)).update is Update.PER_TENSOR
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


def test_a_resumed_optimizer_changes_all_at_once(tmp_path, monkeypatch):
    net, optimizer = network(), Adam(0.1)
    X, y = samples(30)
    net.fit(X, y, optimizer, epochs=2, callbacks=[Checkpoint(tmp_path / "checkpoint")])
    resumed, its = network(), Adam(0.1)
    load_checkpoint(tmp_path / "checkpoint", resumed, its)
    assert_states_alike(optimizer, its)
    assert resumed.plan(X, y, its).update is Update.FLAT
    net.fit(X, y, optimizer, epochs=2)
    monkeypatch.setattr(Optimizer, "step", None)
    resumed.fit(X, y, its, epochs=2)
    assert_same_bits(net, resumed)
    assert_states_alike(optimizer, its)


def test_an_optimizer_goes_on_alike_when_arrays_become_flat():
    """It is stepped parameter by parameter first, as for a network with a layer of a user's own."""
    net, same = network(), network()
    rng = np.random.default_rng(5)
    optimizers = Adam(0.1), Adam(0.1)
    for flat in (False, True):
        gradient = net.parameter_arrays.filled(0)
        gradient.vector[:] = rng.standard_normal(gradient.vector.size)
        optimizers[1].step_flat(same.kernels, same.parameter_arrays, gradient)
        if flat:
            optimizers[0].step_flat(net.kernels, net.parameter_arrays, gradient)
        else:
            optimizers[0].step(net.kernels, list(net.parameter_arrays), list(gradient))
    assert_same_bits(net, same)
    assert_states_alike(*optimizers)


def test_gradients_of_layers_are_views_that_go_on_being_written():
    vectors, net = [], network()
    X, y = samples(30)
    assert net.plan(X, y, SGD(0.1)).propagation is Propagation.WHOLE_STACK
    net.fit(X, y, SGD(0.1), epochs=2, step_callbacks=[lambda _: vectors.append(net.layers[0].gradient.weights.base)])
    assert vectors[0] is vectors[1]
    assert vectors[0].shape == net.parameter_arrays.vector.shape
    assert net.layers[1].gradient.bias.base is vectors[0]
    gradient = net.layers[1].gradient.bias.copy()
    _, wanted = net.loss_and_gradients(X, y)
    net.fit(X, y, SGD(0.1), epochs=1)
    assert np.array_equal(net.layers[1].gradient.bias, wanted[1].bias)
    assert not np.array_equal(net.layers[1].gradient.bias, gradient)


def test_dropout_between_does_not_keep_parameters_apart():
    net = Network([Dense(4, 6, "relu"), Dropout(0.5), Dense(6, 3)], "numpy", "float64", seed=3)
    assert isinstance(net.parameter_arrays, FlatArrays)
