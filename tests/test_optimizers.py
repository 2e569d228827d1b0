import gc
import math
import pickle
import weakref

import numpy as np
import pytest
from networks import (
    Doubling,
    assert_close,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    samples,
    small_network,
)

import fastfnn
from fastfnn import SGD, Adam, AdamW, Dense, Network, Optimizer, RMSprop, get_backend
from fastfnn.parameters import FlatArrays

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
N_STEPS = 5


def parameters_and_gradients(dtype):
    """Return three parameters, and five lists of gradients, of different sizes and shapes."""
    rng = np.random.default_rng(6)
    shapes = [(4, 3), (3,), (700, 9)]
    parameters = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    sizes = (1, 10, 0.1)
    gradients = [
        [(size * rng.standard_normal(shape)).astype(dtype) for shape, size in zip(shapes, sizes, strict=True)]
        for _ in range(N_STEPS)
    ]
    return parameters, gradients


def assert_steps_follow(optimizer, formula, backend, dtype):
    """Compare with formula(w, [g of every step]), which returns w after every step, in float64."""
    parameters, gradients = parameters_and_gradients(dtype)
    wide = [[g.astype(np.float64) for g in of_step] for of_step in gradients]
    expected = [
        formula(parameter.astype(np.float64), [of_step[index] for of_step in wide])
        for index, parameter in enumerate(parameters)
    ]
    for step in range(N_STEPS):
        before = [g.copy() for g in gradients[step]]
        optimizer.step(get_backend(backend), parameters, gradients[step])
        assert optimizer.n_steps == step + 1
        for index, parameter in enumerate(parameters):
            assert_close(parameter, expected[index][step], TOLERANCE[dtype])
            assert np.array_equal(gradients[step][index], before[index])


@each_backend
@each_dtype
def test_gradient_descent(backend, dtype):
    def formula(w, gradients):
        return [w := w - 0.25 * g for g in gradients]

    assert_steps_follow(SGD(0.25), formula, backend, dtype)


@each_backend
@each_dtype
@pytest.mark.parametrize(("initial", "reset_every"), [(0.0, None), (2.0, None), (2.0, 2), (0.5, 1)])
def test_rmsprop_per_element(backend, dtype, initial, reset_every):
    def formula(w, gradients):
        mean, path = np.full(w.shape, initial), []
        for iteration, g in enumerate(gradients):
            mean = 0.8 * mean + 0.2 * g * g
            path.append(w := w - 0.25 * g / np.sqrt(mean + 1e-3))
            if reset_every is not None and iteration % reset_every == 0:
                mean = np.full(w.shape, initial)
        return path

    optimizer = RMSprop(0.25, rho=0.8, epsilon=1e-3, initial=initial, reset_every=reset_every)
    assert_steps_follow(optimizer, formula, backend, dtype)


def recipe(w, gradients, eta=0.5, gamma=0.99, eps=1e-3, reset_every=2):
    """Follow recipe 1: g starts at 1, and after iterations 0, reset_every, 2 reset_every, ... it is set back to 1.

    Returns w after every step, and (g, effective step, gradient norm) of every step.
    """
    g, path, figures = 1.0, [], []
    for iteration, grad in enumerate(gradients):
        norm = math.sqrt((grad**2).sum())
        g = gamma * g + (1 - gamma) * norm**2
        path.append(w := w - eta / math.sqrt(g + eps) * grad)
        figures.append((g, eta / math.sqrt(g + eps), norm))
        if iteration % reset_every == 0:
            g = 1.0
    return path, figures


def recipe_optimizer(reset_every=2, initial=1.0):
    return RMSprop(0.5, rho=0.99, epsilon=1e-3, granularity="tensor", initial=initial, reset_every=reset_every)


@each_backend
@each_dtype
@pytest.mark.parametrize("reset_every", [1, 2, 3, 5])
def test_rmsprop_per_tensor_is_that_of_recipe_1(backend, dtype, reset_every):
    assert_steps_follow(
        recipe_optimizer(reset_every), lambda w, grads: recipe(w, grads, reset_every=reset_every)[0], backend, dtype
    )


@each_backend
@each_dtype
def test_rmsprop_per_tensor_without_resets(backend, dtype):
    def formula(w, gradients):
        mean, path = 4.0, []
        for g in gradients:
            mean = 0.99 * mean + 0.01 * (g**2).sum()
            path.append(w := w - 0.5 / np.sqrt(mean + 1e-3) * g)
        return path

    assert_steps_follow(recipe_optimizer(None, initial=4.0), formula, backend, dtype)


@each_backend
@each_dtype
def test_last_steps_are_the_figures_of_the_recipe(backend, dtype):
    parameters, gradients = parameters_and_gradients(dtype)
    optimizer = recipe_optimizer()
    expected = [
        recipe(w.astype(float), [of_step[index].astype(float) for of_step in gradients])[1]
        for index, w in enumerate(parameters)
    ]
    for step in range(N_STEPS):
        optimizer.step(get_backend(backend), parameters, gradients[step])
        assert len(optimizer.last_steps) == 3
        for index, figures in enumerate(optimizer.last_steps):
            assert tuple(figures) == pytest.approx(expected[index][step], rel=1e-9)
        figures = optimizer.last_steps[0]
        assert (figures.mean_square, figures.effective_step, figures.gradient_norm) == tuple(figures)


@each_backend
@pytest.mark.parametrize("norm", [1e-3, 1e-6, 1e-9])
def test_the_norm_of_a_small_gradient_is_reported(backend, norm):
    optimizer = recipe_optimizer()
    gradient = np.array([0.6 * norm, 0.8 * norm])
    optimizer.step(get_backend(backend), [np.ones(2)], [gradient])
    assert optimizer.last_steps[0].gradient_norm == pytest.approx(norm, rel=1e-6)


@each_backend
def test_there_are_no_last_steps_per_element(backend):
    optimizer = RMSprop(0.1)
    optimizer.step(get_backend(backend), [np.ones(2)], [np.ones(2)])
    assert optimizer.last_steps == []


def adam_formula(weight_decay, epsilon_hat=False):
    def formula(w, gradients):
        m, v, path = 0, 0, []
        for t, g in enumerate(gradients, start=1):
            m = 0.8 * m + 0.2 * g
            v = 0.95 * v + 0.05 * g * g
            w = w - 0.25 * weight_decay * w
            if epsilon_hat:
                w = w - 0.25 * np.sqrt(1 - 0.95**t) / (1 - 0.8**t) * m / (np.sqrt(v) + 1e-2)
            else:
                w = w - 0.25 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-2)
            path.append(w)
        return path

    return formula


@each_backend
@each_dtype
@pytest.mark.parametrize("epsilon_hat", [False, True])
def test_adam(backend, dtype, epsilon_hat):
    assert_steps_follow(Adam(0.25, 0.8, 0.95, 1e-2, epsilon_hat), adam_formula(0, epsilon_hat), backend, dtype)


@each_backend
@each_dtype
@pytest.mark.parametrize("epsilon_hat", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_adamw(backend, dtype, weight_decay, epsilon_hat):
    optimizer = AdamW(0.25, 0.8, 0.95, 1e-2, weight_decay, epsilon_hat)
    assert_steps_follow(optimizer, adam_formula(weight_decay, epsilon_hat), backend, dtype)


@each_backend
def test_adams_first_step_is_the_learning_rate(backend):
    parameter, gradient = np.zeros(3), np.array([5.0, -0.001, 0.0])
    Adam(0.1).step(get_backend(backend), [parameter], [gradient])
    assert parameter == pytest.approx([-0.1, 0.1, 0], rel=1e-4)


def each_kind():
    return [
        SGD(0.1),
        SGD(0.1, momentum=0.9),
        SGD(0.1, momentum=0.9, velocity="steps"),
        RMSprop(0.1, initial=0.5, reset_every=2),
        recipe_optimizer(),
        Adam(0.1),
        AdamW(0.1),
        AdamW(0.1, epsilon=0.1, epsilon_hat=True),
    ]


KINDS = range(len(each_kind()))


@each_backend
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warm_steps", [1, 2, 3])
def test_reset_forgets_everything(backend, kind, warm_steps):
    optimizer, new = each_kind()[kind], each_kind()[kind]
    kernels = get_backend(backend)
    for _ in range(warm_steps):
        optimizer.step(kernels, *[[array.copy() for array in part] for part in first_step()])
    optimizer.reset()
    assert optimizer.n_steps == 0
    (parameters, gradients), (others, _) = first_step(), first_step()
    for _ in range(3):
        optimizer.step(kernels, parameters, gradients)
        new.step(kernels, others, gradients)
    for parameter, other in zip(parameters, others, strict=True):
        assert np.array_equal(parameter, other)
    assert getattr(optimizer, "last_steps", None) == getattr(new, "last_steps", None)


def first_step():
    parameters, gradients = parameters_and_gradients("float64")
    return parameters, gradients[0]


@each_backend
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_layers", [1, 4])
def test_after_a_reset_it_takes_a_network_of_another_shape(backend, kind, n_layers):
    X, y = samples(10)
    optimizer, new = each_kind()[kind], each_kind()[kind]
    small_network(backend).fit(X, y, optimizer, epochs=2)
    optimizer.reset()
    nets = [
        Network([Dense(4, 3, "tanh"), *[Dense(3, 3) for _ in range(n_layers - 1)]], backend, seed=1) for _ in range(2)
    ]
    nets[0].fit(X, y, optimizer, epochs=2)
    nets[1].fit(X, y, new, epochs=2)
    assert bytes_of(nets[0]) == bytes_of(nets[1])
    assert getattr(optimizer, "last_steps", None) == getattr(new, "last_steps", None)


@each_backend
@pytest.mark.parametrize("kind", KINDS)
def test_another_shape_without_a_reset_is_refused(backend, kind):
    optimizer = each_kind()[kind]
    kernels = get_backend(backend)
    optimizer.step(kernels, [np.ones(3), np.ones(2)], [np.ones(3), np.ones(2)])
    state = pickle.dumps(optimizer)
    for shapes in ([3], [2, 3], [3, 2, 1]):
        parameters, gradients = ([np.ones(shape) for shape in shapes] for _ in range(2))
        with pytest.raises(
            ValueError, match=r"holds the state of a network with parameters float64\[3\], float64\[2\]"
        ):
            optimizer.step(kernels, parameters, gradients)
        assert all((parameter == 1).all() for parameter in parameters)
    assert pickle.dumps(optimizer) == state


NETWORKS = {
    "small": lambda: [Dense(4, 5, "relu"), Dense(5, 3)],
    "large": lambda: [Dense(4, 5000, "relu"), Dense(5000, 3)],
    "with rates of their own": lambda: [Dense(4, 5, "relu"), Dense(5, 3, learning_rate_factor=0.5)],
    "with a layer of a user's own": lambda: [Dense(4, 5), Doubling(), Dense(5, 3)],
    "with parameters of a user's own": lambda: [type("Own", (Dense,), {})(4, 5), Dense(5, 3)],
}


@each_backend
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stack", NETWORKS)
@pytest.mark.parametrize("batch_size", [None, 1])
def test_an_optimizer_does_not_keep_the_parameters_alive(backend, kind, stack, batch_size):
    X, y = samples(6)
    net, optimizer = Network(NETWORKS[stack](), backend, "float64", seed=3), each_kind()[kind]
    net.fit(X, y, optimizer, epochs=2, batch_size=batch_size)
    net.predict(X)
    arrays = [net.layers[0].weights, net.layers[-1].bias]
    if isinstance(net.parameter_arrays, FlatArrays):
        arrays += [net.parameter_arrays, net.parameter_arrays.vector]
    alive = [weakref.ref(each) for each in (net, net.layers[0], *arrays)]
    n_steps, names = optimizer.n_steps, optimizer.state.keys()
    del net, arrays
    gc.collect()
    assert all(each() is None for each in alive)
    assert (optimizer.n_steps, optimizer.state.keys()) == (n_steps, names)
    again = Network(NETWORKS[stack](), backend, "float64", seed=4)
    before = bytes_of(again)
    with pytest.raises(ValueError, match=f"holds the state of {n_steps} steps of another network"):
        again.fit(X, y, optimizer, epochs=1)
    assert (bytes_of(again), optimizer.n_steps) == (before, n_steps)
    optimizer.reset()
    again.fit(X, y, optimizer, epochs=1)
    assert optimizer.n_steps == 1 if batch_size is None else 6


@each_backend
@pytest.mark.parametrize("kind", KINDS)
def test_state_can_be_taken_from_one_backend_to_the_other(backend, kind):
    optimizer, other = each_kind()[kind], each_kind()[kind]
    (parameters, gradients), (others, _) = first_step(), first_step()
    for step in range(4):
        optimizer.step(get_backend(backend), parameters, gradients)
        other.step(get_backend(["numba", "numpy"][step % 2]), others, gradients)
    for parameter, same in zip(parameters, others, strict=True):
        assert_close(parameter, same, 1e-13)


ARGUMENTS = [
    (SGD, {"learning_rate": 0}, "learning_rate must be a finite number above 0; got 0"),
    (SGD, {"learning_rate": -1.0}, "learning_rate must be a finite number above 0; got -1.0"),
    (Adam, {"learning_rate": math.nan}, "learning_rate must be a finite number above 0; got nan"),
    (RMSprop, {"learning_rate": math.inf}, "learning_rate must be a finite number above 0; got inf"),
    (SGD, {"momentum": 1.1}, "momentum must lie from 0 to 1; got 1.1"),
    (SGD, {"momentum": -0.1}, "momentum must lie from 0 to 1; got -0.1"),
    (SGD, {"momentum": math.nan}, "momentum must lie from 0 to 1; got nan"),
    (SGD, {"nesterov": True}, "nesterov needs a momentum above 0; got 0"),
    (SGD, {"velocity": "rates"}, "velocity must be one of gradients, steps; got 'rates'"),
    (RMSprop, {"rho": 1.0}, "rho must lie from 0 to below 1; got 1.0"),
    (RMSprop, {"epsilon": 0}, "epsilon must be a finite number above 0; got 0"),
    (RMSprop, {"granularity": "layer"}, "granularity must be one of element, tensor; got 'layer'"),
    (RMSprop, {"reset_every": 0}, "reset_every must be None or a whole number from 1 up; got 0"),
    (RMSprop, {"reset_every": 2.5}, "reset_every must be None or a whole number from 1 up; got 2.5"),
    (RMSprop, {"reset_every": math.nan}, "reset_every must be None or a whole number from 1 up; got nan"),
    (RMSprop, {"initial": -1.0}, "initial must be .*; got -1.0"),
    (RMSprop, {"initial": math.nan}, "initial must be .*; got nan"),
    (RMSprop, {"initial": math.inf}, "initial must be .*; got inf"),
    (Adam, {"beta1": 1.0}, "beta1 must lie from 0 to below 1; got 1.0"),
    (Adam, {"beta2": -0.5}, "beta2 must lie from 0 to below 1; got -0.5"),
    (Adam, {"epsilon": -1e-8}, "epsilon must be a finite number above 0; got -1e-08"),
    (AdamW, {"weight_decay": -0.1}, "weight_decay must be a finite number from 0 up; got -0.1"),
    (AdamW, {"weight_decay": math.inf}, "weight_decay must be a finite number from 0 up; got inf"),
]


@pytest.mark.parametrize(("optimizer", "arguments", "message"), ARGUMENTS)
def test_arguments_out_of_range_are_refused(optimizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        optimizer(**arguments)


@each_backend
@each_dtype
def test_the_whole_of_recipe_1_on_tiny_data(backend, dtype):
    """Loss with its penalty, gradients, steps and resets together, written out by hand."""
    X, y = samples(20, dtype=dtype)
    net, by_hand = small_network(backend, dtype), small_network("numpy", "float64")
    for name, array in by_hand.parameters.items():
        array[...] = net.parameters[name]
    net.fit(X, y, recipe_optimizer(), epochs=N_STEPS, l2=0.01)
    squares = dict.fromkeys(by_hand.parameters, 1.0)
    for iteration in range(N_STEPS):
        gradients = gradients_by_name(by_hand, X, y)
        for name, w in by_hand.parameters.items():
            squares[name] = 0.99 * squares[name] + 0.01 * (gradients[name] ** 2).sum()
            w -= 0.5 / math.sqrt(squares[name] + 1e-3) * gradients[name]
            if iteration % 2 == 0:
                squares[name] = 1.0
    for name, array in net.parameters.items():
        assert_close(array, by_hand.parameters[name], 10 * TOLERANCE[dtype])


def gradients_by_name(net, X, y):
    (first, first_bias), (last, _) = backpropagated(net, X, y, l2=0.01)[1]
    return {"0.weights": first, "0.bias": first_bias, "1.weights": last}


@each_backend
def test_an_optimizer_of_ones_own(backend):
    class SignDescent(Optimizer):
        def _update(self, kernels, index, parameter, gradient):
            parameter -= self.learning_rate * np.sign(gradient)

    net, before = small_network(backend), small_network(backend)
    net.fit(*samples(10), SignDescent(0.25))
    moved = np.abs(net.layers[1].weights - before.layers[1].weights)
    assert moved == pytest.approx(np.full((5, 3), 0.25))
    assert fastfnn.Optimizer is Optimizer
