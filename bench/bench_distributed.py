"""Several processes on this machine: their step beside that of one process with as many threads, and the exchange.

Every round is a job of its own, started by mpiexec, which measures itself: what starting it takes does not count.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from contenders import NUMBA
from fastfnn_kernels.runtime import get_num_threads
from measurement import Measure, Work
from processes import mpiexec_path

JOB = Path(__file__).with_name("distributed_job.py")
ROUNDS = 5

SHARES, SHARES_OF_BATCHES = 16, 2

SUBJECT = "several processes"


class JobTime:
    """A timer that advances by what jobs measure themselves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the sum of the seconds so far."""
        return self.now

    def run(self, command: list[str]) -> None:
        """Run a job, and add the seconds that it prints."""
        self.now += float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


TIME = JobTime()


def mpiexec(n_processes: int) -> list[str]:
    """Return the beginning of a command that starts processes; skips the entry where MPI is not installed."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed", exc_type=ImportError)
    found = mpiexec_path()
    if found is None:
        pytest.skip("there is no mpiexec")
    return [found, "-n", str(n_processes)]


def _ways(shares: int) -> dict[str, Callable[[], list[str]]]:
    """Return the commands of one process as ever, of one by shares, and of two with half of the threads."""
    n_threads = get_num_threads()
    half = max(1, n_threads // 2)
    one, job = f"1 process, {n_threads} threads", [sys.executable, str(JOB)]
    return {
        one: lambda: [*job, "{kind}", "none", str(shares), str(n_threads), "{data}"],
        f"{one}, by {shares} shares": lambda: [*job, "{kind}", "alone", str(shares), str(n_threads), "{data}"],
        f"2 processes, {half} thread{'s' * (half > 1)} each": lambda: [
            *mpiexec(2), *job, "{kind}", "mpi", str(shares), str(half), "{data}",
        ],
    }  # fmt: skip


@pytest.mark.once
@pytest.mark.benchmark(timer=TIME)
@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("data", ["mnist", "random"])
def bench_distributed_step(measure: Measure, data: str, way: int) -> None:
    title, command = list(_ways(SHARES).items())[way]
    case = f"full-batch step, {'MNIST' if data == 'mnist' else 'dense random'}: {title}"
    _measure(measure, case, [part.format(kind="step", data=data) for part in command()])


@pytest.mark.once
@pytest.mark.benchmark(timer=TIME)
@pytest.mark.parametrize("way", range(3))
def bench_distributed_batches(measure: Measure, way: int) -> None:
    title, command = list(_ways(SHARES_OF_BATCHES).items())[way]
    _measure(measure, f"batches of 4,096, MNIST: {title}", [p.format(kind="epoch", data="mnist") for p in command()])


@pytest.mark.once
@pytest.mark.benchmark(timer=TIME)
@pytest.mark.parametrize("way", ["tree", "allreduce"])
@pytest.mark.parametrize("size", [200_000, 2_000_000, 10_000_000])
def bench_distributed_exchange(measure: Measure, size: int, way: str) -> None:
    command = [*mpiexec(2), sys.executable, str(JOB), "exchange", way, str(size)]
    title = "the tree of shares" if way == "tree" else "MPI_Allreduce"
    _measure(measure, f"exchange of {size:,} floats: {title}", command)


def _measure(measure: Measure, case: str, command: list[str]) -> None:
    work = Work(SUBJECT, case, "float32")
    measure.typical(work, NUMBA, lambda: TIME.run(command), ROUNDS)
