"""The machine's own peaks, which every entry is compared with: multiply-adds a second and bytes copied a second."""

from __future__ import annotations

import functools
import platform
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from fastfnn_kernels.runtime import get_num_threads
from fastfnn_kernels.runtime.cpu import UNIT
from fastfnn_kernels.runtime.thread_pool import run_parallel, thread_layer
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Registers left to the loop beside the chains; what remains outlasts the latency of a multiply-add.
CHAINS = UNIT.registers - 4
CHAIN_STEPS = 4_000_000
FLOP_PER_MULTIPLY_ADD = 2

# Far beyond any last-level cache.
COPY_BYTES = 512 * 2**20

ROUNDS = 15


@dataclass
class Peaks:
    """The most that was seen of the machine.

    Attributes
    ----------
    fma_gflops : dict
        By dtype, see `fma_gflops`.
    copy_gbs : float
        See `copy_gbs`.
    """

    fma_gflops: dict[str, float] = field(default_factory=lambda: {"float32": 0.0, "float64": 0.0})
    copy_gbs: float = 0.0

    def measure(self) -> None:
        """Measure all of them, and keep what is more than before: a shared machine may have been slow then."""
        self.fma_gflops = {dtype: max(before, fma_gflops(dtype)) for dtype, before in self.fma_gflops.items()}
        self.copy_gbs = max(self.copy_gbs, copy_gbs())

    def described(self) -> dict[str, Any]:
        """Return them with the CPU's name and the number of threads."""
        return {
            "cpu": cpu_name(),
            "threads": get_num_threads(),
            "thread_layer": thread_layer(),
            "fma_gflops": self.fma_gflops,
            "copy_gbs": self.copy_gbs,
        }


def fma_gflops(dtype: str, steps: int = CHAIN_STEPS, rounds: int = ROUNDS) -> float:
    """Measure the rate of multiply-adds that never leave the vector registers, on all threads.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the numbers multiplied.
    steps : int
        Length of a round.
    rounds : int
        The fastest counts.

    Returns
    -------
    float
        Floating-point operations a nanosecond, two for each multiply-add.
    """
    threads = get_num_threads()
    values = np.random.default_rng(0).random((threads, CHAINS * UNIT.lanes(np.dtype(dtype).itemsize))).astype(dtype)
    factor, summand = values.dtype.type(0.5), values.dtype.type(0.25)
    arguments = values, steps, factor, summand
    # On the package's own threads: Numba keeps those with which a process begins, whose kind is measured with them.
    seconds = min(_seconds(lambda: run_parallel(_run_chains, arguments, threads)) for _ in range(rounds))
    return values.size * steps * FLOP_PER_MULTIPLY_ADD / seconds / 1e9


def copy_gbs() -> float:
    """Measure the copy of an array far larger than the caches, on all threads.

    Returns
    -------
    float
        Bytes a nanosecond, read and written counted both.
    """
    threads = get_num_threads()
    sources = np.array_split(np.ones(COPY_BYTES, np.uint8), threads)
    targets = np.array_split(np.zeros(COPY_BYTES, np.uint8), threads)
    with ThreadPoolExecutor(threads) as pool:
        seconds = min(_seconds(lambda: list(pool.map(np.copyto, targets, sources))) for _ in range(ROUNDS))
    return 2 * COPY_BYTES / seconds / 1e9


def thread_counts(n_cpus: int) -> list[int]:
    """Return the powers of two below the number of CPUs, and that number."""
    powers = [2**exponent for exponent in range(n_cpus.bit_length()) if 2**exponent < n_cpus]
    return [*powers, n_cpus]


@functools.cache
def cpu_name() -> str:
    """Name the CPU and its microarchitecture, such as "AMD EPYC (znver4)"."""
    brand = _brand() or platform.processor() or platform.machine()
    brand = re.sub(r"\((R|TM)\)|\bCPU\b|@.*", "", brand)
    return f"{' '.join(brand.split())} ({llvm.get_host_cpu_name()})"


def cpu_slug() -> str:
    """Write the CPU's name as a part of a file name, such as "amd-epyc-znver4"."""
    return re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _brand() -> str:
    """Ask the operating system for the CPU's brand; empty where it does not say."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return ""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    return found[1] if found else ""


@intrinsic
def _chains(typing, values, steps, factor, summand):  # type: ignore[no-untyped-def]
    """Emit `steps` rounds of CHAINS independent v <- v * factor + summand, each v a vector of `values`."""
    signature = types.void(values, types.intp, values.dtype, values.dtype)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Sequence[Any]) -> Any:
        array_type = sig.args[0]
        itemsize = array_type.dtype.bitwidth // 8
        vector = ir.VectorType(context.get_data_type(array_type.dtype), UNIT.lanes(itemsize))
        data = context.make_array(array_type)(context, builder, args[0]).data
        base = builder.bitcast(data, vector.as_pointer())
        addresses = [builder.gep(base, [ir.Constant(ir.IntType(64), chain)]) for chain in range(CHAINS)]
        ends = _emit_loop(builder, vector, itemsize, addresses, *args[1:])
        for end, address in zip(ends, addresses, strict=True):
            builder.store(end, address, align=itemsize)
        return context.get_dummy_value()

    return signature, codegen


def _emit_loop(
    builder: ir.IRBuilder, vector: ir.VectorType, itemsize: int, addresses: list[Any], steps: Any, *operands: Any
) -> list[Any]:
    """Emit the loop; returns the last value of each chain."""
    fma_type = ir.FunctionType(vector, [vector] * 3)
    fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fmuladd.v{vector.count}f{8 * itemsize}")
    factor, summand = (_broadcast(builder, vector, operand) for operand in operands)
    starts = [builder.load(address, align=itemsize) for address in addresses]
    entry = builder.block
    loop, done = builder.append_basic_block("chains"), builder.append_basic_block("chained")
    builder.branch(loop)
    builder.position_at_end(loop)
    count = builder.phi(steps.type)
    chains = [builder.phi(vector) for _ in addresses]
    ends = [builder.call(fma, [chain, factor, summand]) for chain in chains]
    following = builder.add(count, ir.Constant(steps.type, 1))
    for phi, first, end in zip(
        [count, *chains], [ir.Constant(steps.type, 0), *starts], [following, *ends], strict=True
    ):
        phi.add_incoming(first, entry)
        phi.add_incoming(end, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
    builder.position_at_end(done)
    return ends


def _broadcast(builder: ir.IRBuilder, vector: ir.VectorType, scalar: Any) -> Any:
    index = ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(index, 0))
    return builder.shuffle_vector(
        single, undefined, ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    )


@numba.njit(parallel=True)
def _run_chains(values: Any, steps: int, factor: Any, summand: Any) -> None:
    for thread in numba.prange(values.shape[0]):
        _chains(values[thread], steps, factor, summand)
