"""Row blocks of sparse arrays that are written out: bounded in bytes, and the same training as with large blocks."""

import numpy as np
import pytest
from networks import each_backend, samples, sparse_samples
from scipy import sparse

from fastfnn import SGD, Adam, Dense, Dropout, Network, Tanh
from fastfnn.execution import thresholds
from fastfnn.execution.options import Options
from fastfnn.execution.plan import Steps, plan_evaluation, plan_prediction, plan_training
from fastfnn.execution.thresholds import ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK, WRITTEN_BYTES
from fastfnn.inputs.density import DataProfile

FIRST = {"dropout": lambda n: [Dropout(0.5)], "tanh": lambda n: [Tanh()], "dense": lambda n: []}


def network(first, n_inputs, backend="numba", dtype="float32"):
    return Network([*FIRST[first](n_inputs), Dense(n_inputs, 4), Dense(4, 3)], backend, dtype, seed=1)


def plans(net, is_sparse=True, input_format="auto"):
    data = DataProfile(100_000, 0.001, is_sparse=is_sparse)
    yield plan_training(net, data, Options(input_format=input_format), SGD())
    yield plan_evaluation(net, data, input_format)
    yield plan_prediction(net, data, input_format)


@each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("n_inputs", [10, 3_000, 60_000, 30_000_000])
def test_blocks_that_are_written_out_are_bounded(backend, dtype, first, n_inputs, monkeypatch):
    monkeypatch.setattr(Dense, "draw_parameters", lambda self, dtype, rng: small_arrays(self, dtype))
    net = network(first, n_inputs, backend, dtype)
    row_bytes = n_inputs * net.dtype.itemsize
    for plan in plans(net):
        usual = ROWS_OF_LARGE_BLOCK if backend == "numba" and not plan.is_packed else ROWS_OF_BLOCK
        if plan.is_packed and backend == "numba":
            assert plan.rows_of_block == usual
            continue
        assert 1 <= plan.rows_of_block <= usual
        assert plan.rows_of_block * row_bytes <= max(WRITTEN_BYTES, row_bytes)
        assert plan.rows_of_block == usual or (plan.rows_of_block + 1) * row_bytes > WRITTEN_BYTES
    for plan in plans(net, is_sparse=False):
        assert plan.rows_of_block in (ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK)


def small_arrays(layer, dtype):
    """Give a layer arrays without memory, of the shape that a plan looks at."""
    layer._weights = np.broadcast_to(np.zeros(1, dtype), (layer.n_inputs, layer.n_outputs))
    layer._bias = np.zeros(layer.n_outputs, dtype)


def test_batches_that_are_written_out_leave_the_kernels_of_sgd():
    data = DataProfile(100_000, 0.001, is_sparse=True)
    net = network("dense", 60_000, "numpy")
    rows = next(plans(net)).rows_of_block
    for size, steps in ((rows, Steps.SGD_BATCHES), (rows + 1, Steps.ONE_BY_ONE), (1, Steps.SGD_SAMPLES)):
        plan = plan_training(net, data, Options(batch_size=size), SGD())
        assert plan.steps is steps
    plan = plan_training(net, data, Options(batch_size=rows + 1), SGD())
    assert f"batches have more than {rows:,} rows" in plan.because[2]


@each_backend
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("batch_size", [None, 1_500])
def test_small_blocks_train_as_large_ones(backend, first, batch_size, monkeypatch):
    X, y = sparse_samples(3_000, 4, 3, "float64")
    y = samples(3_000)[1]
    trained = []
    for n_bytes in (WRITTEN_BYTES, 4 * 8 * 700):
        monkeypatch.setattr(thresholds, "WRITTEN_BYTES", n_bytes)
        net = network(first, 4, backend, "float64")
        history = net.fit(
            sparse.csr_array(X), y, Adam(0.01), 3, batch_size, input_format="dense", validation_data=(X, y)
        )
        trained.append((net, history["loss"] + history["validation_loss"]))
    assert trained[0][1] == pytest.approx(trained[1][1], rel=1e-12)
    for name, array in trained[0][0].parameters.items():
        assert trained[1][0].parameters[name] == pytest.approx(array, rel=1e-9)
