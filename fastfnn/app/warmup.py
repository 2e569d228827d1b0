"""Warm-up: kernels are compiled before training time is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.backends import compiled_beside
from fastfnn.execution.fused_batches import batches_of_call
from fastfnn.execution.fused_sgd import samples_of_call
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan, Steps, plan_training, possible_formats
from fastfnn.execution.thresholds import ROWS_OF_BLOCK
from fastfnn.inputs.density import profile
from fastfnn.layers import Dense
from fastfnn.network import Network
from fastfnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop

# Shapes of the usual work, like those of MNIST.
N_INPUTS, N_HIDDEN, N_OUTPUTS = 784, 256, 10
NON_ZEROS = 0.19
BATCH_ROWS = 128

# Units of each layer of a network that one thread trains, such as those for tables.
FEW_UNITS = 16


def warm_up(
    network: Network,
    optimizer: Optimizer,
    X: NDArray[Any],
    y: NDArray[Any],
    batch_size: int | None = None,
    l2: float = 0.0,
    input_format: str = "auto",
) -> None:
    """Run every kernel that a training run will need, so that it is compiled or loaded from the cache.

    Parameters
    ----------
    network, optimizer
        Network and optimizer like those of the training run. They are changed, so discard them afterwards.
    X, y, batch_size, l2, input_format
        Arguments of the training run, X an array. Just enough samples are used for all sizes of batches and row
        blocks that occur in it: the size decides whether a kernel's serial or parallel variant runs.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed.
    """
    with compiled_beside(network.dtype):
        data = profile(X, network.dtype, is_repeated=True, in_order=True)
        for used in possible_formats(network, data, input_format):
            for size in (batch_size, None) if batch_size else (None,):
                options = Options(batch_size=size, l2=l2, input_format=used)
                plan = plan_training(network, data, options, optimizer)
                n_rows = _enough_rows(len(X), _rows_of_call(network, size, plan))
                fitted = network.fit(X[:n_rows], y[:n_rows], optimizer, batch_size=size, l2=l2, input_format=used)
                if fitted.interrupted:
                    raise KeyboardInterrupt
                network.evaluate(X[:n_rows], y[:n_rows], used)


def _rows_of_call(network: Network, batch_size: int | None, plan: ExecutionPlan) -> int:
    """Return the rows of a kernel call, or those of a block of a full batch."""
    if batch_size is None:
        return plan.rows_of_block
    if plan.steps is Steps.BATCHES:
        return batches_of_call(network, batch_size, plan) * batch_size
    return samples_of_call(batch_size)


def _enough_rows(n_samples: int, step: int) -> int:
    """Return the rows of one whole step and of the last, smaller one; at most `n_samples`."""
    return min(n_samples, step + (n_samples % step or step))


def usual_work(dtype: str) -> dict[str, Callable[[], object]]:
    """Return the usual work with a network of two layers, by name: running it prepares its kernels.

    Parameters
    ----------
    dtype : str
        dtype of the network.
    """
    rng = np.random.default_rng(0)
    dense = rng.random((2 * ROWS_OF_BLOCK, N_INPUTS), dtype=np.float32).astype(dtype)
    sparse = np.where(dense < NON_ZEROS, dense, 0)
    y = rng.integers(0, N_OUTPUTS, len(dense))

    def train(X: NDArray[Any], optimizer: Optimizer, n_rows: int = len(dense), batch_size: int | None = None) -> None:
        _network(dtype).fit(X[:n_rows], y[:n_rows], optimizer, batch_size=batch_size, l2=0.0)

    def train_small() -> None:
        few = dense[: 2 * BATCH_ROWS, :FEW_UNITS]
        _network(dtype, FEW_UNITS, FEW_UNITS).fit(few, y[: len(few)], Adam(), batch_size=BATCH_ROWS)

    def step_all() -> None:
        for optimizer in (SGD(), SGD(momentum=0.9), RMSprop(), RMSprop(granularity="tensor"), Adam(), AdamW()):
            train(dense, optimizer, BATCH_ROWS)

    def predict() -> None:
        network = _network(dtype)
        for X in (dense, sparse):
            for n_rows in (1, 32, len(X)):
                network.predict_proba(X[:n_rows])

    return {
        "training on mostly-zero data": lambda: train(sparse, SGD()),
        "training on dense data": lambda: train(dense, SGD()),
        "optimizers": step_all,
        "mini-batches": lambda: train(dense, SGD(), 2 * BATCH_ROWS, BATCH_ROWS),
        "mini-batches of mostly-zero data": lambda: train(sparse, Adam(), 2 * BATCH_ROWS, BATCH_ROWS),
        "mini-batches of mostly-zero data with plain SGD": lambda: train(sparse, SGD(), 3 * BATCH_ROWS, BATCH_ROWS),
        "mini-batches of a small network": train_small,
        "single samples": lambda: train(sparse, SGD(), 2 * BATCH_ROWS, 1),
        "predictions": predict,
    }


def _network(dtype: str, n_inputs: int = N_INPUTS, n_hidden: int = N_HIDDEN) -> Network:
    layers = [Dense(n_inputs, n_hidden, activation="relu"), Dense(n_hidden, N_OUTPUTS)]
    return Network(layers, "numba", dtype, seed=0)
