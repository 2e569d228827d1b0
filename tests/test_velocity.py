"""Momentum up to 1 while the learning rate changes, with velocities of gradients and of steps."""

import numpy as np
import pytest
from networks import assert_close, each_backend, each_dtype, samples, small_network

from fastfnn import SGD, Dense, Network, get_backend, schedules

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
RATES = [0.25, 0.25, 0.0, 0.5, 0.03]
FACTORS = [1, 0.5, 3]

each_form = pytest.mark.parametrize("velocity", ["gradients", "steps"])
each_nesterov = pytest.mark.parametrize("nesterov", [False, True])


def path_of_gradients(w, gradients, rates, momentum, nesterov):
    v = 0
    for g, rate in zip(gradients, rates, strict=True):
        v = momentum * v + g
        w = w - rate * (g + momentum * v if nesterov else v)
        yield w


def path_of_steps(w, gradients, rates, momentum, nesterov):
    v = 0
    for g, rate in zip(gradients, rates, strict=True):
        v = momentum * v - rate * g
        w = w + (momentum * v - rate * g if nesterov else v)
        yield w


PATHS = {"gradients": path_of_gradients, "steps": path_of_steps}


def walked(optimizer, kernels, parameters, gradients, rates, factors=()):
    """Take a step at each of the rates; return the parameters after every step."""
    path = []
    for rate, of_step in zip(rates, gradients, strict=True):
        optimizer.learning_rate = rate
        optimizer.step(kernels, parameters, of_step, factors)
        path.append([parameter.copy() for parameter in parameters])
    return path


def parameters_and_gradients(dtype):
    rng = np.random.default_rng(11)
    shapes = [(4, 3), (3,), (700, 9)]
    first, *gradients = ([rng.standard_normal(s).astype(dtype) for s in shapes] for _ in range(1 + len(RATES)))
    return first, gradients


@each_backend
@each_dtype
@each_form
@each_nesterov
@pytest.mark.parametrize("momentum", [0.5, 0.9, 1])
@pytest.mark.parametrize("factors", [(), FACTORS])
def test_rates_that_change(backend, dtype, velocity, nesterov, momentum, factors):
    parameters, gradients = parameters_and_gradients(dtype)
    expected = [
        PATHS[velocity](
            parameter.astype(float),
            [of_step[index].astype(float) for of_step in gradients],
            [rate * (factors[index] if factors else 1) for rate in RATES],
            momentum,
            nesterov,
        )
        for index, parameter in enumerate(parameters)
    ]
    optimizer = SGD(1.0, momentum, nesterov, velocity)
    path = walked(optimizer, get_backend(backend), parameters, gradients, RATES, factors)
    for after, wanted in zip(path, zip(*expected, strict=True), strict=True):
        for parameter, other in zip(after, wanted, strict=True):
            assert_close(parameter, other, TOLERANCE[dtype])


@each_backend
@each_nesterov
@pytest.mark.parametrize("momentum", [0.9, 1])
def test_both_forms_agree_while_the_rate_is_constant(backend, nesterov, momentum):
    last = []
    for velocity in PATHS:
        parameters, gradients = parameters_and_gradients("float64")
        optimizer = SGD(1.0, momentum, nesterov, velocity)
        last.append(walked(optimizer, get_backend(backend), parameters, gradients, [0.1] * len(RATES))[-1])
    for parameter, other in zip(*last, strict=True):
        assert_close(parameter, other, 1e-13)


@each_backend
@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_a_training_with_a_schedule(backend, batch_size):
    """The network's own gradients, and steps written out."""
    X, y = samples(20)
    net, by_hand = small_network(backend), small_network("numpy")
    options = {"batch_size": batch_size, "shuffle": False}
    schedule = schedules.exponential_decay(0.5, 0.25)
    net.fit(X, y, SGD(1.0, 0.9, velocity="steps"), 3, schedule=schedule, **options)
    velocities = {name: np.zeros_like(array) for name, array in by_hand.parameters.items()}
    size = batch_size or len(X)
    for rate in (0.5, 0.125, 0.03125):
        for first in range(0, len(X), size):
            gradients = by_hand.loss_and_gradients(X[first : first + size], y[first : first + size])[1]
            for name, w in by_hand.parameters.items():
                layer, kind = name.split(".")
                velocities[name] = 0.9 * velocities[name] + rate * getattr(gradients[int(layer)], kind)
                w -= velocities[name]
    for name, array in net.parameters.items():
        assert_close(array, by_hand.parameters[name], 1e-11)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_without_momentum_there_is_no_velocity(batch_size):
    """Both are plain gradient descent, in the same kernels."""
    X, y = samples(20)
    plans, parameters = [], []
    for velocity in PATHS:
        net = Network([Dense(4, 5, "relu"), Dense(5, 3)], "numpy", seed=1)
        optimizer = SGD(0.1, velocity=velocity)
        plans.append(net.plan(X, y, optimizer, batch_size=batch_size))
        net.fit(X, y, optimizer, batch_size=batch_size)
        parameters.append([array.tobytes() for array in net.parameters.values()])
        assert optimizer.state["velocities"] == []
    assert plans[0] == plans[1]
    assert parameters[0] == parameters[1]
