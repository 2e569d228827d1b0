"""How the full-batch step grows: with threads, and with the rows of a file mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contenders import NUMBA, operations_of
from fastfnn_kernels.runtime import threads
from fastfnn_kernels.runtime.cpu_count import most_threads
from main_job import N_INPUTS, N_ROWS, Samples, initial_parameters, mnist, step_flop
from measurement import MIN_ROUND_SECONDS, Measure, Work
from published_numpy import first_step
from verification import FIRST_STEP_TOLERANCE, TOLERANCES, assert_changed_alike, assert_close

# Of rounds over few rows and over many: a shared machine has quick moments, which a short round may lie in as a whole
# and a long one never does.
ROUND_SECONDS = 0.5


@pytest.fixture
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run the kernels on so many threads."""
    if request.param > most_threads():
        pytest.skip(f"this machine runs {most_threads()} threads")
    with threads(request.param):
        yield request.param


@pytest.mark.parametrize("n_threads", [1, 2], indirect=True)
def bench_full_batch_threads(measure: Measure, n_threads: int) -> None:
    label = f"{n_threads} thread{'s' if n_threads > 1 else ''}"
    _measure_step(measure, mnist(), "full-batch step on more threads", label)


@pytest.mark.parametrize("repeats", [1, 10])
def bench_full_batch_rows(measure: Measure, repeats: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    samples = _mapped(repeats, tmp_path_factory.mktemp("rows"))
    case, label = "full-batch step over more mapped rows", f"{len(samples.y):,} rows"
    _measure_step(measure, samples, case, label, ROUND_SECONDS)


def _measure_step(
    measure: Measure, samples: Samples, case: str, label: str, round_seconds: float = MIN_ROUND_SECONDS
) -> None:
    trainer = operations_of(NUMBA).full_batch(samples)

    def check(loss: Any) -> None:
        expected_loss, expected = first_step(mnist())
        assert_close(loss, expected_loss, TOLERANCES["float32"])
        assert_changed_alike(trainer.current_parameters(), expected, initial_parameters(), FIRST_STEP_TOLERANCE)

    n_rows = len(samples.y)
    work = Work("scaling", case, "float32", flop=step_flop(n_rows), samples=n_rows, headline=case)
    measure(work, label, trainer.step, check, round_seconds=round_seconds)


def _mapped(repeats: int, folder: Path) -> Samples:
    """Write the images `repeats` times into a file, and map it; the mean loss and its gradient stay the same."""
    path = folder / "rows.uint8"
    with path.open("wb") as file:
        for _ in range(repeats):
            mnist().X.tofile(file)
    X = np.memmap(path, np.uint8, "r", shape=(repeats * N_ROWS, N_INPUTS))
    return Samples("MNIST", X, np.tile(mnist().y, repeats))
