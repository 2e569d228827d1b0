"""The loss as a function of one vector: its numbers, its arrays, and its use with optimizers of SciPy."""

import copy
import re

import numpy as np
import pytest
from networks import (
    ROUNDING,
    Doubling,
    assert_close,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    numeric_gradient,
    samples,
    small_network,
    sparse_samples,
)
from scipy import sparse
from scipy.optimize import minimize
from test_gradient import noted_kernels
from test_replaced_arrays import large_network

from fastfnn import GELU, SGD, Dense, Dropout, Network, Tanh
from fastfnn.execution import thresholds
from fastfnn.execution.options import Penalty
from fastfnn.objective import Objective

NAMES = ["0.weights", "0.bias", "1.weights"]


def joined(arrays):
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def gradient_of(gradients):
    """Return the gradients of `loss_and_gradients` in one vector."""
    arrays = (array for each in gradients for array in (each.weights, each.bias))
    return joined([array for array in arrays if array is not None])


def other_vector(objective, seed=1):
    return objective.vector + np.random.default_rng(seed).standard_normal(objective.vector.shape)


@each_backend
@each_dtype
@pytest.mark.parametrize("rows_of_block", [7, 100])
def test_it_is_the_loss_and_its_gradient(monkeypatch, backend, dtype, rows_of_block):
    """Against the chain rule written out, and to the last bit as `loss_and_gradients`."""
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", rows_of_block)
    monkeypatch.setattr(thresholds, "ROWS_OF_LARGE_BLOCK", rows_of_block)
    net, (X, y) = small_network(backend, dtype), samples(30, dtype=dtype)
    objective = Objective(net, X, y, l2=0.1)
    for seed in (1, 2):
        vector = other_vector(objective, seed)
        loss, gradient = objective(vector)
        assert (objective.vector == vector.astype(dtype)).all()
        expected_loss, expected = backpropagated(net, X, y, l2=0.1)
        assert loss == pytest.approx(expected_loss, rel=ROUNDING[dtype])
        assert_close(gradient, joined([expected[0][0], expected[0][1], expected[1][0]]), ROUNDING[dtype])
        same_loss, gradients = net.loss_and_gradients(X, y, l2=0.1)
        assert loss == same_loss
        assert (gradient == gradient_of(gradients)).all()
        assert type(loss) is float
        assert gradient.dtype == objective.vector.dtype == np.float64


@each_dtype
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_all_layers_are_one_call_for_a_network_of_digits(dtype, loss):
    net = Network([Dense(64, 100, "relu"), Dense(100, 10)], "numpy", dtype, seed=0, loss=loss)
    X, y = samples(40, 64, 10, dtype)
    kernels = noted_kernels(net)
    targets = y if loss == "softmax_cross_entropy" else np.eye(10)[y]
    objective = Objective(net, X, targets, sample_weight=np.ones(40), l2=1e-4, l2_added_to="sum")
    objective(objective.vector)
    assert kernels.called == {"stack_gradient"}


def many_layers(backend, dtype="float64", loss="softmax_cross_entropy"):
    layers = [Dense(4, 6, "relu", use_bias=False), Doubling(), Dense(6, 5), GELU(), Dense(5, 3, "tanh")]
    return Network(layers, backend, dtype, seed=2, loss=loss)


LOSSES = {
    "softmax_cross_entropy": lambda rng: rng.integers(0, 3, 20),
    "binary_cross_entropy": lambda rng: rng.integers(0, 2, (20, 3)),
    "mean_squared_error": lambda rng: rng.standard_normal((20, 3)),
    "huber": lambda rng: rng.standard_normal((20, 3)),
    "poisson": lambda rng: rng.poisson(2, (20, 3)),
}


@each_backend
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_its_gradient_is_that_of_finite_differences(backend, loss, weighted):
    net, (X, _) = many_layers(backend, loss=loss), samples(20)
    rng = np.random.default_rng(0)
    y, weights = LOSSES[loss](rng), rng.uniform(0, 2, 20) if weighted else None
    objective = Objective(net, X, y, sample_weight=weights, l2=0.5, l2_bias=0.25, l2_added_to="sum")
    vector = objective.vector
    _, gradient = objective(vector)
    assert_close(gradient, numeric_gradient(lambda: objective(vector)[0], vector), 1e-7)


@each_backend
@pytest.mark.parametrize("added_to", ["mean", "sum"])
def test_weights_count_as_in_a_training(backend, added_to):
    """A step of the plain gradient, and the loss before it."""
    (X, y), weights = samples(20), np.linspace(0, 3, 20)
    options = {"sample_weight": weights, "l2": 0.5, "l2_bias": 0.25, "l2_added_to": added_to}
    net, trained = small_network(backend), small_network(backend)
    objective = Objective(net, X, y, **options)
    loss, gradient = objective(objective.vector)
    assert trained.fit(X, y, SGD(0.25), **options)["loss"] == [loss]
    objective.vector -= 0.25 * gradient
    for name, array in trained.parameters.items():
        assert_close(net.parameters[name], array, 1e-14)


@each_backend
def test_whole_weights_are_repetitions(backend):
    """Without rounding: all numbers have few bits."""
    X, y = np.array([[1.0, 2], [0, -1], [3, 1], [-2, 0]]), np.array([[3.0], [-1], [2], [0]])
    weights = [1, 0, 2, 5]
    net = Network([Dense(2, 1)], backend, "float64", seed=0, loss="mean_squared_error")
    weighted = Objective(net, X, y, sample_weight=weights, l2=1, l2_added_to="sum")
    repeated = Objective(net, X.repeat(weights, axis=0), y.repeat(weights, axis=0), l2=0.125)
    vector = np.array([1.0, -2, 0.5])
    error = X @ vector[:2] + vector[2] - y[:, 0]
    expected = np.append((error * weights) @ X, error @ weights) / 4 + [0.125, -0.25, 0]
    for objective in (weighted, repeated):
        loss, gradient = objective(vector)
        assert loss == error**2 @ weights / 8 + 5 / 16
        assert (gradient == expected).all()


@each_backend
@each_dtype
@pytest.mark.parametrize(
    ("convert", "input_format"),
    [
        (lambda X: X, "sparse"),
        (sparse.csr_array, "auto"),
        (sparse.csc_matrix, "auto"),
        (sparse.coo_array, "dense"),
        (np.asfortranarray, "auto"),
        (lambda X: X.tolist(), "dense"),
        (lambda X: X.astype(np.int16), "auto"),
    ],
)
def test_samples_of_other_forms_give_the_same(backend, dtype, convert, input_format):
    X, y = sparse_samples(40, 4, 3, dtype)
    net = small_network(backend, dtype)
    expected_loss, expected = Objective(net, X, y, input_format="dense")(joined(net.parameters.values()))
    given = convert(X)
    kept = copy.deepcopy(given)
    objective = Objective(net, given, y, input_format=input_format)
    for _ in range(2):
        loss, gradient = objective(objective.vector)
        assert loss == pytest.approx(expected_loss, rel=ROUNDING[dtype])
        assert_close(gradient, expected, ROUNDING[dtype])
    assert (abs(given - kept).sum() if sparse.issparse(given) else np.abs(np.subtract(given, kept)).sum()) == 0


@each_backend
@pytest.mark.parametrize(("input_format", "kernel"), [("dense", "dense_forward"), ("sparse", "sparse_forward")])
def test_zeros_are_multiplied_as_asked_for(backend, input_format, kernel):
    net, (X, y) = large_network(backend), sparse_samples(40, 4, 3, "float64")
    kernels = noted_kernels(net)
    objective = Objective(net, X, y, input_format=input_format)
    objective(objective.vector)
    assert kernels.called & {"dense_forward", "sparse_forward"} == {kernel}


@each_backend
@pytest.mark.parametrize("input_format", ["dense", "sparse"])
def test_bytes_are_scaled(backend, input_format):
    X, y = sparse_samples(40, 4, 3, "uint8")
    net = small_network(backend, input_scale=0.125)
    loss, gradient = Objective(net, X, y, input_format=input_format)(joined(net.parameters.values()))
    expected_loss, expected = Objective(net, X / 8, y)(joined(net.parameters.values()))
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_close(gradient, expected, 1e-12)


@each_backend
def test_dropout_drops_nothing(backend):
    X, y = samples(20)
    net = Network([Dense(4, 6, "relu"), Dropout(0.5), Dense(6, 3)], backend, "float64", seed=1)
    state, objective = net.rng.bit_generator.state, Objective(net, X, y)
    results = [objective(objective.vector) for _ in range(2)]
    assert results[0][0] == results[1][0] == pytest.approx(net.evaluate(X, y)[0], rel=1e-12)
    assert (results[0][1] == results[1][1]).all()
    assert net.rng.bit_generator.state == state


@each_backend
def test_the_vector_and_the_gradient_are_copies(backend):
    net, (X, y) = small_network(backend), samples(20)
    objective = Objective(net, X, y)
    vector, before = objective.vector, bytes_of(net)
    assert (vector == joined(net.parameters.values())).all()
    vector += 1
    assert bytes_of(net) == before
    given = objective.vector
    _, gradient = objective(given)
    kept = gradient.copy()
    gradient[...] = 7
    net.layers[0].weights[...] = 3
    assert (given[:20] != 3).all()
    _, again = objective(given)
    assert (again == kept).all()
    assert (gradient == 7).all()


@each_backend
@pytest.mark.parametrize("names", [["1.weights", "0.bias", "0.weights"], ["0.bias"], ("1.weights", "0.weights")])
def test_chosen_parameters_are_in_the_given_order(backend, names):
    net, (X, y) = small_network(backend), samples(20)
    whole, chosen = Objective(net, X, y, l2=0.5), Objective(net, X, y, l2=0.5, parameters=names)
    start = {name: array.copy() for name, array in net.parameters.items()}
    assert (chosen.vector == joined([start[name] for name in names])).all()
    vector = other_vector(chosen)
    loss, gradient = chosen(vector)
    assert (joined([net.parameters[name] for name in names]) == vector).all()
    for name in set(NAMES) - set(names):
        assert (net.parameters[name] == start[name]).all()
    expected_loss, expected = whole(whole.vector)
    ends = np.cumsum([start[name].size for name in NAMES])
    parts = dict(zip(NAMES, np.split(expected, ends[:-1]), strict=True))
    assert loss == expected_loss
    assert (gradient == joined([parts[name] for name in names])).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0.weights", "1.bias"], "unknown parameter '1.bias': did you mean '0.bias'? parameter must be one of 0.w"),
        (["2.weights"], "unknown parameter '2.weights': "),
        ("0.weights", "unknown parameter '0': "),
        ([["0.bias"]], "unknown parameter ['0.bias']: parameter must be one of "),
        ([0], "unknown parameter 0: "),
        (["0.bias", "0.bias"], "must name at least one parameter, each once; got ['0.bias', '0.bias']"),
        ([], "parameters must name at least one parameter, each once; got []"),
    ],
)
def test_wrong_names(names, message):
    net, (X, y) = small_network(), samples(20)
    with pytest.raises(ValueError, match=re.escape(message)):
        Objective(net, X, y, parameters=names)


SHAPE = "the vector of parameters must have shape (40,); got "


@each_backend
@pytest.mark.parametrize(
    ("vector", "error", "message"),
    [
        (np.ones(39), ValueError, SHAPE + "(39,)"),
        (np.ones(41), ValueError, SHAPE + "(41,)"),
        (np.ones((40, 1)), ValueError, SHAPE + "(40, 1)"),
        (np.ones((1, 40)), ValueError, SHAPE + "(1, 40)"),
        (1.0, ValueError, SHAPE + "()"),
        ([], ValueError, SHAPE + "(0,)"),
        (np.ones(40, complex), TypeError, "the vector of parameters must hold real numbers; got complex128"),
        (["1"] * 40, TypeError, "the vector of parameters must hold real numbers; got text"),
        ([1.0] * 39 + [None], TypeError, "the vector of parameters must hold real numbers; got objects"),
        (None, TypeError, "the vector of parameters must hold real numbers; got NoneType"),
    ],
)
def test_wrong_vectors_change_nothing(backend, vector, error, message):
    net = small_network(backend)
    objective = Objective(net, *samples(20))
    before = bytes_of(net)
    with pytest.raises(error) as caught:
        objective(vector)
    assert message in str(caught.value)
    with pytest.raises(error):
        objective.vector = vector
    assert bytes_of(net) == before


@each_backend
def test_vectors_of_any_real_numbers_are_taken(backend):
    net = small_network(backend, "float32")
    objective = Objective(net, *samples(20))
    whole = np.arange(40) % 5 - 2
    expected = objective(whole.astype(np.float64))
    for vector in (whole, whole.tolist(), whole.astype(np.float32), np.repeat(whole, 2)[::2], whole.astype(">i2")):
        loss, gradient = objective(vector)
        assert loss == expected[0]
        assert (gradient == expected[1]).all()


@each_backend
@each_dtype
@pytest.mark.parametrize("number", [1e39, 1e300, np.inf, np.nan])
def test_a_vector_beyond_the_dtype_has_no_finite_loss_and_no_warning(backend, dtype, number):
    objective = Objective(small_network(backend, dtype), *samples(20), l2=1.0)
    start = objective.vector
    expected = objective(start)
    loss, gradient = objective(np.full(40, number))
    assert not np.isfinite(loss) or (dtype, number) == ("float64", 1e39)
    assert gradient.shape == (40,)
    again = objective(start)
    assert again[0] == expected[0]
    assert (again[1] == expected[1]).all()


@each_backend
@each_dtype
@pytest.mark.parametrize("method", ["L-BFGS-B", "CG"])
def test_optimizers_of_scipy_find_a_minimum(backend, dtype, method):
    X, _ = samples(60, dtype=dtype)
    y = (X[:, :2] @ [1.0, -2.0] > 0.3).astype(int)
    net = Network([Dense(4, 5, "tanh"), Dense(5, 2)], backend, dtype, seed=0)
    objective = Objective(net, X, y, l2=0.01)
    start, gradient = objective(objective.vector)
    steepness = np.abs(gradient).max()
    found = minimize(objective, objective.vector, jac=True, method=method, tol=1e-4)
    objective.vector = found.x
    loss, gradient = objective(found.x)
    assert loss == pytest.approx(found.fun, rel=ROUNDING[dtype])
    assert np.abs(gradient).max() < steepness / 50
    assert loss < start / 3
    assert net.evaluate(X, y)[1] > 0.95


@each_backend
def test_a_linear_network_reaches_the_minimum_of_the_normal_equations(backend):
    X, _ = samples(30)
    y = X @ [1.0, -2.0, 0.5, 3.0] + 0.1 * np.sin(np.arange(30))
    net = Network([Dense(4, 1)], backend, "float64", seed=0, loss="mean_squared_error")
    objective = Objective(net, X, y, l2=0.5)
    objective.vector = minimize(objective, objective.vector, jac=True, method="L-BFGS-B", tol=1e-14).x
    A = np.column_stack([X, np.ones(30)])
    expected = np.linalg.solve(2 / 30 * A.T @ A + 0.5 * np.diag([1, 1, 1, 1, 0]), 2 / 30 * A.T @ y)
    assert_close(objective.vector, expected, 1e-6)


@each_backend
def test_checked_samples_are_taken_as_they_are(backend):
    net, (X, y) = small_network(backend), samples(20)
    weights = np.linspace(0, 1, 20)
    checked = net.check_samples(X, y, sample_weight=weights)
    of_checked = Objective.of_checked(net, *checked, Penalty(0.5, 0.25, "sum"), ["1.weights", "0.bias"])
    options = {"l2": 0.5, "l2_bias": 0.25, "l2_added_to": "sum", "parameters": ["1.weights", "0.bias"]}
    expected = Objective(net, X, y, sample_weight=weights, **options)
    assert (of_checked.vector == expected.vector).all()
    results = [each(expected.vector) for each in (of_checked, expected)]
    assert results[0][0] == results[1][0]
    assert (results[0][1] == results[1][1]).all()


BAD_ARGUMENTS = {
    "X must have 4 columns": {"X": np.ones((20, 3))},
    "X must be finite": {"X": np.full((20, 4), np.nan)},
    "y must have": {"y": np.zeros(19, int)},
    "sample_weight must": {"sample_weight": [-1.0] * 20},
    "l2 must be a finite number from 0 up; got -1": {"l2": -1},
    "l2_bias must be a finite number from 0 up; got nan": {"l2_bias": np.nan},
    "l2_added_to must be one of mean, sum; got 'all'": {"l2_added_to": "all"},
    "l2 must be a number that float32 can hold; got 1e-50": {"l2": 1e-50},
    "l2_bias must be a number that float32 can hold; got 1e+50": {"l2_bias": 1e50},
    "input_format must be one of auto, dense, sparse; got 'csr'": {"input_format": "csr"},
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_bad_arguments(message):
    net, (X, y) = small_network(dtype="float32"), samples(20)
    before, gradients = bytes_of(net), [layer.gradient for layer in net.layers]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Objective(net, **{"X": X, "y": y} | BAD_ARGUMENTS[message])
    assert bytes_of(net) == before
    assert all(layer.gradient is gradient for layer, gradient in zip(net.layers, gradients, strict=True))


@pytest.mark.parametrize("network", [None, Dense(4, 3), [Dense(4, 3)], Network])
def test_what_is_no_network(network):
    with pytest.raises(TypeError, match=re.escape(f"network must be a fastfnn.Network; got {network!r}")):
        Objective(network, *samples(20))


@pytest.mark.parametrize("layer", [Tanh(), Dropout(0.5)])
def test_layers_without_parameters_take_no_place(layer):
    X, y = samples(20)
    net = Network([layer, Dense(4, 3)], "numpy", "float64", seed=1)
    objective = Objective(net, X, y)
    assert objective.vector.shape == (15,)
    assert objective(objective.vector)[1].shape == (15,)
