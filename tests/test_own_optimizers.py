"""Optimizers of a user's own: their states are lists that they fill as they like."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from networks import ROUNDING, assert_close, bytes_of, each_backend, each_dtype, samples, small_network

from fastfnn import SGD, Dense, Dropout, Network, Optimizer
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.execution.plan import Update
from fastfnn.optimizers.optimizer import state_at
from fastfnn.parameters import CONTIGUOUS_BYTES, FlatArrays

# Hidden neurons whose parameters are too many to be stored without gaps.
N_MANY = CONTIGUOUS_BYTES // 32 + 1

each_batch_size = pytest.mark.parametrize("batch_size", [None, 1, 7])


class Momentum(Optimizer):
    """Momentum whose velocities are new arrays after each step."""

    _STATE = ("velocity",)

    def __init__(self, learning_rate, momentum=0.9):
        super().__init__(learning_rate)
        self.momentum = momentum
        self._velocity = []

    def _start(self, parameters):
        self._velocity = [np.zeros_like(parameter) for parameter in parameters]

    def _update(self, kernels, index, parameter, gradient):
        self._velocity[index] = self.momentum * self._velocity[index] + gradient
        parameter -= self._rate(index) * self._velocity[index]


class WeightMomentum(Momentum):
    """Momentum of weights in float64, none of biases, and a number of steps for each parameter."""

    _STATE = ("velocity", "steps", "signs")

    def _start(self, parameters):
        self._velocity = [np.zeros(p.shape) if p.ndim == 2 else None for p in parameters]
        self._steps = [0] * len(parameters)
        self._signs = [np.zeros(p.shape, np.int8) for p in parameters]

    def _update(self, kernels, index, parameter, gradient):
        self._steps[index] += 1
        self._signs[index] = np.sign(gradient).astype(np.int8)
        if self._velocity[index] is None:
            parameter -= self._rate(index) * gradient
        else:
            super()._update(kernels, index, parameter, gradient)


class Together(Momentum):
    """Momentum that treats each element by itself, and starts with an array for each parameter."""

    _BY_ELEMENT = True

    def _update(self, kernels, index, parameter, gradient):
        velocity = state_at(self._velocity, index)
        velocity *= self.momentum
        velocity += gradient
        parameter -= self._rate(index) * velocity


class Watched(SGD):
    """SGD with a `step` of its own, that says to treat each element by itself."""

    _BY_ELEMENT = True

    def step(self, kernels, parameters, gradients, rate_factors=()):
        self.n_calls = getattr(self, "n_calls", 0) + 1
        super().step(kernels, parameters, gradients, rate_factors)


def by_hand(net, X, y, momentum_of_bias, rate=0.1, n_steps=5):
    """Train with momentum, written out, on the gradients of the network."""
    velocity = dict.fromkeys(net.parameters, 0.0)
    for _ in range(n_steps):
        _, gradients = net.loss_and_gradients(X, y)
        for name, parameter in net.parameters.items():
            layer, kind = name.split(".")
            gradient = getattr(gradients[int(layer)], kind).astype(np.float64)
            velocity[name] = (0.9 if kind == "weights" else momentum_of_bias) * velocity[name] + gradient
            parameter -= rate * velocity[name]


def large_network(backend="numpy", dtype="float64"):
    """Return a network whose parameters have gaps between them."""
    net = Network([Dense(4, N_MANY, "relu"), Dense(N_MANY, 3)], backend, dtype, seed=3)
    assert not net.parameter_arrays.layout.is_contiguous
    return net


@each_backend
@each_dtype
@pytest.mark.parametrize(("kind", "momentum_of_bias"), [(Momentum, 0.9), (WeightMomentum, 0.0), (Together, 0.9)])
@pytest.mark.parametrize("build", [small_network, large_network])
def test_states_that_are_assigned_follow_their_formula(backend, dtype, kind, momentum_of_bias, build):
    X, y = samples(20, dtype=dtype)
    net, expected = build(backend, dtype), build("numpy", "float64")
    for name, array in expected.parameters.items():
        array[...] = net.parameters[name]
    assert isinstance(net.parameter_arrays, FlatArrays)
    net.fit(X, y, kind(0.1), epochs=5)
    by_hand(expected, X, y, momentum_of_bias)
    for name, array in net.parameters.items():
        assert_close(array, expected.parameters[name], 20 * ROUNDING[dtype])


@each_backend
@each_dtype
@each_batch_size
@pytest.mark.parametrize("kind", [Momentum, Together])
@pytest.mark.parametrize("build", [small_network, large_network])
def test_momentum_of_ones_own_trains_as_the_one_that_is_built_in(backend, dtype, batch_size, kind, build):
    X, y = samples(20, dtype=dtype)
    own, built_in = build(backend, dtype), build(backend, dtype)
    optimizer, its = kind(0.05), SGD(0.05, momentum=0.9)
    plan = own.plan(X, y, optimizer, batch_size=batch_size)
    assert plan.update is (Update.FLAT if kind is Together else Update.PER_TENSOR)
    figures = [net.fit(X, y, each, 3, batch_size)["loss"] for net, each in ((own, optimizer), (built_in, its))]
    tolerance = 500 * ROUNDING[dtype]
    assert figures[0] == pytest.approx(figures[1], rel=tolerance)
    for name, array in own.parameters.items():
        assert_close(array, built_in.parameters[name], tolerance)
    assert optimizer.n_steps == its.n_steps
    for velocity, expected in zip(optimizer.state["velocity"], its.state["velocities"], strict=True):
        assert_close(velocity, expected, tolerance)


@each_backend
@pytest.mark.parametrize("kind", [Momentum, WeightMomentum, Together])
def test_the_state_is_the_one_in_use(backend, kind):
    net, optimizer, seen = small_network(backend), kind(0.1), []
    assert optimizer.state == {}

    def look(step):
        state = step.optimizer.state
        assert set(state) == set(kind._STATE)
        for name, values in state.items():
            own = getattr(step.optimizer, f"_{name}")
            assert all(value is mine for value, mine in zip(values, own, strict=True))
        seen.append(state["velocity"][0].copy())

    net.fit(*samples(20), optimizer, epochs=4, step_callbacks=[look])
    assert len(seen) == 4
    assert all((one != other).any() for one, other in itertools.pairwise(seen))
    if kind is WeightMomentum:
        assert optimizer.state["steps"] == [4, 4, 4]
        assert [type(value) for value in optimizer.state["velocity"]] == [np.ndarray, type(None), np.ndarray]
    optimizer.state["velocity"][0][...] = 0
    assert not optimizer._velocity[0].any()


@each_backend
@each_dtype
@pytest.mark.parametrize("kind", [Momentum, WeightMomentum, Together])
def test_the_state_does_not_share_memory_with_parameters(backend, dtype, kind):
    net, optimizer = small_network(backend, dtype), kind(0.1)
    net.fit(*samples(20, dtype=dtype), optimizer, epochs=2)
    arrays = [value for values in optimizer.state.values() for value in values if isinstance(value, np.ndarray)]
    assert arrays
    for array in arrays:
        assert not any(np.shares_memory(array, parameter) for parameter in net.parameters.values())
    if kind is WeightMomentum:
        assert {array.dtype for array in arrays} == {np.dtype(np.float64), np.dtype(np.int8)}
    else:
        assert {array.dtype.name for array in arrays} == {dtype}


def assert_states_alike(one, other):
    assert (one.n_steps, one.state.keys()) == (other.n_steps, other.state.keys())
    for name, values in one.state.items():
        for value, wanted in zip(values, other.state[name], strict=True):
            assert type(value) is type(wanted)
            assert getattr(value, "dtype", None) == getattr(wanted, "dtype", None)
            assert np.array_equal(value, wanted)


@each_backend
@each_dtype
@each_batch_size
@pytest.mark.parametrize("kind", [Momentum, WeightMomentum, Together])
def test_a_training_is_resumed(tmp_path, backend, dtype, batch_size, kind):
    X, y = samples(20, dtype=dtype)
    path = tmp_path / "checkpoint"
    whole, optimizer = small_network(backend, dtype), kind(0.05)
    expected = whole.fit(X, y, optimizer, 4, batch_size)
    stopped, its = small_network(backend, dtype), kind(0.05)
    stopped.fit(X, y, its, 2, batch_size, callbacks=[Checkpoint(path)])
    resumed, again = small_network(backend, dtype, seed=99), kind(0.5)
    history = load_checkpoint(path, resumed, again)
    assert_states_alike(again, its)
    history = resumed.fit(X, y, again, 4, batch_size, history=history)
    assert history["loss"] == expected["loss"]
    assert bytes_of(resumed) == bytes_of(whole)
    assert_states_alike(again, optimizer)


def test_a_checkpoint_of_another_state_is_refused(tmp_path):
    net, path = small_network(), tmp_path / "checkpoint"
    net.fit(*samples(20), WeightMomentum(0.1), epochs=2, callbacks=[Checkpoint(path)])

    class Other(WeightMomentum):
        def _start(self, parameters):
            super()._start(parameters)
            self._velocity[1] = np.zeros(5)

    Other.__name__ = "WeightMomentum"
    other, optimizer = small_network(seed=5), Other(0.1)
    before = bytes_of(other)
    with pytest.raises(ValueError, match=r"the state is not that of WeightMomentum for these parameters: expected"):
        load_checkpoint(path, other, optimizer)
    assert (optimizer.n_steps, optimizer.state) == (0, {})
    assert bytes_of(other) == before


@each_backend
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))])
@pytest.mark.parametrize("kind", [Momentum, WeightMomentum, Together, Watched])
def test_copies_go_on_alike_and_apart(backend, copied, kind):
    X, y = samples(20)
    net, optimizer = small_network(backend), kind(0.1, 0.9)
    net.fit(X, y, optimizer, epochs=2, batch_size=7)
    other_net, other = copied((net, optimizer))
    assert_states_alike(other, optimizer)
    before = {name: [np.copy(value) for value in values] for name, values in optimizer.state.items()}
    figures = other_net.fit(X, y, other, epochs=2, batch_size=7)["loss"]
    for name, values in optimizer.state.items():
        assert all(np.array_equal(value, wanted) for value, wanted in zip(values, before[name], strict=True))
    assert net.fit(X, y, optimizer, epochs=2, batch_size=7)["loss"] == figures
    assert bytes_of(net) == bytes_of(other_net)
    assert_states_alike(other, optimizer)


@each_backend
@pytest.mark.parametrize("kind", [Momentum, WeightMomentum, Together])
def test_a_reset_starts_anew_on_a_network_of_another_shape(backend, kind):
    optimizer, new = kind(0.1), kind(0.1)
    small_network(backend).fit(*samples(20), optimizer, epochs=2)
    nets = [Network([Dense(4, 7, "tanh"), Dense(7, 3)], backend, "float64", seed=1) for _ in range(2)]
    with pytest.raises(ValueError, match=f"this {kind.__name__} holds the state of 2 steps of another network"):
        nets[0].fit(*samples(20), optimizer)
    optimizer.reset()
    for net, each in zip(nets, (optimizer, new), strict=True):
        net.fit(*samples(20), each, epochs=2)
    assert bytes_of(nets[0]) == bytes_of(nets[1])
    assert_states_alike(optimizer, new)


@each_backend
@each_batch_size
def test_rate_factors_reach_an_optimizer_of_ones_own(backend, batch_size):
    def build():
        layers = [Dense(4, 5, "relu", learning_rate_factor=0.5), Dropout(0.0), Dense(5, 3)]
        return Network(layers, backend, "float64", seed=3)

    own, built_in = build(), build()
    own.fit(*samples(20), Momentum(0.1), 2, batch_size)
    built_in.fit(*samples(20), SGD(0.1, momentum=0.9), 2, batch_size)
    for name, array in own.parameters.items():
        assert_close(array, built_in.parameters[name], 1e-11)


@each_backend
@each_batch_size
@pytest.mark.parametrize("kind", [Momentum, Together])
@pytest.mark.parametrize("factors", [(1.0, 0.5, 1.0, 0.5), (0.5, 1.0, 0.5)])
def test_rate_factors_may_come_and_go(backend, batch_size, kind, factors):
    """An optimizer goes on whether parameters are updated together or one by one."""
    own, built_in = small_network(backend), small_network(backend)
    optimizer, its = kind(0.1), SGD(0.1, momentum=0.9)
    for factor in factors:
        for net, each in ((own, optimizer), (built_in, its)):
            net.layers[1].learning_rate_factor = factor
            net.fit(*samples(20), each, 2, batch_size)
        together = kind is Together and factor == 1
        assert own.plan(*samples(20), optimizer).update is (Update.FLAT if together else Update.PER_TENSOR)
    for name, array in own.parameters.items():
        assert_close(array, built_in.parameters[name], 1e-11)


@each_backend
@each_batch_size
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_of_ones_own_is_called_whatever_its_class_says(backend, batch_size, momentum):
    X, y = samples(20)
    own, built_in = small_network(backend), small_network(backend)
    optimizer = Watched(0.1, momentum)
    assert not optimizer.updates_by_element
    plan = own.plan(X, y, optimizer, batch_size=batch_size)
    assert plan.update is Update.PER_TENSOR
    assert "one update a parameter: Watched does not treat each element by itself" in plan.because
    own.fit(X, y, optimizer, 2, batch_size)
    built_in.fit(X, y, SGD(0.1, momentum), 2, batch_size)
    assert optimizer.n_calls == optimizer.n_steps == 2 * -(-20 // (batch_size or 20))
    for name, array in own.parameters.items():
        assert_close(array, built_in.parameters[name], 1e-12)


def test_a_class_does_not_inherit_that_each_element_is_treated_by_itself():
    class Derived(Together):
        pass

    assert Together(0.1).updates_by_element
    assert not Derived(0.1).updates_by_element
    assert not Momentum(0.1).updates_by_element
