"""Sparse arrays and matrices of SciPy as inputs."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from fastfnn_kernels.reference import pack_rows
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    ROUNDING,
    assert_close,
    assert_gradients_are,
    bytes_of,
    each_backend,
    each_dtype,
    small_network,
    sparse_samples,
)
from scipy import sparse

import fastfnn
from fastfnn.execution import thresholds
from fastfnn.execution.plan import plan_evaluation
from fastfnn.execution.preparation import prepare
from fastfnn.execution.thresholds import ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK
from fastfnn.inputs.csr import as_csr, pack_entries, take_rows
from fastfnn.inputs.density import profile

each_input_dtype = pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
each_input_format = pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]


def holding(X, indices="int32"):
    csr = sparse.csr_array(X)
    csr.indices, csr.indptr = csr.indices.astype(indices), csr.indptr.astype(indices)
    return csr


def unsorted(X):
    """Store each row's entries backwards."""
    csr = sparse.csr_array(X)
    for first, end in zip(csr.indptr[:-1], csr.indptr[1:], strict=True):
        csr.indices[first:end] = csr.indices[first:end][::-1].copy()
        csr.data[first:end] = csr.data[first:end][::-1].copy()
    return sparse.csr_array((csr.data, csr.indices, csr.indptr), X.shape)


def duplicated(X):
    """Store every number n as n - 1 and 1, in two places of the arrays."""
    coo = sparse.coo_array(X)
    order = np.argsort(np.tile(coo.row, 2), kind="stable")
    data = np.concatenate([coo.data - 1, np.ones_like(coo.data)])[order]
    lengths = 2 * np.bincount(coo.row, minlength=len(X))
    return sparse.csr_array((data, np.tile(coo.col, 2)[order], np.append(0, np.cumsum(lengths))), X.shape)


def with_spare_memory(X):
    """Let the arrays of indices and values be longer than they need."""
    csr = sparse.csr_array(X)
    csr.indices, csr.data = np.append(csr.indices, [99, 99]).astype(np.int32), np.append(csr.data, csr.data[:2])
    return csr


LAYOUTS = {
    "int32": holding,
    "int64": lambda X: holding(X, "int64"),
    "unsorted": unsorted,
    "duplicates": duplicated,
    "explicit zeros": lambda X: sparse.csr_array(
        (X.ravel(), np.tile(np.arange(X.shape[1]), len(X)), np.arange(0, X.size + 1, X.shape[1])), X.shape
    ),
    "spare memory": with_spare_memory,
} | {
    f"{name} {kind}": lambda X, name=name, kind=kind: getattr(sparse, f"{name}_{kind}")(X)
    for name in FORMATS
    for kind in ("array", "matrix")
}
LAYOUTS["read-only"] = lambda X: sparse.csr_array(
    (read_only(holding(X).data), read_only(holding(X).indices), read_only(holding(X).indptr)), X.shape
)


def read_only(array):
    array.flags.writeable = False
    return array


def samples(n_rows, dtype="float64", seed=8):
    """Return sparse samples, the second without any number, and their labels."""
    X, y = sparse_samples(n_rows, 4, 3, dtype, seed)
    X[1:2] = 0
    return X, y


@each_backend
@each_dtype
@each_input_dtype
@each_input_format
@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, ROWS_OF_BLOCK + 3])
def test_every_method_takes_them_as_the_dense_array(backend, dtype, input_dtype, input_format, n_rows):
    X, y = samples(n_rows, input_dtype)
    csr, rounding = sparse.csr_array(X), ROUNDING[dtype]
    net, expected = (small_network(backend, dtype, input_scale=0.125) for _ in range(2))
    assert_close(net.predict_proba(csr, input_format), expected.predict_proba(X, "dense"), rounding)
    assert np.array_equal(net.predict(csr, input_format), expected.predict(X, "dense"))
    assert net.evaluate(csr, y, input_format) == pytest.approx(expected.evaluate(X, y, "dense"), rel=rounding)
    loss, gradients = net.loss_and_gradients(csr, y, 0.1, input_format)
    expected_loss, expected_gradients = expected.loss_and_gradients(X, y, 0.1, "dense")
    assert loss == pytest.approx(expected_loss, rel=rounding)
    assert_gradients_are(gradients, [(each.weights, each.bias) for each in expected_gradients], rounding)


@each_backend
@each_input_dtype
@each_input_format
@pytest.mark.parametrize("batch_size", [None, 1, 7, ROWS_OF_LARGE_BLOCK + 50])
def test_trainings_follow_the_dense_array(monkeypatch, backend, input_dtype, input_format, batch_size):
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", 20)
    X, y = samples(30 if batch_size in (1, 7) else ROWS_OF_LARGE_BLOCK + 100, input_dtype)
    net, expected = small_network(backend), small_network(backend)
    options = {"epochs": 3, "batch_size": batch_size, "l2": 0.01}
    history = net.fit(sparse.csr_array(X), y, fastfnn.SGD(0.05), **options, input_format=input_format)
    expected_history = expected.fit(X, y, fastfnn.SGD(0.05), **options, input_format="dense")
    assert history["loss"] == pytest.approx(expected_history["loss"], rel=1e-11)
    for name, array in net.parameters.items():
        assert_close(array, expected.parameters[name], 1e-11)


@each_input_dtype
@pytest.mark.parametrize("input_format", ["dense", "sparse"])
@pytest.mark.parametrize("batch_size", [7, ROWS_OF_LARGE_BLOCK + 50])
def test_within_a_format_they_train_to_the_bits_of_the_array(input_dtype, input_format, batch_size):
    X, y = samples(30 if batch_size == 7 else ROWS_OF_LARGE_BLOCK + 100, input_dtype)
    net, other = (small_network("numba", "float32", input_scale=1 / 255) for _ in range(2))
    net.fit(sparse.csr_array(X), y, fastfnn.Adam(0.05), 2, batch_size, input_format=input_format)
    other.fit(X, y, fastfnn.Adam(0.05), 2, batch_size, input_format=input_format)
    assert bytes_of(net) == bytes_of(other)


@each_backend
@each_input_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch_size", [None, 5])
def test_every_format_of_scipy_is_taken_and_left_as_it_was(backend, input_dtype, layout, batch_size):
    X, y = samples(20, input_dtype)
    net, expected = small_network(backend), small_network(backend)
    held = LAYOUTS[layout](X)
    before = copy.deepcopy(held)
    net.fit(held, y, fastfnn.SGD(0.1), 2, batch_size, validation_data=(held, y))
    net.predict(held)
    expected.fit(X, y, fastfnn.SGD(0.1), 2, batch_size, input_format="sparse")
    assert bytes_of(net) == bytes_of(expected)
    assert (type(held), held.dtype, held.shape) == (type(before), before.dtype, before.shape)
    assert np.array_equal(held.toarray(), X)
    for name in ("data", "indices", "indptr", "row", "col"):
        if isinstance(getattr(held, name, None), np.ndarray):
            assert np.array_equal(getattr(held, name), getattr(before, name))


@each_backend
@each_input_format
@pytest.mark.parametrize("batch_size", [None, 2])
def test_samples_without_any_number(backend, input_format, batch_size):
    csr, y = sparse.csr_array((5, 4), dtype=np.float32), np.array([0, 1, 2, 0, 1])
    net, expected = small_network(backend), small_network(backend)
    net.fit(csr, y, fastfnn.SGD(0.1), 2, batch_size, input_format=input_format)
    expected.fit(np.zeros((5, 4)), y, fastfnn.SGD(0.1), 2, batch_size, input_format="dense")
    for name, array in net.parameters.items():
        assert_close(array, expected.parameters[name], 1e-12)
    assert net.predict(sparse.csr_array((0, 4)), input_format).shape == (0,)


@each_backend
@pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
def test_validation_data_may_be_of_another_format(backend, input_format):
    X, y = samples(30)
    mixed, plain = small_network(backend), small_network(backend)
    expected = plain.fit(X, y, fastfnn.SGD(0.1), epochs=3, validation_data=(X, y), input_format="dense")
    pairs = (X, sparse.csc_array(X)), (sparse.coo_matrix(X), X)
    for seen, held_out in pairs:
        mixed = small_network(backend)
        history = mixed.fit(
            seen, y, fastfnn.SGD(0.1), epochs=3, validation_data=(held_out, y), input_format=input_format
        )
        assert history["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-12)


@pytest.mark.parametrize("batch_size", [None, 500])
def test_what_does_not_fit_in_memory_is_packed_as_it_is_needed(monkeypatch, batch_size):
    X, y = samples(ROWS_OF_LARGE_BLOCK + 100)
    kept, streamed = small_network("numba"), small_network("numba")
    kept.fit(sparse.csr_array(X), y, fastfnn.SGD(0.05), 3, batch_size)
    monkeypatch.setattr(thresholds, "KEPT_BYTES", 0)
    streamed.fit(sparse.csr_array(X), y, fastfnn.SGD(0.05), 3, batch_size)
    assert bytes_of(kept) == bytes_of(streamed)


@each_backend
def test_a_network_that_starts_with_an_activation(backend):
    X, y = samples(30)
    nets = [fastfnn.Network([fastfnn.Tanh(), fastfnn.Dense(4, 3)], backend, "float64", seed=1) for _ in range(2)]
    nets[0].fit(sparse.csr_array(X), y, fastfnn.SGD(0.1), epochs=2, batch_size=7)
    nets[1].fit(X, y, fastfnn.SGD(0.1), epochs=2, batch_size=7)
    assert bytes_of(nets[0]) == bytes_of(nets[1])


def test_many_columns_are_not_written_out():
    rng = np.random.default_rng(1)
    columns = rng.integers(0, 100_000, (30, 5))
    csr = as_csr(sparse.csr_array((np.ones(150), columns.ravel(), np.arange(0, 151, 5)), (30, 100_000)), "X")
    net = fastfnn.Network([fastfnn.Dense(100_000, 2)])
    plan = plan_evaluation(net, profile(csr, net.dtype))
    assert prepare(net, csr, plan).block(0, 30).nbytes < 10_000


@given(
    n_rows=st.integers(0, 20),
    n_columns=st.sampled_from([1, 3, 4, 5, 40]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_packing_gives_what_the_dense_array_gives(n_rows, n_columns, density, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < density)
    csr = as_csr(sparse.csr_array(X), "X")
    some = rng.permutation(n_rows)[: n_rows // 2 + 1]
    first = int(rng.integers(0, n_rows + 1))
    for rows in (slice(0, n_rows), slice(first, n_rows), some):
        packed, expected = pack_entries(take_rows(csr, rows)), pack_rows(X[rows], np.float64)
        assert packed.shape == expected.shape
        for array, other in zip(packed[:4], expected[:4], strict=True):
            assert array.dtype == other.dtype
            assert np.array_equal(array, other)


def test_packing_more_columns_than_16_bits_can_name():
    csr = sparse.csr_array((np.arange(1.0, 5), [70_000, 3, 65_539, 3], [0, 1, 3, 4]), (3, 300_000))
    packed = pack_entries(take_rows(as_csr(csr, "X"), slice(0, 3)))
    assert packed.indices.tolist() == [3, 65_539, 70_000]
    assert packed.values.tolist() == [[0, 2, 4], [0, 3, 0], [1, 0, 0]]


GOOD_X, GOOD_Y = samples(6)


def with_value(value):
    X = GOOD_X.copy()
    X[4, 2] = value
    return sparse.csc_array(X)


def damaged(**arrays):
    csr = sparse.csr_array(np.eye(6, 4))
    for name, array in arrays.items():
        setattr(csr, name, np.array(array, np.int32))
    return csr


BAD_X = {
    "one dimension": (
        sparse.coo_array(GOOD_X[0]),
        ValueError,
        r"X must have shape \(n_samples, n_inputs\); got \(4,\)",
    ),
    "too few columns": (sparse.csr_array(GOOD_X[:, :3]), ValueError, "X must have 4 columns, the network's inputs"),
    "complex": (sparse.csr_array(GOOD_X + 0j), TypeError, "X must hold real numbers; got complex128: pass real and"),
    "a column too far": (damaged(indices=[0, 1, 4, 3]), ValueError, "X.indices must lie from 0 .*; got 0 to 4"),
    "a column before": (
        damaged(indices=[0, -1, 2, 3]),
        ValueError,
        "X.indices must lie from 0 .*; got -1 to 3",
    ),
    "falling": (damaged(indptr=[0, 2, 1, 3, 4, 4, 4]), ValueError, "X.indptr must rise from 0 to at most 4"),
    "too many": (damaged(indptr=[0, 1, 2, 3, 4, 4, 5]), ValueError, "X.indptr must rise from 0 to at most 4"),
    "not from 0": (damaged(indptr=[1, 1, 2, 3, 4, 4, 4]), ValueError, "X.indptr must rise from 0 .* in 6 steps"),
    "too few rows": (damaged(indptr=[0, 1, 2, 3, 4]), ValueError, "X.indptr must rise from 0 .* in 6 steps"),
}
BAD_SAMPLES = {
    "NaN": (with_value(np.nan), GOOD_Y, ValueError, "X must be finite; got nan in row 4, column 2: clean the data"),
    "inf": (with_value(-np.inf), GOOD_Y, ValueError, "X must be finite; got -inf in row 4, column 2: clean the data"),
    "no rows": (sparse.csr_array((0, 4)), GOOD_Y[:0], ValueError, "X has no rows: there is nothing to learn from"),
    "labels": (sparse.csr_array(GOOD_X), GOOD_Y[:5], ValueError, r"y must have shape \(6,\), one label a sample"),
}
PAIRS = {f"X: {name}": (X, GOOD_Y, *rest) for name, (X, *rest) in BAD_X.items()} | BAD_SAMPLES


@each_backend
@pytest.mark.parametrize("name", PAIRS)
def test_bad_samples_are_refused_before_anything_changes(backend, name):
    X, y, error, message = PAIRS[name]
    net = small_network(backend)
    before = bytes_of(net)
    calls = [
        lambda: net.fit(X, y, fastfnn.SGD(0.1)),
        lambda: net.fit(GOOD_X, GOOD_Y, fastfnn.SGD(0.1), validation_data=(X, y)),
        lambda: net.evaluate(X, y),
        lambda: net.loss_and_gradients(X, y),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()
    assert bytes_of(net) == before


@each_backend
@pytest.mark.parametrize("name", BAD_X)
def test_predictions_refuse_bad_samples(backend, name):
    X, error, message = BAD_X[name]
    for predict in (small_network(backend).predict, small_network(backend).predict_proba):
        with pytest.raises(error, match=message):
            predict(X)


def test_values_beyond_the_range_of_the_network_are_refused():
    with pytest.raises(ValueError, match="1e\\+300 in row 4, column 2, which float32 cannot hold"):
        small_network("numpy", "float32").fit(with_value(1e300), GOOD_Y, fastfnn.SGD(0.1))


def test_scipy_is_not_imported():
    script = "import sys, fastfnn; assert not [name for name in sys.modules if name.split('.')[0] == 'scipy']"
    subprocess.run([sys.executable, "-c", script], check=True)
