"""Plain gradient descent in small batches: one call of a kernel for many steps."""

import signal

import numpy as np
import pytest
from networks import (
    ROUNDING,
    assert_close,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    samples,
    small_network,
    sparse_samples,
)
from scipy import sparse

import fastfnn
from fastfnn import SGD, Dense, Network, TrainingWarning
from fastfnn.execution import thresholds
from fastfnn.execution.fused_sgd import FusedSgd
from fastfnn.execution.plan import Steps
from fastfnn.initializers import zeros


class StepByStep(SGD):
    """Plain gradient descent that is not known to be, so that layers and optimizer take every step."""


@pytest.fixture
def calls(monkeypatch):
    """How many samples each call of a kernel was given."""
    given, take = [], FusedSgd.take

    def spy(self, rows):
        given.append(len(rows))
        return take(self, rows)

    monkeypatch.setattr(FusedSgd, "take", spy)
    return given


def trained(optimizer, X, y, backend="numba", dtype="float64", batch_size=1, **options):
    net = small_network(backend, dtype, input_scale=0.125)
    history = net.fit(X, y, optimizer, batch_size=batch_size, **options)
    return net, history


def assert_same_training(one, other, rounding):
    (net, history), (expected, expected_history) = one, other
    for name, array in net.parameters.items():
        assert_close(array, expected.parameters[name], rounding)
    for figure in ("loss", "accuracy"):
        assert history[figure] == pytest.approx(expected_history[figure], rel=rounding)


@each_backend
@each_dtype
@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
def test_steps_are_those_of_layers_and_optimizer(calls, backend, dtype, input_dtype, input_format):
    """The order of the samples is the same too, since other orders end elsewhere."""
    X, y = sparse_samples(40, 4, 3, input_dtype)
    options = {"backend": backend, "dtype": dtype, "epochs": 3, "input_format": input_format}
    in_one_call = trained(SGD(0.05), X, y, **options)
    assert calls == [39, 39, 39]
    step_by_step = trained(StepByStep(0.05), X, y, **options)
    assert len(calls) == 3
    assert_same_training(in_one_call, step_by_step, 20 * ROUNDING[dtype])


@each_backend
@each_dtype
@pytest.mark.parametrize(("batch_size", "n_in_calls"), [(2, 38), (7, 35), (39, 39), (40, None), (50, None)])
def test_batches_of_packed_samples_are_those_of_layers_and_optimizer(calls, backend, dtype, batch_size, n_in_calls):
    X, y = sparse_samples(40, 4, 3, "uint8")
    options = {"backend": backend, "dtype": dtype, "epochs": 3, "batch_size": batch_size, "input_format": "sparse"}
    in_one_call = trained(SGD(0.05), X, y, **options)
    assert calls == ([] if n_in_calls is None else [n_in_calls] * 3)
    step_by_step = trained(StepByStep(0.05), X, y, **options)
    assert len(calls) == (0 if n_in_calls is None else 3)
    assert_same_training(in_one_call, step_by_step, 20 * ROUNDING[dtype])


def test_batches_of_more_rows_than_a_block_go_through_the_layers(calls, monkeypatch):
    monkeypatch.setattr(thresholds, "SGD_BATCH_ROWS", 15)
    X, y = sparse_samples(40, 4, 3, "uint8")
    trained(SGD(0.05), X, y, batch_size=15, input_format="sparse")
    trained(SGD(0.05), X, y, batch_size=16, input_format="sparse")
    assert calls == [30]


@each_backend
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_gradient_of_the_last_batch_can_be_read(backend, batch_size):
    X, y = sparse_samples(10, 4, 3, "float64")
    net, before = small_network(backend), small_network("numpy")
    last = small_network("numpy").rng.permutation(10)[-1 if batch_size == 1 else -2 :]
    net.fit(X, y, SGD(0.1), batch_size=batch_size, input_format="sparse")
    for layer, other in zip(net.layers, before.layers, strict=True):
        for name, array in other.parameters.items():
            array[...] = layer.parameters[name] + 0.1 * getattr(layer.gradient, name)
    _, gradients = backpropagated(before, X[last], y[last])
    for layer, (weights, bias) in zip(net.layers, gradients, strict=True):
        assert_close(layer.gradient.weights, weights, 1e-12)
        assert_close(layer.gradient.bias, bias, 1e-12)


@each_backend
def test_each_step_follows_the_chain_rule(backend):
    X, y = samples(20)
    net, by_hand = small_network(backend), small_network("numpy")
    order = small_network("numpy").rng.permutation(20)
    history = net.fit(X, y, SGD(0.1), batch_size=1)
    losses = []
    for row in order:
        loss, gradients = backpropagated(by_hand, X[row : row + 1], y[row : row + 1])
        losses.append(loss)
        for layer, (weights, bias) in zip(by_hand.layers, gradients, strict=True):
            layer.weights[...] -= 0.1 * weights
            if bias is not None:
                layer.bias[...] -= 0.1 * bias
    assert history["loss"] == pytest.approx([np.mean(losses)], rel=1e-12)
    for name, array in net.parameters.items():
        assert_close(array, by_hand.parameters[name], 1e-12)


@each_backend
@pytest.mark.parametrize("layout", ["csr_array", "csc_matrix", "coo_array"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_sparse_arrays_train_to_the_same_bits(calls, backend, layout, batch_size):
    X, y = sparse_samples(30, 4, 3, "uint8")
    options = {"backend": backend, "epochs": 2, "batch_size": batch_size, "input_format": "sparse"}
    of_array, _ = trained(SGD(0.05), X, y, **options)
    of_sparse, _ = trained(SGD(0.05), getattr(sparse, layout)(X), y, **options)
    assert calls == [30 - batch_size] * 4
    assert bytes_of(of_array) == bytes_of(of_sparse)


@each_backend
@pytest.mark.parametrize("view", [lambda X: X[::2], lambda X: X[:, ::2], np.asfortranarray])
def test_views_are_taken(backend, view):
    X, _ = samples(30, 8)
    X = view(X)
    y, layers = np.arange(len(X)) % 3, lambda: [Dense(X.shape[1], 3)]
    of_view, of_copy = (Network(layers(), backend, "float64", 2) for _ in range(2))
    of_view.fit(X, y, SGD(0.1), 2, batch_size=1)
    of_copy.fit(X.copy(order="C"), y, SGD(0.1), 2, batch_size=1)
    assert bytes_of(of_view) == bytes_of(of_copy)


@each_backend
@pytest.mark.parametrize("samples_of_call", [1, 7, 10, 29, 30, 1000])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_length_of_a_call_changes_nothing(monkeypatch, backend, batch_size, samples_of_call):
    X, y = sparse_samples(30, 4, 3, "float64")
    options = {"backend": backend, "epochs": 2, "batch_size": batch_size, "input_format": "sparse"}
    expected, expected_history = trained(SGD(0.05), X, y, **options)
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", samples_of_call)
    optimizer = SGD(0.05)
    net, history = trained(optimizer, X, y, **options)
    assert optimizer.n_steps == 2 * -(-30 // batch_size)
    assert bytes_of(net) == bytes_of(expected)
    assert history["loss"] == pytest.approx(expected_history["loss"], rel=1e-14)
    assert history["accuracy"] == expected_history["accuracy"]


@each_backend
def test_a_changed_learning_rate_is_that_of_the_next_epoch(backend):
    X, y = samples(10)

    def freeze(epoch):
        epoch.optimizer.learning_rate = 1e-300

    frozen, _ = trained(SGD(0.1), X, y, backend, epochs=3, callbacks=[freeze])
    once, _ = trained(SGD(0.1), X, y, backend, epochs=1)
    assert bytes_of(frozen) == bytes_of(once)


class WatchingDense(Dense):
    """A layer of a user's own."""


@pytest.mark.parametrize(
    ("steps", "layers", "optimizer", "options"),
    [
        (Steps.BATCHES, [Dense(4, 3)], SGD(0.1, momentum=0.5), {"batch_size": 1}),
        (Steps.BATCHES, [Dense(4, 3)], fastfnn.Adam(), {"batch_size": 1}),
        (Steps.ONE_BY_ONE, [Dense(4, 3)], StepByStep(0.1), {"batch_size": 1}),
        (Steps.BATCHES, [Dense(4, 3)], SGD(0.1), {"batch_size": 1, "l2": 0.1}),
        (Steps.BATCHES, [Dense(4, 3)], SGD(0.1), {"batch_size": 2}),
        (Steps.BATCHES, [Dense(4, 3)], SGD(0.1), {"batch_size": 2, "input_format": "dense"}),
        (Steps.BATCHES, [Dense(4, 3)], SGD(0.1, momentum=0.5), {"batch_size": 2, "input_format": "sparse"}),
        (Steps.BATCHES, [Dense(4, 3)], SGD(0.1), {"batch_size": 2, "input_format": "sparse", "l2": 0.1}),
        (Steps.ONE_BY_ONE, [Dense(4, 3)], StepByStep(0.1), {"batch_size": 2, "input_format": "sparse"}),
        (Steps.ONE_BY_ONE, [Dense(4, 3)], SGD(0.1), {}),
        (Steps.ONE_BY_ONE, [Dense(4, 3), fastfnn.Tanh()], SGD(0.1), {"batch_size": 1}),
        (Steps.ONE_BY_ONE, [WatchingDense(4, 3)], SGD(0.1), {"batch_size": 1}),
    ],
)
def test_other_trainings_leave_the_kernels_of_sgd(calls, steps, layers, optimizer, options):
    net = Network(layers, seed=1)
    assert net.plan(*samples(5), optimizer, **options).steps is steps
    net.fit(*samples(5), optimizer, **options)
    assert calls == []
    assert net.layers[0].gradient.weights is not None


@each_backend
def test_ctrl_c_ends_the_training_after_the_call(monkeypatch, backend):
    """Zero weights answer class 0 at a cost of log 2; of three calls the first is gone through."""
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", 3)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def count_and_press(self, parameters, n_steps, count=SGD.count_steps):
        count(self, parameters, n_steps)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SGD, "count_steps", count_and_press)
    net, optimizer = Network([Dense(7, 2, use_bias=False, initializer=zeros)], backend, "float64", 1), SGD(1.0)
    with pytest.warns(TrainingWarning, match="training was interrupted"):
        history = net.fit(np.eye(7), np.zeros(7, int), optimizer, epochs=9, batch_size=1)
    signal.signal(signal.SIGINT, before)
    assert history.interrupted
    assert optimizer.n_steps == 3
    assert len(history) == 0
    assert (history.unfinished.epoch, history.unfinished.n_samples) == (1, 3)
    assert history.unfinished.mean_loss == pytest.approx(np.log(2), rel=1e-14)
    assert np.count_nonzero(net.layers[0].weights.any(axis=1)) == 3


@each_backend
def test_an_optimizer_of_another_network_is_refused(backend):
    optimizer = SGD(0.1)
    Network([Dense(4, 2)], backend).fit(samples(5)[0], np.zeros(5, int), optimizer, batch_size=1)
    net = small_network(backend)
    with pytest.raises(ValueError, match="holds the state of 5 steps of another network"):
        net.fit(*samples(5), optimizer, batch_size=1)
