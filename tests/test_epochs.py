"""The steps of an epoch, and the callbacks that are called after each."""

import contextlib
import functools
import signal

import numpy as np
import pytest
from networks import bytes_of, each_backend, each_dtype, samples, small_network, sparse_samples

import fastfnn
from fastfnn import SGD
from fastfnn.execution import thresholds
from fastfnn.execution.plan import Steps


class StepByStep(SGD):
    """Plain gradient descent that is not known to be, so that layers and optimizer take every step."""


each_way = pytest.mark.parametrize("optimizer", [SGD, StepByStep])


@each_backend
@each_way
@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [10]), (4, [4, 4, 2]), (1, [1] * 10)])
def test_callbacks_see_every_step(backend, optimizer, batch_size, sizes):
    net, (X, y) = small_network(backend), samples(10)
    seen, epochs = [], []
    history = net.fit(
        X,
        y,
        optimizer(0.1),
        epochs=3,
        batch_size=batch_size,
        callbacks=[epochs.append],
        step_callbacks=[seen.append],
    )
    assert [step.number for step in seen] == list(range(1, 3 * len(sizes) + 1))
    weights = np.array(sizes) / 10
    for epoch in range(3):
        steps = seen[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        assert history["loss"][epoch] == pytest.approx(weights @ [step.loss for step in steps])
        assert history["accuracy"][epoch] == pytest.approx(weights @ [step.accuracy for step in steps])


@each_backend
@each_way
def test_the_gradient_of_a_step_can_be_read(backend, optimizer):
    net, (X, y) = small_network(backend), samples(10)
    before = {name: array.copy() for name, array in net.parameters.items()}

    def look(step):
        for i, layer in enumerate(step.network.layers):
            for name, array in layer.parameters.items():
                expected = before[f"{i}.{name}"] - 0.5 * getattr(layer.gradient, name)
                assert array == pytest.approx(expected, rel=1e-12)
                before[f"{i}.{name}"] = array.copy()

    net.fit(X, y, optimizer(0.5), epochs=2, batch_size=5, step_callbacks=[look])


@each_backend
@each_way
def test_a_callback_ends_the_training_after_its_step(backend, optimizer):
    net, (X, y) = small_network(backend), samples(10)
    seen = []

    def stop_at_the_fifth(step):
        seen.append(bytes_of(net))
        if step.number == 5:
            raise fastfnn.StopTraining

    history = net.fit(X, y, optimizer(0.1), epochs=9, batch_size=3, step_callbacks=[stop_at_the_fifth])
    assert len(seen) == 5
    assert len(history) == 1
    assert (history.unfinished.epoch, history.unfinished.n_samples) == (2, 3)
    assert not history.interrupted
    assert bytes_of(net) == seen[-1]


@each_backend
@each_dtype
@each_way
@pytest.mark.parametrize("batch_size", [None, 3, 1])
def test_looking_changes_nothing(backend, dtype, optimizer, batch_size):
    X, y = samples(10, dtype=dtype)
    trained = []
    for callbacks in ([], [lambda step: None]):
        net = small_network(backend, dtype)
        history = net.fit(X, y, optimizer(0.1), epochs=3, batch_size=batch_size, step_callbacks=callbacks)
        trained.append((bytes_of(net), history["loss"], history["accuracy"]))
    assert trained[0] == trained[1]


# Of 40 packed samples, plain SGD takes many steps of these sizes in a call, which has about 20 samples.
each_fused_size = pytest.mark.parametrize("batch_size", [1, 3, 7, 39])


@pytest.fixture
def short_calls(monkeypatch):
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", 20)


def fused_training(backend, dtype, batch_size, optimizer=None, **options):
    X, y = sparse_samples(40, 4, 3, dtype)
    net, optimizer = small_network(backend, dtype), optimizer or SGD(0.05)
    options = {"epochs": 3, "batch_size": batch_size, "input_format": "sparse"} | options
    assert net.plan(X, y, optimizer, **options).steps is (Steps.SGD_SAMPLES if batch_size == 1 else Steps.SGD_BATCHES)
    return net, net.fit(X, y, optimizer, **options)


@each_backend
@each_dtype
@each_fused_size
def test_looking_at_fused_steps_changes_nothing(short_calls, backend, dtype, batch_size):
    """To the last bit, history included, although each step is a call of its own then."""
    steps = []
    plain, plain_history = fused_training(backend, dtype, batch_size)
    watched, history = fused_training(backend, dtype, batch_size, step_callbacks=[steps.append])
    assert len(steps) == 3 * -(-40 // batch_size)
    assert bytes_of(watched) == bytes_of(plain)
    assert history["loss"] == plain_history["loss"]
    assert history["accuracy"] == plain_history["accuracy"]
    for layer, other in zip(watched.layers, plain.layers, strict=True):
        assert layer.gradient.weights.tobytes() == other.gradient.weights.tobytes()


@each_backend
@each_dtype
@each_fused_size
def test_callbacks_see_every_fused_step(short_calls, backend, dtype, batch_size):
    X, y = sparse_samples(40, 4, 3, dtype)
    before, seen = small_network(backend, dtype), []
    batches = [slice(first, first + batch_size) for first in range(0, 40, batch_size)] * 3

    def look(step):
        rows = batches[len(seen)]
        seen.append(step)
        loss, accuracy = before.evaluate(X[rows], y[rows])
        assert step.loss == pytest.approx(loss, rel=1e-5 if dtype == "float32" else 1e-12)
        assert step.accuracy == accuracy
        assert step.optimizer is optimizer
        assert step.number == optimizer.n_steps == len(seen)
        before.fit(X[rows], y[rows], SGD(0.05), input_format="sparse")
        for name, array in step.network.parameters.items():
            assert array == pytest.approx(before.parameters[name], rel=1e-4 if dtype == "float32" else 1e-11)
            before.parameters[name][...] = array

    optimizer = SGD(0.05)
    net, _ = fused_training(backend, dtype, batch_size, optimizer, shuffle=False, step_callbacks=[look])
    assert len(seen) == len(batches)
    assert all(step.network is net for step in seen)


@each_backend
@each_fused_size
@pytest.mark.parametrize("press", [True, False], ids=["Ctrl-C", "StopTraining"])
@pytest.mark.parametrize("last", [1, 2])
def test_fused_steps_end_after_the_step_that_was_shown(short_calls, backend, batch_size, press, last):
    """The second step of the second epoch, where there are two, is in the midst of a call."""
    of_epoch = -(-40 // batch_size)
    losses, states = [], []

    def stop(step):
        losses.append(step.loss)
        states.append(bytes_of(step.network))
        if step.number == of_epoch + last:
            if press:
                signal.raise_signal(signal.SIGINT)
            else:
                raise fastfnn.StopTraining

    handler, optimizer = signal.signal(signal.SIGINT, signal.default_int_handler), SGD(0.05)
    with pytest.warns(fastfnn.TrainingWarning) if press else contextlib.nullcontext():
        net, history = fused_training(backend, "float64", batch_size, optimizer, step_callbacks=[stop])
    signal.signal(signal.SIGINT, handler)
    assert len(states) == optimizer.n_steps == of_epoch + last
    assert bytes_of(net) == states[-1]
    assert history.interrupted == press
    sizes = [min(batch_size, 40 - batch_size * i) for i in range(last)]
    mean = pytest.approx(np.average(losses[of_epoch:], weights=sizes), rel=1e-12)
    if sum(sizes) == 40:
        assert history["loss"][1] == mean
    else:
        assert len(history) == 1
        assert history.unfinished.n_samples == sum(sizes)
        assert history.unfinished.mean_loss == mean


@each_backend
@each_fused_size
def test_fused_steps_store_no_gradient(short_calls, backend, batch_size):
    """The last batch of an epoch goes through the layers."""
    gradients = []

    def look(step):
        gradients.append([gradient for layer in step.network.layers for gradient in (layer.gradient.weights,)])

    fused_training(backend, "float64", batch_size, step_callbacks=[look])
    of_epoch = -(-40 // batch_size)
    for i, of_step in enumerate(gradients):
        is_last = i % of_epoch == of_epoch - 1
        assert [gradient is not None for gradient in of_step] == [is_last, is_last]


class ReadsGradients:
    """A callback that compares each step with its gradient."""

    reads_gradients = True

    def __init__(self, net, rate):
        self.before = {name: array.copy() for name, array in net.parameters.items()}
        self.rate, self.n_calls = rate, 0

    def __call__(self, step):
        self.n_calls += 1
        for i, layer in enumerate(step.network.layers):
            for name, array in layer.parameters.items():
                key = f"{i}.{name}"
                expected = self.before[key] - self.rate * getattr(layer.gradient, name)
                assert array == pytest.approx(expected, rel=1e-12, abs=1e-14)
                self.before[key] = array.copy()


@each_backend
@each_fused_size
@pytest.mark.parametrize(
    "as_passed",
    [
        lambda callback: callback,
        lambda callback: callback.__call__,
        functools.partial,
        lambda callback: functools.partial(callback.__call__),
    ],
    ids=["an object", "its method", "a partial of the object", "a partial of its method"],
)
def test_a_callback_that_reads_gradients_gets_those_of_each_step(backend, batch_size, as_passed):
    X, y = sparse_samples(40, 4, 3, "float64")
    net, plain = small_network(backend), small_network(backend)
    callback = ReadsGradients(net, 0.05)
    options = {"epochs": 3, "batch_size": batch_size, "input_format": "sparse"}
    watching = options | {"step_callbacks": [as_passed(callback)]}
    assert net.plan(X, y, SGD(0.05), **watching).steps is Steps.BATCHES
    net.fit(X, y, SGD(0.05), **watching)
    plain.fit(X, y, SGD(0.05), **options)
    assert callback.n_calls == 3 * -(-40 // batch_size)
    for name, array in net.parameters.items():
        assert array == pytest.approx(plain.parameters[name], rel=1e-9, abs=1e-12)


def test_errors_of_callbacks_come_through():
    net, (X, y) = small_network(), samples(10)
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, SGD(0.1), step_callbacks=[lambda step: 1 / 0])
