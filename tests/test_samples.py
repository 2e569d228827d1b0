import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    ROUNDING,
    assert_close,
    assert_gradients_are,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    samples,
    small_network,
    sparse_samples,
)

import fastfnn
from fastfnn.execution.thresholds import ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK

each_format = pytest.mark.parametrize("input_format", ["dense", "sparse"])
each_input_dtype = pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
BOUNDARIES = [
    1,
    2,
    5,
    ROWS_OF_BLOCK - 1,
    ROWS_OF_BLOCK,
    ROWS_OF_BLOCK + 1,
    2 * ROWS_OF_BLOCK,
    ROWS_OF_LARGE_BLOCK - 1,
    ROWS_OF_LARGE_BLOCK + 1,
]


@each_backend
@each_dtype
@each_input_dtype
@each_format
@pytest.mark.parametrize("n_rows", BOUNDARIES)
def test_loss_and_gradients_are_those_of_the_whole_batch(backend, dtype, input_dtype, input_format, n_rows):
    X, y = sparse_samples(n_rows, 4, 3, input_dtype)
    net = small_network(backend, dtype, input_scale=0.125)
    loss, gradients = net.loss_and_gradients(X, y, 0.1, input_format)
    scaled = X * 0.125 if input_dtype == "uint8" else X
    expected_loss, expected = backpropagated(net, scaled, y, l2=0.1)
    assert loss == pytest.approx(expected_loss, rel=ROUNDING[dtype])
    assert_gradients_are(gradients, expected, ROUNDING[dtype])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    n_rows=st.integers(1, 30),
    n_inputs=st.integers(1, 20),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    backend=st.sampled_from(["numba", "numpy"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_packed_inputs_of_any_shape(n_rows, n_inputs, density, backend, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_inputs)) * (rng.random((n_rows, n_inputs)) < density)
    y = rng.integers(0, 3, n_rows)
    net = fastfnn.Network([fastfnn.Dense(n_inputs, 3, "tanh")], backend, "float64", seed=1)
    packed = net.loss_and_gradients(X, y, input_format="sparse")
    loss, gradients = net.loss_and_gradients(X, y, input_format="dense")
    assert packed[0] == pytest.approx(loss, rel=1e-13)
    assert_gradients_are(packed[1], [(gradient.weights, gradient.bias) for gradient in gradients], 1e-12)


@each_backend
@each_dtype
@each_input_dtype
@pytest.mark.parametrize("batch_size", [None, 1, 7, ROWS_OF_LARGE_BLOCK + 50])
def test_training_on_packed_inputs_follows_the_dense_one(backend, dtype, input_dtype, batch_size):
    n_rows = ROWS_OF_LARGE_BLOCK + 100 if batch_size in (None, ROWS_OF_LARGE_BLOCK + 50) else 30
    X, y = sparse_samples(n_rows, 4, 3, input_dtype)
    packed, dense = small_network(backend, dtype), small_network(backend, dtype)
    packed.fit(X, y, fastfnn.SGD(0.05), epochs=4, batch_size=batch_size, input_format="sparse")
    dense.fit(X, y, fastfnn.SGD(0.05), epochs=4, batch_size=batch_size, input_format="dense")
    for name, array in packed.parameters.items():
        assert_close(array, dense.parameters[name], 10 * ROUNDING[dtype])


@each_backend
def test_sparse_inputs_of_a_network_that_starts_with_an_activation(backend):
    X, y = sparse_samples(30, 4, 3, "float64")
    net = fastfnn.Network([fastfnn.Sigmoid(), fastfnn.Dense(4, 3)], backend, "float64", seed=1)
    before = net.loss_and_gradients(X, y, input_format="sparse")[0]
    history = net.fit(X, y, fastfnn.SGD(0.1), epochs=2, input_format="sparse")
    assert history["loss"][0] == pytest.approx(before, rel=1e-13)
    assert history["loss"][1] < before


@each_backend
@each_dtype
@pytest.mark.parametrize("n_rows", [3, ROWS_OF_LARGE_BLOCK + 1])
def test_bytes_are_scaled_as_by_hand(backend, dtype, n_rows):
    X = np.random.default_rng(2).integers(0, 256, (n_rows, 4), np.uint8)
    y = samples(n_rows)[1]
    net, plain = small_network(backend, dtype, input_scale=1 / 255), small_network(backend, dtype)
    by_hand = X.astype(dtype) * np.dtype(dtype).type(1 / 255)
    assert np.array_equal(net.predict_proba(X), plain.predict_proba(by_hand))
    assert np.array_equal(net.predict(X), plain.predict(by_hand))
    assert net.evaluate(X, y) == plain.evaluate(by_hand, y)
    net.fit(X, y, fastfnn.SGD(0.1), epochs=2)
    plain.fit(by_hand, y, fastfnn.SGD(0.1), epochs=2)
    assert bytes_of(net) == bytes_of(plain)


@each_backend
def test_float_inputs_are_not_scaled(backend):
    X, _ = samples(5)
    assert np.array_equal(
        small_network(backend, input_scale=0.5).predict_proba(X), small_network(backend).predict_proba(X)
    )


@each_backend
@pytest.mark.parametrize(("dtype", "input_dtype"), [("float32", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_inputs_of_another_precision_are_converted(backend, dtype, input_dtype, density):
    X, y = samples(20, dtype=input_dtype)
    X *= np.random.default_rng(1).random(X.shape) < density
    net, same = small_network(backend, dtype), small_network(backend, dtype)
    net.fit(X, y, fastfnn.SGD(0.1), epochs=2)
    same.fit(X.astype(dtype), y, fastfnn.SGD(0.1), epochs=2)
    assert bytes_of(net) == bytes_of(same)
    assert np.array_equal(net.predict_proba(X), net.predict_proba(X.astype(dtype)))


LAYOUTS = {
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "Fortran order": np.asfortranarray,
    "rows backwards": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
}


@each_backend
@each_dtype
@each_input_dtype
@each_format
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_the_layout_of_the_inputs_does_not_matter(backend, dtype, input_dtype, input_format, layout, batch_size):
    rows_of_block = ROWS_OF_LARGE_BLOCK if backend == "numba" else ROWS_OF_BLOCK
    n_rows = rows_of_block + 3 if batch_size is None else 20
    X = np.random.default_rng(3).integers(0, 9, (n_rows, 4)).astype(input_dtype)
    y = samples(n_rows)[1]
    X_too = LAYOUTS[layout](X)
    assert not X_too.flags.c_contiguous
    net, other = small_network(backend, dtype), small_network(backend, dtype)
    net.fit(X, y, fastfnn.SGD(0.01), batch_size=batch_size, input_format=input_format)
    other.fit(X_too, y, fastfnn.SGD(0.01), batch_size=batch_size, input_format=input_format)
    assert bytes_of(net) == bytes_of(other)
    assert np.array_equal(net.predict_proba(X, input_format), net.predict_proba(X_too, input_format))
    assert net.evaluate(X, y, input_format) == net.evaluate(X_too, y, input_format)


@each_backend
@each_dtype
@each_input_dtype
@each_format
@pytest.mark.parametrize("batch_size", [None, 7])
def test_read_only_samples_are_taken_and_left_as_they_are(backend, dtype, input_dtype, input_format, batch_size):
    X, y = sparse_samples(20, 4, 3, input_dtype)
    X_before, y_before = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    net = small_network(backend, dtype)
    net.fit(X, y, fastfnn.SGD(0.1), 2, batch_size, l2=0.1, validation_data=(X, y), input_format=input_format)
    net.predict(X, input_format)
    net.predict_proba(X, input_format)
    net.evaluate(X, y, input_format)
    net.loss_and_gradients(X, y, input_format=input_format)
    assert np.array_equal(X, X_before)
    assert np.array_equal(y, y_before)


@each_backend
@each_input_dtype
@each_format
@pytest.mark.parametrize("batch_size", [None, 500])
def test_a_memmap_trains_as_the_same_array_in_memory(backend, input_dtype, input_format, batch_size, tmp_path):
    """To the last bit, except where packed blocks are kept for the array, whose rows are put in another order."""
    X, y = sparse_samples(ROWS_OF_LARGE_BLOCK + 100, 4, 3, input_dtype)
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", input_dtype, "r", shape=X.shape)
    net, other = small_network(backend), small_network(backend)
    net.fit(mapped, y, fastfnn.SGD(0.05), epochs=2, batch_size=batch_size, input_format=input_format)
    other.fit(X, y, fastfnn.SGD(0.05), epochs=2, batch_size=batch_size, input_format=input_format)
    if input_format == "sparse" and batch_size is None:
        for name, array in net.parameters.items():
            assert_close(array, other.parameters[name], 1e-11)
    else:
        assert bytes_of(net) == bytes_of(other)
    assert np.array_equal(net.predict_proba(mapped, input_format), net.predict_proba(X, input_format))


@each_dtype
@pytest.mark.parametrize("input_format", ["dense", "sparse"])
def test_a_prediction_is_the_same_wherever_its_row_stands(dtype, input_format):
    X, _ = sparse_samples(ROWS_OF_LARGE_BLOCK + 3, 4, 3, dtype)
    net = small_network("numba", dtype)
    together = net.predict_proba(X, input_format)
    for rows in (
        slice(0, 1),
        slice(1, 4),
        slice(5, ROWS_OF_BLOCK + 3),
        slice(ROWS_OF_LARGE_BLOCK - 1, ROWS_OF_LARGE_BLOCK + 2),
    ):
        assert np.array_equal(net.predict_proba(X[rows], input_format), together[rows])


@pytest.mark.parametrize("label_dtype", ["uint8", "int8", "int32", "uint64", ">i4"])
def test_labels_of_any_integer_type(label_dtype):
    X, y = samples(20)
    net = small_network()
    assert net.evaluate(X, y.astype(label_dtype)) == net.evaluate(X, y)


def test_labels_with_strides():
    X, y = samples(20)
    net = small_network()
    assert net.evaluate(X, np.repeat(y, 3)[::3]) == net.evaluate(X, y)
