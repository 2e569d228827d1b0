import threading
from itertools import chain

import numpy as np
import pytest
from networks import (
    ROUNDING,
    assert_close,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    loss_of,
    samples,
    small_network,
)

import fastfnn
from fastfnn import SGD, Dense, Network, StopTraining
from fastfnn.execution.thresholds import ROWS_OF_LARGE_BLOCK
from fastfnn.initializers import zeros


@each_backend
@each_dtype
def test_full_batch_steps_follow_the_chain_rule(backend, dtype):
    X, y = samples(20, dtype=dtype)
    net, by_hand = small_network(backend, dtype), small_network("numpy", "float64")
    for name, array in by_hand.parameters.items():
        array[...] = net.parameters[name]
    history = net.fit(X, y, SGD(0.5), epochs=5, l2=0.1)
    losses = []
    for _ in range(5):
        loss, gradients = backpropagated(by_hand, X, y, l2=0.1)
        losses.append(loss)
        for layer, (weights, bias) in zip(by_hand.layers, gradients, strict=True):
            layer.weights[...] -= 0.5 * weights
            if bias is not None:
                layer.bias[...] -= 0.5 * bias
    assert_close(np.array(history["loss"]), np.array(losses), 10 * ROUNDING[dtype])
    for name, array in net.parameters.items():
        assert_close(array, by_hand.parameters[name], 10 * ROUNDING[dtype])


@each_backend
@pytest.mark.parametrize("backend_of_validation", ["same data", "other data"])
def test_validation_figures_are_those_after_the_epoch(backend, backend_of_validation):
    X, y = samples(20)
    held_out = (X, y) if backend_of_validation == "same data" else samples(ROWS_OF_LARGE_BLOCK + 3, seed=1)
    net = small_network(backend)
    seen = []
    history = net.fit(
        X, y, SGD(0.5), epochs=3, l2=0.1, validation_data=held_out,
        callbacks=[lambda epoch: seen.append(loss_of(epoch.network.layers, *held_out))],
    )  # fmt: skip
    assert_close(np.array(history["validation_loss"]), np.array(seen), 1e-12)
    assert history["validation_accuracy"][-1] == (net.predict(held_out[0]) == held_out[1]).mean()


@each_backend
def test_validation_data_does_not_change_the_training(backend):
    X, y = samples(20)
    plain, other = small_network(backend), small_network(backend)
    plain.fit(X, y, SGD(0.5), epochs=3, batch_size=6)
    other.fit(X, y, SGD(0.5), epochs=3, batch_size=6, validation_data=samples(9, seed=1))
    assert bytes_of(plain) == bytes_of(other)


@each_backend
@each_dtype
def test_two_trainings_of_one_optimizer_are_one_longer_training(backend, dtype):
    X, y = samples(20)
    once, twice = small_network(backend, dtype), small_network(backend, dtype)
    once.fit(X, y, fastfnn.Adam(0.1), epochs=4)
    optimizer = fastfnn.Adam(0.1)
    twice.fit(X, y, optimizer, epochs=2)
    twice.fit(X, y, optimizer, epochs=2)
    assert optimizer.n_steps == 4
    assert bytes_of(once) == bytes_of(twice)


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
def test_training_lowers_the_loss(backend, batch_size):
    X, _ = samples(200)
    y = X[:, :3].argmax(axis=1)
    net = small_network(backend)
    before = net.evaluate(X, y)
    net.fit(X, y, fastfnn.Adam(0.05), epochs=40, batch_size=batch_size)
    loss, accuracy = net.evaluate(X, y)
    assert loss < before[0] / 2
    assert accuracy > 0.85


def rows_of_identity(backend, n_rows, batch_size, epochs=1, seed=4):
    """Train zero weights on one-hot rows: each row of the weights is moved by the sample of that row alone."""
    net = Network([Dense(n_rows, 2, use_bias=False, initializer=zeros)], backend, "float64", seed)
    visits = []
    for _ in range(epochs):
        net.layers[0].weights[...] = 0
        net.fit(np.eye(n_rows), np.zeros(n_rows, int), SGD(1.0), batch_size=batch_size)
        visits.append(net.layers[0].weights[:, 0].copy())
    return visits


@each_backend
@pytest.mark.parametrize(
    ("n_rows", "batch_size", "lengths"),
    [
        (7, 3, [3, 3, 3, 3, 3, 3, 1]),
        (6, 3, [3] * 6),
        (5, 4, [4, 4, 4, 4, 1]),
        (5, 1, [1] * 5),
        (5, 5, [5] * 5),
        (5, 100, [5] * 5),
    ],
)
def test_each_sample_is_visited_once_in_batches_of_the_right_length(backend, n_rows, batch_size, lengths):
    (steps,) = rows_of_identity(backend, n_rows, batch_size)
    assert sorted(steps) == pytest.approx(sorted(0.5 / length for length in lengths), rel=1e-14)


@each_backend
def test_the_order_is_drawn_anew_for_each_epoch(backend):
    orders = rows_of_identity(backend, 40, 39, epochs=4)
    lone_samples = {int(np.argmax(steps)) for steps in orders}
    assert len(lone_samples) > 1


@each_backend
def test_the_order_is_drawn_anew_within_one_training(backend):
    batches = []

    class Watching(SGD):
        def step(self, kernels, parameters, gradients):
            batches.append(np.flatnonzero(gradients[0][:, 0]).tolist())
            super().step(kernels, parameters, gradients)

    net = Network([Dense(30, 2)], backend, "float64", seed=1)
    net.fit(np.eye(30), np.zeros(30, int), Watching(0.1), epochs=3, batch_size=10)
    epochs = [batches[:3], batches[3:6], batches[6:]]
    assert [sorted(chain(*epoch)) for epoch in epochs] == [list(range(30))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != [list(range(first, first + 10)) for first in (0, 10, 20)]


@each_backend
@each_dtype
def test_batches_are_the_same_for_the_same_seed_only(backend, dtype):
    X, y = samples(23)
    trained = []
    for seed in (5, 5, 6):
        net = Network([Dense(4, 3, initializer=zeros)], backend, dtype, seed)
        net.fit(X, y, SGD(0.5), epochs=2, batch_size=5)
        trained.append(bytes_of(net))
    assert trained[0] == trained[1]
    assert trained[0] != trained[2]


@each_backend
def test_mini_batch_records_are_means_over_the_samples(backend):
    """Of zero weights each batch's loss is log 2 before its update, as long as rows do not meet."""
    net = Network([Dense(7, 2, use_bias=False, initializer=zeros)], backend, "float64", 1)
    history = net.fit(np.eye(7), np.array([0, 0, 0, 0, 0, 1, 1]), SGD(1.0), batch_size=3)
    assert history["loss"] == pytest.approx([np.log(2)], rel=1e-14)
    assert history["accuracy"] == [5 / 7]


@each_backend
def test_the_last_batch_counts_by_its_samples(backend):
    """The weights stand still, so that batches of 3 and 1 must average to the whole."""
    X, y = samples(4)
    net = small_network(backend)
    loss, _ = net.loss_and_gradients(X, y, l2=0.1)
    history = net.fit(X, y, SGD(1e-15), batch_size=3, l2=0.1)
    assert history["loss"] == pytest.approx([loss], rel=1e-12)


@each_backend
@each_dtype
def test_a_batch_of_all_samples_is_the_full_batch(backend, dtype):
    X, y = samples(20, dtype=dtype)
    full, batch = small_network(backend, dtype), small_network(backend, dtype)
    full.fit(X, y, SGD(0.5), epochs=3)
    batch.fit(X, y, SGD(0.5), epochs=3, batch_size=20)
    for name, array in full.parameters.items():
        assert_close(array, batch.parameters[name], 10 * ROUNDING[dtype])


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
def test_callbacks_are_called_once_an_epoch_in_order(backend, batch_size):
    X, y = samples(20)
    net, optimizer, calls = small_network(backend), SGD(0.1), []

    def first(epoch):
        assert epoch.network is net
        assert epoch.optimizer is optimizer
        calls.append(("first", epoch.number, epoch.n_epochs))

    def second(epoch):
        calls.append(("second", epoch.number, epoch.n_epochs))

    net.fit(X, y, optimizer, epochs=2, batch_size=batch_size, callbacks=[first, second])
    assert calls == [("first", 1, 2), ("second", 1, 2), ("first", 2, 2), ("second", 2, 2)]


@each_backend
def test_callbacks_see_the_updated_network(backend):
    X, y = samples(20)
    net, seen = small_network(backend), []
    start = bytes_of(net)

    def look(epoch):
        seen.append(bytes_of(epoch.network))
        expected = loss_of(net.layers, X, y)
        loss, accuracy = epoch.evaluate_training_set()
        assert loss == pytest.approx(expected, rel=1e-12)
        assert accuracy == (net.predict(X) == y).mean()

    net.fit(X, y, SGD(0.1), epochs=3, l2=0.1, callbacks=[look])
    assert len({frozenset(each.items()) for each in [start, *seen]}) == 4
    assert seen[-1] == bytes_of(net)


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
def test_looking_at_the_training_set_does_not_disturb_the_training(backend, batch_size):
    X, y = samples(20)
    plain, watched = small_network(backend), small_network(backend)
    plain.fit(X, y, SGD(0.1), epochs=3, batch_size=batch_size)
    look = [lambda epoch: epoch.evaluate_training_set(), lambda epoch: epoch.network.predict(X)]
    watched.fit(X, y, SGD(0.1), epochs=3, batch_size=batch_size, callbacks=look)
    assert bytes_of(plain) == bytes_of(watched)


@each_backend
def test_a_callback_may_change_weights_and_learning_rate(backend):
    X, y = samples(20)
    net = small_network(backend)

    def freeze(epoch):
        epoch.network.layers[0].weights[...] = 1
        epoch.optimizer.learning_rate = 1e-30

    net.fit(X, y, SGD(0.1), epochs=2, callbacks=[freeze])
    assert (net.layers[0].weights == 1).all()


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
def test_a_callback_ends_the_training(backend, batch_size):
    def stop(epoch):
        if epoch.number == 2:
            raise StopTraining

    X, y = samples(20)
    net, same = small_network(backend), small_network(backend)
    history = net.fit(X, y, SGD(0.1), epochs=9, batch_size=batch_size, callbacks=[stop])
    same.fit(X, y, SGD(0.1), epochs=2, batch_size=batch_size)
    assert history["epoch"] == [1, 2]
    assert not history.interrupted
    assert bytes_of(net) == bytes_of(same)


@each_backend
def test_an_error_in_a_callback_comes_out(backend):
    def fail(epoch):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        small_network(backend).fit(*samples(5), SGD(0.1), callbacks=[fail])


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
def test_training_in_another_thread(backend, batch_size):
    X, y = samples(20)
    net, same, histories = small_network(backend), small_network(backend), []
    thread = threading.Thread(
        target=lambda: histories.append(net.fit(X, y, SGD(0.1), epochs=3, batch_size=batch_size))
    )
    thread.start()
    thread.join()
    same.fit(X, y, SGD(0.1), epochs=3, batch_size=batch_size)
    assert histories[0]["epoch"] == [1, 2, 3]
    assert not histories[0].interrupted
    assert bytes_of(net) == bytes_of(same)


@each_backend
def test_layers_hold_the_gradient_of_the_last_step(backend):
    X, y = samples(20)
    net, start = small_network(backend), small_network(backend)
    net.fit(X, y, SGD(0.1), l2=0.1)
    _, (first, last) = backpropagated(start, X, y, l2=0.1)
    assert_close(net.layers[0].gradient.weights, first[0], 1e-12)
    assert_close(net.layers[0].gradient.bias, first[1], 1e-12)
    assert_close(net.layers[1].gradient.weights, last[0], 1e-12)
