"""One full-batch step of the main job: loss, gradients and update over 42,000 images."""

from __future__ import annotations

import pytest
from contenders import (
    JAX,
    NUMBA,
    NUMPY,
    PUBLISHED,
    SCIKIT_LEARN,
    TORCH,
    TORCH_COMPILE,
    contenders,
    operations_of,
)
from main_job import N_INPUTS, Samples, initial_parameters, mnist, random_dense, step_flop
from measurement import Measure, Work
from published_numpy import first_step
from verification import FIRST_STEP_TOLERANCE, TOLERANCES, assert_changed_alike, assert_close

SAMPLES = {"mnist": mnist, "random": random_dense}

# It cannot be given another rule, so that only its loss can be compared.
UPDATES_BY_ADAM = (SCIKIT_LEARN,)


@contenders(NUMBA, NUMPY, PUBLISHED, TORCH, TORCH_COMPILE, JAX, SCIKIT_LEARN)
@pytest.mark.parametrize("samples_name", SAMPLES)
def bench_full_batch_step(measure: Measure, samples_name: str, contender: str) -> None:
    samples = SAMPLES[samples_name]()
    trainer = operations_of(contender).full_batch(samples)

    def check(loss: float) -> None:
        expected_loss, expected = first_step(samples)
        assert_close(loss, expected_loss, TOLERANCES["float32"])
        if contender not in UPDATES_BY_ADAM:
            after = trainer.current_parameters()
            assert_changed_alike(after, expected, initial_parameters(), FIRST_STEP_TOLERANCE)

    measure(_work(samples, contender), contender, trainer.step, check)


def _work(samples: Samples, contender: str) -> Work:
    n_rows = len(samples.y)
    case = f"{samples.name} {n_rows:,}x{N_INPUTS}, 784-256-10"
    dtype = "float64" if contender == PUBLISHED else "float32"
    headline = f"full-batch step, {samples.name}"
    return Work("full-batch step", case, dtype, flop=step_flop(n_rows), samples=n_rows, headline=headline)
