"""Samples that are not finite are refused by every prediction, found in the rows or in the outputs."""

import numpy as np
import pytest
from networks import Doubling, each_backend, each_dtype, samples

from fastfnn import Dense, Dropout, Network, Tanh
from fastfnn.execution import prediction
from fastfnn.execution.finite_outputs import LEAST_NUMBERS, shows_in_outputs
from fastfnn.execution.thresholds import FEW_ROWS, ROWS_OF_LARGE_BLOCK

ENOUGH = 10**6
BAD = [np.nan, np.inf, -np.inf]


def network(*activations, backend="numpy", dtype="float32", seed=1):
    widths = [4, *[6] * (len(activations) - 1), 3]
    layers = [Dense(n, m, f) for n, m, f in zip(widths, widths[1:], activations, strict=False)]
    return Network(layers, backend, dtype, seed, loss="mean_squared_error")


def hiding(net, layer=0, sign=-1):
    """Give all weights of one input one sign: relu may make -inf of them, and nothing else, to 0."""
    weights = net.layers[layer].weights
    weights[2] = sign * np.abs(weights[2])
    return net


def mixed(net, layer):
    """Give each input of a layer a positive and a negative weight."""
    weights = net.layers[layer].weights
    weights[:, 0], weights[:, 1] = np.abs(weights[:, 0]), -np.abs(weights[:, 1])
    return net


SHOWING = {
    "linear": lambda **o: network("identity", **o),
    "relu": lambda **o: network("relu", "identity", **o),
    "three layers": lambda **o: network("relu", "leaky_relu", "identity", **o),
    "leaky relu of one sign": lambda **o: hiding(network("leaky_relu", "identity", **o)),
    "relu at the end": lambda **o: mixed(network("leaky_relu", "relu", **o), layer=1),
}
HIDING = {
    "tanh": lambda **o: network("tanh", "identity", **o),
    "sigmoid": lambda **o: network("relu", "sigmoid", "identity", **o),
    "elu": lambda **o: network("elu", "identity", **o),
    "softplus": lambda **o: network("softplus", "identity", **o),
    "negative weights": lambda **o: hiding(network("relu", "identity", **o)),
    "positive weights": lambda **o: hiding(network("relu", "identity", **o), sign=1),
    "negative weights later": lambda **o: hiding(network("relu", "relu", "identity", **o), layer=1),
    "layers of their own": lambda backend="numpy", dtype="float32": Network(
        [Dense(4, 6), Tanh(), Dropout(0.5), Doubling(), Dense(6, 3)], backend, dtype, 1, loss="mean_squared_error"
    ),
}


@pytest.mark.parametrize("name", SHOWING)
def test_networks_whose_outputs_show_it(name):
    net = SHOWING[name]()
    assert shows_in_outputs(net, ENOUGH)
    n_parameters = sum(array.size for array in net.parameters.values())
    assert shows_in_outputs(net, LEAST_NUMBERS * n_parameters)
    assert not shows_in_outputs(net, LEAST_NUMBERS * n_parameters - 1)


@pytest.mark.parametrize("name", HIDING)
def test_networks_that_may_hide_it(name):
    assert not shows_in_outputs(HIDING[name](), ENOUGH)


def test_weights_that_are_nan_show_nothing():
    net = network("relu", "identity")
    net.layers[0].weights[...] = np.nan
    assert not shows_in_outputs(net, ENOUGH)


@each_backend
@each_dtype
@pytest.mark.parametrize("name", [*SHOWING, *HIDING])
@pytest.mark.parametrize("n_rows", [1, FEW_ROWS, 300, ROWS_OF_LARGE_BLOCK + 20])
def test_every_bad_number_is_refused_at_its_place(backend, dtype, name, n_rows):
    net, rng = (SHOWING | HIDING)[name](backend=backend, dtype=dtype), np.random.default_rng(n_rows)
    for value in [*BAD, *([1e39, -1e300] if dtype == "float32" else [])]:  # the last two are finite in float64
        X, _ = samples(n_rows)
        row, column = rng.integers(n_rows), 2
        X[row, column] = value
        for each in (X,) if np.isfinite(value) else (X, X.astype("f4")):
            with pytest.raises(ValueError, match=f"X must be finite; got {value!s}".replace("+", "\\+")) as caught:
                net.predict(each)
            assert f"in row {row}, column {column}" in str(caught.value)


@each_backend
@pytest.mark.parametrize("name", [*SHOWING, *HIDING])
def test_several_bad_numbers_do_not_cancel_out(backend, name):
    net, rng = (SHOWING | HIDING)[name](backend=backend), np.random.default_rng(2)
    for _ in range(20):
        X, _ = samples(300, dtype="float32")
        row = rng.integers(300)
        X[row, rng.permutation(4)[: rng.integers(2, 5)]] = rng.choice([np.inf, -np.inf])
        with pytest.raises(ValueError, match=f"got -?inf in row {row}, "):
            net.predict(X)


@each_backend
def test_outputs_that_overflow_are_returned(backend):
    net, (X, _) = network("relu", "identity", backend=backend), samples(300, dtype="float32")
    net.layers[0].weights[...] *= np.float32(1e20)
    for rows in (X, X[:3]):
        with np.errstate(over="ignore", invalid="ignore"):
            assert not np.isfinite(net.predict(rows * np.float32(1e25))).all()
        assert np.isfinite(net.predict(rows)).all()


@each_backend
def test_rows_are_searched_only_where_outputs_do_not_show_it(backend, monkeypatch):
    searched = []
    monkeypatch.setattr(prediction, "check_finite", lambda X, *_: searched.append(len(X)))
    X, _ = samples(ROWS_OF_LARGE_BLOCK + 20, dtype="float32")
    SHOWING["relu"](backend=backend).predict(X)
    assert searched == []
    HIDING["tanh"](backend=backend).predict(X)
    assert sum(searched) == len(X)
    searched.clear()
    HIDING["tanh"](backend=backend).predict(X[:5])
    assert searched == []
