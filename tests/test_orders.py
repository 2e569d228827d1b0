"""Orders of the samples that a function returns: some or all of the rows, in any order, each as often as it likes."""

import numpy as np
import pandas as pd
import pytest
from networks import assert_close, bytes_of, each_backend, each_dtype, samples, small_network, sparse_samples

from fastfnn import SGD, Adam, Dense, History, Network, StopTraining
from fastfnn.execution import thresholds
from fastfnn.execution.plan import Steps

each_kind = pytest.mark.parametrize("kind", ["dense", "sparse"])

ORDERS = {
    "reversed": np.arange(20)[::-1],
    "a few": np.array([3, 19, 0, 7]),
    "one": np.array([5]),
    "repeated": np.array([2, 2, 2, 2, 9, 2, 9, 9, 0, 2, 2, 2]),
    "more than there are": np.tile(np.arange(20), 3)[:53] * 7 % 20,
}
each_order = pytest.mark.parametrize("name", ORDERS)


def some_samples(kind, dtype="float64"):
    return samples(20, dtype=dtype) if kind == "dense" else sparse_samples(20, 4, 3, dtype)


@each_backend
@each_kind
@each_order
@pytest.mark.parametrize("batch_size", [1, 6, 25])
def test_batches_are_the_rows_of_the_function(backend, kind, name, batch_size):
    X, y = some_samples(kind)
    order, optimizer, asked = ORDERS[name], SGD(0.1), []
    net, by_hand = small_network(backend), small_network(backend)

    def order_of(n_samples):
        asked.append(n_samples)
        return order if len(asked) == 1 else order[::-1]

    history = net.fit(X, y, optimizer, 2, batch_size, shuffle=order_of, input_format=kind)
    losses = []
    for rows in (order, order[::-1]):
        for first in range(0, len(order), batch_size):
            batch = rows[first : first + batch_size]
            losses += by_hand.fit(X[batch], y[batch], SGD(0.1), input_format=kind)["loss"] * len(batch)
    assert asked == [20, 20]
    assert optimizer.n_steps == 2 * -(-len(order) // batch_size)
    assert history["loss"] == pytest.approx(np.reshape(losses, (2, -1)).mean(axis=1), rel=1e-12)
    for parameter in net.parameters:
        assert_close(net.parameters[parameter], by_hand.parameters[parameter], 1e-12)


@each_backend
@each_dtype
def test_steps_in_a_given_order_are_exact(backend, dtype):
    """All numbers have so few bits that none is rounded."""
    X = np.array([[1, 2], [0, -1], [3, 1], [-2, 0]], dtype)
    y = np.array([[3], [-1], [2], [0]], dtype)
    net = Network([Dense(2, 1)], backend, dtype, seed=0, loss="mean_squared_error")
    w, b = np.array([[1.0], [-2.0]]), np.array([0.5])
    net.layers[0].weights[...], net.layers[0].bias[...] = w, b
    order, losses = [3, 0, 0, 2, 1, 1], []
    for rows in (order[:2], order[2:4], order[4:]):
        error = X[rows] @ w + b - y[rows]
        losses.append((error**2).mean())
        w, b = w - X[rows].T @ error / 8, b - error.sum(axis=0) / 8
    history = net.fit(X, y, SGD(1 / 8), batch_size=2, shuffle=lambda n: order)
    assert history["loss"] == [np.mean(losses)]
    assert (net.layers[0].weights == w).all()
    assert (net.layers[0].bias == b).all()


@each_backend
@each_dtype
@each_kind
@pytest.mark.parametrize("batch_size", [1, 6])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: Adam(0.1)], ids=["SGD", "Adam"])
def test_the_order_that_shuffling_draws_gives_the_same_bits(backend, dtype, kind, batch_size, drop_last, make):
    X, y = some_samples(kind, dtype)
    shuffled, ordered = small_network(backend, dtype), small_network(backend, dtype)
    draw = small_network(backend, dtype).rng.permutation
    options = {"batch_size": batch_size, "input_format": kind, "drop_last": drop_last}
    plans = [net.plan(X, y, make(), shuffle=order, **options) for net, order in ((shuffled, True), (ordered, draw))]
    assert plans[0] == plans[1]
    expected = shuffled.fit(X, y, make(), epochs=3, **options)
    history = ordered.fit(X, y, make(), epochs=3, shuffle=draw, **options)
    assert bytes_of(ordered) == bytes_of(shuffled)
    assert history["loss"] == expected["loss"]
    assert history["accuracy"] == expected["accuracy"]


@each_backend
@each_order
@pytest.mark.parametrize("batch_size", [1, 3])
def test_looking_at_fused_steps_in_a_given_order_changes_nothing(monkeypatch, backend, name, batch_size):
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", 7)
    X, y = sparse_samples(20, 4, 3, "float64")
    options = {"epochs": 2, "batch_size": batch_size, "shuffle": lambda n: ORDERS[name], "input_format": "sparse"}
    plain, watched, seen = small_network(backend), small_network(backend), []
    assert plain.plan(X, y, SGD(0.1), **options).steps is not Steps.ONE_BY_ONE
    losses = plain.fit(X, y, SGD(0.1), **options)["loss"]
    assert watched.fit(X, y, SGD(0.1), **options, step_callbacks=[seen.append])["loss"] == losses
    assert len(seen) == 2 * -(-len(ORDERS[name]) // batch_size)
    assert bytes_of(watched) == bytes_of(plain)


@each_backend
@each_kind
def test_a_batch_may_have_more_rows_than_there_are_samples(monkeypatch, backend, kind):
    """It takes several blocks, of which all samples would be less than one."""
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", 24)
    monkeypatch.setattr(thresholds, "ROWS_OF_LARGE_BLOCK", 24)
    X, y = some_samples(kind)
    order = ORDERS["more than there are"]
    net, repeated = small_network(backend), small_network(backend)
    options = {"batch_size": 53, "input_format": kind}
    plan = net.plan(X, y, Adam(0.1), shuffle=lambda n: order, **options)
    assert plan.n_blocks == 3
    assert net.plan(X, y, Adam(0.1), **options).n_blocks == 1
    net.fit(X, y, Adam(0.1), shuffle=lambda n: order, **options)
    repeated.fit(X[order], y[order], Adam(0.1), shuffle=False, **options)
    for name, parameter in net.parameters.items():
        assert_close(parameter, repeated.parameters[name], 1e-12)


@each_backend
@pytest.mark.parametrize("batch_size", [20, 25])
def test_a_plan_does_not_know_the_number_of_batches(backend, batch_size):
    X, y = sparse_samples(20, 4, 3, "float64")
    net, options = small_network(backend), {"batch_size": batch_size, "input_format": "sparse"}
    assert net.plan(X, y, SGD(), **options).steps is Steps.BATCHES
    assert net.plan(X, y, SGD(), shuffle=np.flip, **options).steps is Steps.SGD_BATCHES


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        pd.Series,
        lambda rows: rows.astype(np.uint8),
        lambda rows: rows.astype(np.int32),
        lambda rows: rows.astype(np.uint64),
        lambda rows: rows.astype(">i8"),
        lambda rows: np.repeat(rows, 2)[::2],
    ],
)
def test_rows_are_any_vector_of_integers(form):
    X, y = samples(20)
    net, other = small_network(), small_network()
    order = ORDERS["repeated"]
    net.fit(X, y, Adam(0.1), 2, 5, shuffle=lambda n: form(order))
    other.fit(X, y, Adam(0.1), 2, 5, shuffle=lambda n: order)
    assert bytes_of(net) == bytes_of(other)


def test_the_functions_array_may_change_during_the_epoch():
    X, y = samples(20)
    net, other = small_network(), small_network()
    order = np.arange(20)

    def spoil(step):
        order[...] = 10**9

    def restored(n_samples):
        order[...] = np.arange(n_samples)
        return order

    net.fit(X, y, Adam(0.1), 2, 6, shuffle=restored, step_callbacks=[spoil])
    other.fit(X, y, Adam(0.1), 2, 6, shuffle=False)
    assert bytes_of(net) == bytes_of(other)


def test_the_last_small_batch_of_the_functions_rows_is_dropped():
    X, y = samples(20)
    net, other, optimizer = small_network(), small_network(), Adam(0.1)
    rows = ORDERS["more than there are"]
    net.fit(X, y, optimizer, batch_size=25, shuffle=lambda n: rows, drop_last=True)
    other.fit(X, y, Adam(0.1), batch_size=25, shuffle=lambda n: rows[:50])
    assert optimizer.n_steps == 2
    assert bytes_of(net) == bytes_of(other)


def test_a_full_batch_asks_for_no_order():
    X, y = samples(20)
    net, other = small_network(), small_network()
    net.fit(X, y, SGD(0.1), 3, shuffle=lambda n: 1 / 0)
    other.fit(X, y, SGD(0.1), 3)
    assert bytes_of(net) == bytes_of(other)


BAD_ROWS = {
    "must be at least one; got none": ([], ValueError),
    "must be from 0 to 19; got numbers from -1 to 3": ([3, -1], ValueError),
    "must be from 0 to 19; got numbers from 0 to 20": (np.arange(21, dtype=np.uint8), ValueError),
    "must be from 0 to 19; got numbers from 18446744073709551615": (np.array([2**64 - 1], np.uint64), ValueError),
    "must be a vector of integers; got shape (2,) of float64": ([0.0, 1.0], TypeError),
    "must be a vector of integers; got shape (20,) of bool": (np.ones(20, bool), TypeError),
    "must be a vector of integers; got shape (20, 1) of int64": (np.arange(20)[:, None], TypeError),
    "must be a vector of integers; got shape (0, 3) of float64": (np.empty((0, 3)), TypeError),
    "must be a vector of integers; got shape () of int64": (7, TypeError),
    "must hold real numbers; got NoneType": (None, TypeError),
    "must hold real numbers; got text": (["a", "b"], TypeError),
    "must hold real numbers; got map": (map(int, "123"), TypeError),
    "drop_last leaves no batch: batch_size is 6, and an epoch has 5 samples": (range(5), ValueError),
}


@each_backend
@pytest.mark.parametrize("bad_epoch", [1, 2])
@pytest.mark.parametrize("message", BAD_ROWS)
def test_bad_rows_are_refused_before_their_epoch(backend, bad_epoch, message):
    X, y = samples(20)
    rows, error = BAD_ROWS[message]
    net, good, optimizer, history, n_asked = small_network(backend), small_network(backend), SGD(0.1), History(), 0

    def order(n_samples):
        nonlocal n_asked
        n_asked += 1
        return rows if n_asked == bad_epoch else np.arange(n_samples)

    with pytest.raises(error) as caught:
        net.fit(X, y, optimizer, 3, 6, shuffle=order, drop_last=True, history=history)
    assert message in str(caught.value)
    assert message.startswith("drop_last") or str(caught.value).startswith("the rows that shuffle returns must ")
    if bad_epoch == 2:
        good.fit(X, y, SGD(0.1), 1, 6, shuffle=False, drop_last=True)
    assert len(history) == bad_epoch - 1
    assert optimizer.n_steps == 3 * (bad_epoch - 1)
    assert bytes_of(net) == bytes_of(good)


def test_an_error_of_the_function_comes_out():
    net, (X, y) = small_network(), samples(20)
    before, state = bytes_of(net), net.rng.bit_generator.state
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, SGD(0.1), batch_size=6, shuffle=lambda n: 1 / 0)
    assert bytes_of(net) == before
    assert net.rng.bit_generator.state == state


@each_backend
@pytest.mark.parametrize("kind", ["SGD in calls", "Adam"])
def test_an_epoch_is_continued_if_the_function_returns_the_same_rows(monkeypatch, backend, kind):
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", 7)
    X, y = sparse_samples(20, 4, 3, "float64")
    make = (lambda: SGD(0.1)) if kind == "SGD in calls" else (lambda: Adam(0.1))
    options = {"batch_size": 3, "input_format": "sparse", "epochs": 2}
    order = ORDERS["more than there are"]

    def stop(step):
        if step.number == 4:
            raise StopTraining

    net, whole, optimizer = small_network(backend), small_network(backend), make()
    history = net.fit(X, y, optimizer, **options, shuffle=lambda n: order, step_callbacks=[stop])
    assert history.unfinished.n_samples == 12
    before = bytes_of(net)
    for other in (lambda n: order[::-1], lambda n: order[:-1], np.arange, True):
        with pytest.raises(ValueError, match="continue with the same samples, batch_size, shuffle and drop_last"):
            net.fit(X, y, optimizer, **options, shuffle=other, history=history)
    with pytest.raises(ValueError, match="the rows that shuffle returns must be at least one"):
        net.fit(X, y, optimizer, **options, shuffle=lambda n: [], history=history)
    assert (bytes_of(net), optimizer.n_steps) == (before, 4)
    net.fit(X, y, optimizer, **options, shuffle=lambda n: order.tolist(), history=history)
    expected = whole.fit(X, y, make(), **options, shuffle=lambda n: order)
    assert bytes_of(net) == bytes_of(whole)
    assert history["loss"] == expected["loss"]
