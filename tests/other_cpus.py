"""Tries the kernels for lesser x86-64 CPUs on this one: `test_other_cpus.py` looks at what comes of it.

For each CPU processes of their own compile the kernels, all into one cache: first some whose assembly is looked at,
then those of the kernels' tests, which are run. Nearly all of it is compiling, on one core, so it goes on beside the
tests of this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm

ROOT = Path(__file__).parent.parent
KERNELS = ["math", "dense", "sparse", "packing", "similar_rows", "activations", "softmax", "updates"]
KERNELS += ["sgd_samples", "sgd_batches", "stack_forward", "dense_cross_entropy", "stack_cross_entropy"]
PAGE_GUARD = "tests/test_page_guard.py::test_nothing_outside_the_arguments_is_touched"
KERNEL_SUITE = [*(f"tests/test_{name}.py" for name in KERNELS), *[PAGE_GUARD] * (os.name == "posix")]
# The reference, NumPy's own code, is the same for every CPU.
NOT_THE_REFERENCE = ["-k", "not [numpy and not -numpy"]
RUN_KERNEL_SUITE = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=brief"]
RUN_KERNEL_SUITE += [*NOT_THE_REFERENCE, *KERNEL_SUITE]


class Cpu(NamedTuple):
    """A CPU to compile for; LLVM adds the features that it knows of `llvm_name`, and leaves out those of this CPU."""

    unit: str
    llvm_name: str
    features: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "NUMBA_CPU_NAME": self.llvm_name,
            "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in self.features),
        }


SSE2 = ("sse2",)
AVX = (*SSE2, "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx")
AVX2 = (*AVX, "avx2", "fma")
CPUS = [Cpu("SSE2", "x86-64", SSE2), Cpu("AVX", "sandybridge", AVX), Cpu("AVX2", "haswell", AVX2)]

# A CPU can only run what it offers itself: a machine without AVX2 tests the two below it.
OFFERED = {name for name, present in llvm.get_host_cpu_features().items() if present}
RUNNABLE = [cpu for cpu in CPUS if OFFERED.issuperset(cpu.features)]

ASSEMBLY = """
import json
import numpy as np
from fastfnn_kernels import jitted
from fastfnn_kernels.packing import pack_columns
from fastfnn_kernels.runtime.cpu import UNIT
from fastfnn_kernels.jitted._compile.jit import Kernel

compile_kernel, compiled = Kernel.compile, []
def compile_and_remember(self, *args, **options):
    compiled.append(compile_kernel(self, *args, **options))
    return compiled[-1]
Kernel.compile = compile_and_remember

def assembly_of(call, *args):
    compiled.clear()
    call(*args)
    return [text for kernel in compiled for text in kernel.inspect_asm().values()]

x, single, large = np.ones((9, 4)), np.ones((9, 4), np.float32), np.ones((200, 200), np.float32)
columns = pack_columns(jitted.pack_rows, x, np.float64, 1.0, np.arange(4))
by_columns = jitted.pack_rows(x, np.float64)._replace(by_columns=columns)
print(json.dumps({
    "unit": UNIT.name,
    "dense": assembly_of(jitted.dense_forward, large, large),
    "small": assembly_of(jitted.dense_forward, single, single.T.copy()),
    "few rows": assembly_of(jitted.dense_forward, large[:1], np.ones((200, 600), np.float32)),
    "sparse": assembly_of(jitted.sparse_forward, jitted.pack_rows(x, np.float64), x.T.copy()),
    "scattering": assembly_of(jitted.sparse_weight_gradient, jitted.pack_rows(x, np.float64), x),
    "by columns": assembly_of(jitted.sparse_weight_gradient, by_columns, x),
}))
"""


class Trial(NamedTuple):
    """What came of a CPU: the vector unit compiled for, assembly by kind of product, and the run of the tests."""

    unit: str
    assembly: dict[str, list[str]]
    tests: subprocess.CompletedProcess[str] | None


class Trials:
    """Trials of CPUs, in processes beside this one.

    Parameters
    ----------
    cpus : iterable of Cpu or None
        None is this CPU. Its tests run anyway: only its assembly is looked at.
    folder : Path
        Where each keeps its compiled kernels.
    at_a_time : int
        How many run at once, each on one core for most of its time.
    """

    def __init__(self, cpus: Iterable[Cpu | None], folder: Path, at_a_time: int) -> None:
        self._folder = folder
        self._environment = dict(os.environ)  # as it is now: tests change it for themselves
        self._processes: list[subprocess.Popen[str]] = []
        self._pool = ThreadPoolExecutor(at_a_time)
        self._trials: dict[Cpu | None, Future[Trial]] = {cpu: self._pool.submit(self._try, cpu) for cpu in cpus}

    def of(self, cpu: Cpu | None) -> Trial:
        """Wait for the trial of a CPU."""
        return self._trials[cpu].result(timeout=600)

    def close(self) -> None:
        """End what nobody waits for any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._pool.shutdown()

    def _try(self, cpu: Cpu | None) -> Trial:
        compiled = self._run(cpu, "-c", ASSEMBLY)
        assert compiled.returncode == 0, compiled.stderr
        assembly = json.loads(compiled.stdout)
        return Trial(assembly.pop("unit"), assembly, self._run(cpu, *RUN_KERNEL_SUITE) if cpu else None)

    def _run(self, cpu: Cpu | None, *command: str) -> subprocess.CompletedProcess[str]:
        cache = {"FASTFNN_CACHE_DIR": str(self._folder / (cpu.unit if cpu else "this one"))}
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self._environment | cache | (cpu.environment if cpu else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)
