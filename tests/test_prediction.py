"""Predictions for a few rows, by one call of a kernel."""

import numpy as np
import pytest
from networks import each_backend, each_dtype, small_network, sparse_samples
from scipy import sparse

from fastfnn import Dense, Network, Tanh
from fastfnn.execution.plan import Propagation, plan_prediction
from fastfnn.execution.thresholds import FEW_ROWS
from fastfnn.execution.whole_stack import StackForward
from fastfnn.inputs.density import DataProfile


class WatchingDense(Dense):
    """A layer of a user's own."""


@pytest.fixture
def calls(monkeypatch):
    """How many rows each call of the kernel of all layers was given."""
    given, logits = [], StackForward.logits

    def spy(self, X):
        given.append(len(X))
        return logits(self, X)

    monkeypatch.setattr(StackForward, "logits", spy)
    return given


@each_backend
@each_dtype
@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
def test_rows_get_the_bits_they_get_among_many(calls, backend, dtype, input_dtype, input_format):
    X, _ = sparse_samples(FEW_ROWS + 1, 4, 3, input_dtype)
    net = small_network(backend, dtype, input_scale=0.125)
    labels, probabilities = net.predict(X, input_format), net.predict_proba(X, input_format)
    assert calls == []
    for rows in (slice(0, FEW_ROWS), slice(5, 6), slice(3, 7), slice(2, 20, 3), slice(0, 0)):
        few = net.predict(X[rows], input_format)
        assert few.dtype == np.int64
        assert np.array_equal(few, labels[rows])
        if backend == "numba":
            assert net.predict_proba(X[rows], input_format).tobytes() == probabilities[rows].tobytes()
    assert {1, 4, FEW_ROWS} <= set(calls)


@each_backend
def test_columns_of_a_view_are_taken(calls, backend):
    X, _ = sparse_samples(10, 8, 3, "float64")
    net = small_network(backend)
    assert np.array_equal(net.predict(X[:, ::2]), net.predict(X[:, ::2].copy()))
    assert calls == [10, 10]


@each_backend
def test_parameters_are_those_of_the_call(backend):
    X, _ = sparse_samples(3, 4, 3, "float64")
    net = small_network(backend)
    net.predict(X)
    net.layers[1].weights[...] = 0
    assert np.array_equal(net.predict_proba(X), np.full((3, 3), 1 / 3))


@pytest.mark.parametrize("layers", [[Dense(4, 3), Tanh()], [WatchingDense(4, 3)]])
def test_other_layers_compute_for_themselves(calls, layers):
    Network(layers).predict(np.ones((2, 4)))
    assert calls == []


def test_sparse_arrays_go_through_the_layers(calls):
    X, _ = sparse_samples(3, 4, 3, "float64")
    net = small_network("numba")
    assert np.array_equal(net.predict(sparse.csr_array(X)), net.predict(X))
    assert calls == [3]


@pytest.mark.parametrize(("n_hidden", "most"), [(4, 64), (600, 64), (1200, 16), (6000, 8)])
def test_fewer_rows_in_one_call_for_more_parameters(n_hidden, most):
    net = Network([Dense(300, n_hidden, activation="relu"), Dense(n_hidden, 3)], seed=0)
    plans = [plan_prediction(net, DataProfile(n_rows)) for n_rows in (1, most, most + 1)]
    whole = [plan.propagation is Propagation.WHOLE_STACK for plan in plans]
    assert whole == [True, True, False]
    X = np.random.default_rng(0).standard_normal((most + 1, 300)).astype(np.float32)
    assert net.predict_proba(X)[:most].tobytes() == net.predict_proba(X[:most]).tobytes()
