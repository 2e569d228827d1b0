"""Runs the kernels' tests for lesser x86-64 CPUs on this one: `test_other_cpus.py` looks at what comes of it.

For each CPU a process of its own compiles the kernels and runs their tests, beside the tests of this process and with
a lower priority: two threads of a kernel would otherwise wait for a core.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llvmlite.binding as llvm
from cpus import LESSER_CPUS, Cpu
from processes import give_way

ROOT = Path(__file__).parent.parent
KERNELS = ["math", "dense", "sparse", "packing", "similar_rows", "activations", "softmax", "updates"]
KERNELS += [
    "sgd_samples",
    "sgd_batches",
    "stack_forward",
    "dense_cross_entropy",
    "stack_gradient",
    "train_batches",
]
PAGE_GUARD = "tests/test_page_guard.py::test_nothing_outside_the_arguments_is_touched"
KERNEL_SUITE = [f"tests/test_{name}.py" for name in KERNELS]
# The reference, NumPy's own code, is the same for every CPU.
NOT_THE_REFERENCE = ["-k", "not [numpy and not -numpy"]
RUN_KERNEL_SUITE = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=brief"]
RUN_KERNEL_SUITE += [*NOT_THE_REFERENCE, *KERNEL_SUITE]
# With AVX2, kernels read and write the same memory as with AVX: vectors and registers are alike.
GUARDED_BY_ANOTHER = {"AVX": "AVX2"}

# A CPU can only run what it offers itself: a machine without AVX2 tests the two below it.
OFFERED = {name for name, present in llvm.get_host_cpu_features().items() if present}
RUNNABLE = [cpu for cpu in LESSER_CPUS if OFFERED.issuperset(cpu.features)]


def arguments_for(cpu: Cpu) -> list[str]:
    """Return the arguments of Python that run the tests for a CPU."""
    is_guarded = GUARDED_BY_ANOTHER.get(cpu.unit) in {other.unit for other in RUNNABLE}
    guard = [] if is_guarded or os.name != "posix" else [PAGE_GUARD]
    return [*RUN_KERNEL_SUITE, *guard]


class Trials:
    """Runs of the kernels' tests for CPUs, in processes beside this one.

    Parameters
    ----------
    cpus : iterable of Cpu
        The CPUs, none of which needs more than this machine offers.
    folder : Path
        Where each keeps its compiled kernels.
    at_a_time : int
        How many run at once, each on one core for most of its time.
    """

    def __init__(self, cpus: Iterable[Cpu], folder: Path, at_a_time: int) -> None:
        self._folder = folder
        self._environment = dict(os.environ)  # as it is now: tests change it for themselves
        self._processes: list[subprocess.Popen[str]] = []
        self._pool = ThreadPoolExecutor(at_a_time)
        self._trials = {cpu: self._pool.submit(self._try, cpu) for cpu in cpus}

    def of(self, cpu: Cpu) -> subprocess.CompletedProcess[str]:
        """Wait for the tests of a CPU."""
        return self._trials[cpu].result(timeout=600)

    def close(self) -> None:
        """End what nobody waits for any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._pool.shutdown()

    def _try(self, cpu: Cpu) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments_for(cpu)],
            cwd=ROOT,
            env=self._environment | cpu.environment | {"FASTFNN_CACHE_DIR": str(self._folder / cpu.unit)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        give_way(process)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
