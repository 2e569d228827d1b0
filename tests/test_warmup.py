import numpy as np
import pytest
from fastfnn_kernels.jitted._compile.jit import PARALLEL_OPERATIONS, Entries

from fastfnn import SGD, Adam, Dense, Epoch, Network, RMSprop
from fastfnn.app.warmup import warm_up
from fastfnn.execution.thresholds import ROWS_OF_LARGE_BLOCK, SGD_SAMPLES_OF_CALL


def network_and_optimizer():
    network = Network([Dense(100, 32, activation="relu"), Dense(32, 4)], seed=0)
    return network, RMSprop(0.1, granularity="tensor")


@pytest.fixture
def variants(monkeypatch):
    """Which kernels ran, each on one thread or on many."""
    ran = set()

    def spy(entries, dtype):
        ran.add((entries.kernel.function.__qualname__, entries.parallel))
        return dict.__getitem__(entries, dtype)

    monkeypatch.setattr(Entries, "__getitem__", spy, raising=False)
    return ran


@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize("batch_size", [None, 64, 1500])
@pytest.mark.parametrize("n_samples", [50, ROWS_OF_LARGE_BLOCK + 7, 2 * ROWS_OF_LARGE_BLOCK])
@pytest.mark.parametrize("input_format", ["auto", "sparse"])
def test_a_training_runs_no_kernel_that_was_not_warm(variants, rng, n_samples, batch_size, density, input_format):
    X = (rng.random((n_samples, 100)) < density).astype(np.float32)
    y = rng.integers(0, 4, n_samples)
    warm_up(*network_and_optimizer(), X, y, batch_size, 1e-3, input_format)
    warm = set(variants)
    variants.clear()
    network, optimizer = network_and_optimizer()
    watch = [Epoch.evaluate_training_set]
    network.fit(X, y, optimizer, 1, batch_size, l2=1e-3, callbacks=watch, input_format=input_format)
    network.evaluate(X, y, input_format)
    assert variants
    assert variants <= warm


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("batch_size", [1, 48])
@pytest.mark.parametrize("n_samples", [50, SGD_SAMPLES_OF_CALL + 50])
@pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
def test_a_training_in_small_batches_runs_warm(variants, rng, n_samples, batch_size, optimizer, input_format):
    """So many inputs that threads share the work of storing the samples of a call."""
    n_inputs = 2 * PARALLEL_OPERATIONS // SGD_SAMPLES_OF_CALL
    X = ((rng.random((n_samples, n_inputs)) < 0.1) * 200).astype(np.uint8)
    y = rng.integers(0, 4, n_samples)
    networks = [Network([Dense(n_inputs, 8, activation="relu"), Dense(8, 4)], seed=0) for _ in range(2)]
    warm_up(networks[0], optimizer(), X, y, batch_size, 0.0, input_format)
    warm = set(variants)
    variants.clear()
    networks[1].fit(X, y, optimizer(), 1, batch_size, input_format=input_format)
    networks[1].evaluate(X, y, input_format)
    in_one_call = optimizer is SGD and (batch_size == 1 or input_format == "sparse")
    assert ("_train" in {name for name, _ in variants}) == in_one_call
    assert variants <= warm


def test_few_samples_are_enough(monkeypatch, rng):
    seen = []
    monkeypatch.setattr(Network, "fit", lambda self, X, *_, **__: seen.append(len(X)) or self)
    monkeypatch.setattr(Network, "interrupted", False, raising=False)
    X, y = np.ones((10 * ROWS_OF_LARGE_BLOCK + 5, 100), np.uint8), np.zeros(10 * ROWS_OF_LARGE_BLOCK + 5, np.int64)
    warm_up(*network_and_optimizer(), X, y)
    assert seen == [ROWS_OF_LARGE_BLOCK + 5]


def test_an_interruption_is_passed_on(monkeypatch):
    monkeypatch.setattr(Network, "fit", lambda self, *_, **__: self)
    monkeypatch.setattr(Network, "interrupted", True, raising=False)
    with pytest.raises(KeyboardInterrupt):
        warm_up(*network_and_optimizer(), np.zeros((5, 100), np.uint8), np.zeros(5, np.int64))
