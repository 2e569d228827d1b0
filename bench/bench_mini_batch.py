"""Training in mini-batches: an epoch of plain gradient descent over shuffled images."""

from __future__ import annotations

import functools
from typing import Any

import bare_numpy
import pytest
from contenders import BARE_NUMPY, JAX, NUMBA, NUMPY, TORCH, TORCH_COMPILE, contenders, operations_of
from main_job import Samples, initial_parameters, mnist, step_flop
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TRAINING_TOLERANCE, assert_changed_alike

# Batch size, and the images of an epoch: fewer where each costs more, and only whole batches.
EPOCHS = {5_000: 40_000, 128: 25_600, 32: 12_800, 1: 1_000}

# Small, so that rounding errors do not grow before the first epoch is compared.
LEARNING_RATE = 1e-3
SEED = 1


@contenders(NUMBA, NUMPY, BARE_NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize("batch_size", EPOCHS)
def bench_mini_batch_epoch(measure: Measure, batch_size: int, contender: str) -> None:
    samples = _samples(EPOCHS[batch_size])
    trainer = operations_of(contender).mini_batches(samples, batch_size, LEARNING_RATE, SEED)

    def check(_: Any) -> None:
        expected = _expected(batch_size)
        assert_changed_alike(trainer.current_parameters(), expected, initial_parameters(), TRAINING_TOLERANCE)

    measure(_work(batch_size), contender, trainer.epoch, check)


def _work(batch_size: int) -> Work:
    n_rows = EPOCHS[batch_size]
    case = f"MNIST 784-256-10, batch {batch_size:,}"
    flop, headline = step_flop(n_rows), f"training, batch {batch_size:,}"
    return Work("mini-batch training", case, "float32", flop=flop, samples=n_rows, headline=headline)


@functools.lru_cache(maxsize=1)
def _samples(n_rows: int) -> Samples:
    return mnist().first(n_rows)


@functools.lru_cache(maxsize=1)
def _expected(batch_size: int) -> list[NDArray[Any]]:
    """Return the parameters after the first epoch in float64."""
    samples = _samples(EPOCHS[batch_size])
    trainer = bare_numpy.MiniBatches(samples, batch_size, LEARNING_RATE, SEED, "float64")
    trainer.epoch()
    return trainer.current_parameters()
