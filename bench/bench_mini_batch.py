"""Training in mini-batches: epochs of plain gradient descent over images, and of Adam over images and a table."""

from __future__ import annotations

import functools
from typing import Any

import bare_numpy
import pytest
from adam_job import AdamJob, adam_job
from contenders import (
    BARE_NUMPY,
    JAX,
    NUMBA,
    NUMPY,
    SCIKIT_LEARN,
    TORCH,
    TORCH_COMPILE,
    contenders,
    operations_of,
)
from entries import MEMORY
from main_job import Samples, initial_parameters, mnist, step_flop
from measurement import Measure, Work
from memory_rise import memory_rise
from numpy.typing import NDArray
from verification import LOSS_TOLERANCES, TRAINING_TOLERANCE, assert_changed_alike, assert_close

# Batch size, and the images of an epoch: fewer where each costs more, and only whole batches.
EPOCHS = {5_000: 40_000, 128: 25_600, 32: 12_800, 1: 1_000}

# Small, so that rounding errors do not grow before the first epoch is compared.
LEARNING_RATE = 1e-3
SEED = 1

ADAM_CONTENDERS = (NUMBA, TORCH, TORCH_COMPILE, JAX, SCIKIT_LEARN)

# It adds epsilon to the root of the mean square before that is corrected, so that its losses are a little different.
OTHER_EPSILON = (SCIKIT_LEARN,)


@contenders(NUMBA, NUMPY, BARE_NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize("batch_size", EPOCHS)
def bench_mini_batch_epoch(measure: Measure, batch_size: int, contender: str) -> None:
    samples = _samples(EPOCHS[batch_size])
    trainer = operations_of(contender).mini_batches(samples, batch_size, LEARNING_RATE, SEED)

    def check(_: Any) -> None:
        expected = _expected(batch_size)
        assert_changed_alike(trainer.current_parameters(), expected, initial_parameters(), TRAINING_TOLERANCE)

    measure(_work(batch_size), contender, trainer.epoch, check)


@pytest.mark.turns
@contenders(*ADAM_CONTENDERS)
@pytest.mark.parametrize("batch_size", [32, 128, 200, 512])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", ["mnist", "table"])
def bench_mini_batch_adam(measure: Measure, data: str, dtype: str, batch_size: int, contender: str) -> None:
    job = _adam_job(data, dtype, batch_size)
    trainer = _adam_trainer(contender, job)

    tolerance = TRAINING_TOLERANCE if contender in OTHER_EPSILON else LOSS_TOLERANCES[dtype]

    def check(loss: float) -> None:
        assert_close(loss, _expected_loss(data, batch_size), tolerance)

    case = _adam_case(job)
    headline = f"an epoch with Adam, {case}"
    work = Work("training with Adam", case, dtype, flop=job.flop, samples=job.n_samples, headline=headline)
    measure(work, contender, trainer.epoch, check)


@pytest.mark.once
@contenders(*ADAM_CONTENDERS)
def bench_mini_batch_adam_memory(measure: Measure, contender: str) -> None:
    operations_of(contender)
    data, dtype, batch_size = "mnist", "float32", 200
    taken: list[int] = []
    case = _adam_case(_adam_job(data, dtype, batch_size))
    work = Work(MEMORY, case, dtype, headline=f"memory of a training with Adam, {case}")
    measure.typical(work, contender, lambda: taken.append(memory_rise(contender, data, dtype, batch_size)), 1)
    measure.note(memory_bytes=taken[-1])


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


@functools.lru_cache(maxsize=1)
def _adam_job(data: str, dtype: str, batch_size: int) -> AdamJob:
    return adam_job(data, dtype, batch_size)


@functools.lru_cache(maxsize=len(ADAM_CONTENDERS))
def _adam_trainer(contender: str, job: AdamJob) -> Any:
    """Return the training that a contender goes on with in each of its turns."""
    return operations_of(contender).adam_batches(job)


def _adam_case(job: AdamJob) -> str:
    name = job.samples.name.partition(",")[0]
    widths = "-".join(map(str, job.widths))
    return f"{name} {job.n_samples:,}x{job.widths[0]}, {widths}, batch {job.batch_size}, {job.dtype}"


@functools.cache
def _expected_loss(data: str, batch_size: int) -> float:
    """Return the mean loss of the first epoch in float64."""
    return bare_numpy.AdamBatches(adam_job(data, "float64", batch_size)).epoch()
