"""How work grows: with threads, beside PyTorch and JAX on as many; and with the rows of a mapped file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bench_dense as dense
import bench_full_batch as full_batch
import bench_mini_batch as mini_batch
import bench_softmax as softmax
import bench_updates as updates
import numpy as np
import pytest
from contenders import JAX, NUMBA, TORCH, contenders, operations_of
from entries import MAPPED, SCALING
from fastfnn_kernels.runtime import get_num_threads, threads
from machine import thread_counts
from main_job import N_INPUTS, N_ROWS, Samples, initial_parameters, mnist, step_flop
from measurement import Measure, Work
from published_numpy import first_step
from verification import FIRST_STEP_TOLERANCE, TOLERANCES, assert_changed_alike, assert_close

# Of rounds over few rows and over many: a shared machine has quick moments, which a short round may lie in as a whole
# and a long one never does.
ROUND_SECONDS = 0.5


def works() -> dict[str, Callable[..., None]]:
    """Return what is measured on more and more threads: entries of other files, which verify it too."""
    forward = partial(dense.bench_dense_forward, dtype="float32")
    weight_gradient = partial(dense.bench_dense_weight_gradient, dtype="float32")
    large, small = (42_000, 784, 256), (128, 784, 256)
    (adam,) = (rule for rule in updates.RULES if rule.name == "adam")
    return {
        "full-batch step, MNIST": partial(full_batch.bench_full_batch_step, samples_name="mnist"),
        "full-batch step, dense random": partial(full_batch.bench_full_batch_step, samples_name="random"),
        "training, batch 5,000": partial(mini_batch.bench_mini_batch_epoch, batch_size=5_000),
        "training, batch 128": partial(mini_batch.bench_mini_batch_epoch, batch_size=128),
        "dense forward, 42,000x784x256": partial(forward, shape=large),
        "dense forward, 128x784x256": partial(forward, shape=small),
        "dense weight gradient, 42,000x784x256": partial(weight_gradient, shape=large),
        "dense weight gradient, 128x784x256": partial(weight_gradient, shape=small),
        "softmax cross-entropy, 1,000,000x10": partial(
            softmax.bench_softmax_cross_entropy, case=softmax.Case(1_000_000, 10)
        ),
        "adam, 10,000,000 parameters": partial(updates.bench_update, size=10_000_000, rule=adam),
    }


@contenders(NUMBA, TORCH, JAX)
@pytest.mark.parametrize("n_threads", thread_counts(get_num_threads()))
@pytest.mark.parametrize("title", works())
def bench_threads(measure: Measure, title: str, n_threads: int, contender: str) -> None:
    with threads(n_threads), operations_of(contender).on_threads(n_threads):
        works()[title](measure=measure.filed_as(SCALING, title), contender=contender)


@pytest.mark.parametrize("repeats", [1, 10])
def bench_full_batch_rows(measure: Measure, repeats: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    samples = _mapped(repeats, tmp_path_factory.mktemp("rows"))
    trainer = operations_of(NUMBA).full_batch(samples)

    def check(loss: Any) -> None:
        expected_loss, expected = first_step(mnist())
        assert_close(loss, expected_loss, TOLERANCES["float32"])
        assert_changed_alike(trainer.current_parameters(), expected, initial_parameters(), FIRST_STEP_TOLERANCE)

    n_rows = len(samples.y)
    headline = f"full-batch step over {n_rows:,} mapped rows"
    work = Work(MAPPED, f"{n_rows:,} rows", "float32", step_flop(n_rows), samples=n_rows, headline=headline)
    measure(work, NUMBA, trainer.step, check, round_seconds=ROUND_SECONDS)


def _mapped(repeats: int, folder: Path) -> Samples:
    """Write the images `repeats` times into a file, and map it; the mean loss and its gradient stay the same."""
    path = folder / "rows.uint8"
    with path.open("wb") as file:
        for _ in range(repeats):
            mnist().X.tofile(file)
    X = np.memmap(path, np.uint8, "r", shape=(repeats * N_ROWS, N_INPUTS))
    return Samples("MNIST", X, np.tile(mnist().y, repeats))
