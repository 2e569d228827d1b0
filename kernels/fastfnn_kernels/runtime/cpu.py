"""The CPU that the kernels are compiled for: its vector registers, its multiply-adds and its caches."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import NamedTuple

import llvmlite.binding as llvm
from numba import config

from fastfnn_kernels.runtime.caches import Caches, system_caches


@dataclass(frozen=True)
class VectorUnit:
    """The vector registers of a CPU."""

    name: str
    vector_bytes: int
    registers: int

    def lanes(self, itemsize: int) -> int:
        """Return the number of elements of `itemsize` bytes in one register."""
        return self.vector_bytes // itemsize


@dataclass(frozen=True)
class Cpu:
    """A CPU to compile for.

    Attributes
    ----------
    name : str
        LLVM's name of it, such as "sapphirerapids". A virtual machine may hide its CPU: the name is then of another.
    unit : VectorUnit
        Its registers.
    fma_per_cycle : int
        Multiply-adds of a whole register that a core starts in each cycle.
    caches : Caches
        The caches of this machine, also when the kernels are compiled for another.
    """

    name: str
    unit: VectorUnit
    fma_per_cycle: int
    caches: Caches


class _Multipliers(NamedTuple):
    """A core's units that multiply and add vectors, and the bits of each; two narrow ones may act as a wide one."""

    units: int
    bits: int


# For other names, two units as wide as the registers are assumed: code that keeps two busy keeps one busy too.
#
# Intel: Optimization Reference Manual, chapter 2, and https://uops.info for VFMADD231PS. Some early servers with the
# name "skylake-avx512" have one unit of 512 bits. Of CPUs with two kinds of cores, the table shows the fast ones.
# AMD: Software Optimization Guides 55723 (Zen), 56305 (Zen 2), 56665 (Zen 3), 57647 (Zen 4) and 58455 (Zen 5), each
# in "Floating-Point Unit". Laptops with Zen 5 halve its units under the same name.
# Arm: Software Optimization Guide of each core, FMLA of 128 bits. Apple: https://dougallj.github.io/applecpu.
_MULTIPLIERS = {
    _Multipliers(2, 512): (
        "skylake-avx512", "cascadelake", "cooperlake", "icelake-server", "sapphirerapids", "emeraldrapids",
        "graniterapids", "graniterapids-d", "diamondrapids", "znver5",
    ),
    _Multipliers(2, 256): (
        "haswell", "broadwell", "skylake", "cannonlake", "icelake-client", "tigerlake", "rocketlake", "alderlake",
        "raptorlake", "meteorlake", "arrowlake", "arrowlake-s", "lunarlake", "pantherlake", "znver2", "znver3",
        "znver4",
    ),
    _Multipliers(4, 128): (
        "apple-m1", "apple-m2", "apple-m3", "apple-m4", "cortex-x1", "cortex-x2", "cortex-x3", "cortex-x4",
        "neoverse-v1", "neoverse-v2",
    ),
    _Multipliers(2, 128): (
        "znver1", "gracemont", "sierraforest", "grandridge", "cortex-a76", "cortex-a77", "cortex-a78",
        "cortex-a710", "neoverse-n1", "neoverse-n2",
    ),
    _Multipliers(1, 128): ("cortex-a55", "cortex-a57", "cortex-a72", "cortex-a73"),
}  # fmt: skip


def vector_unit(machine: str, features: frozenset[str]) -> VectorUnit:
    """Choose the widest vector unit among the `features` of a `machine` ("x86_64", "aarch64", ...)."""
    if machine.lower() in ("aarch64", "arm64"):
        return VectorUnit("NEON", vector_bytes=16, registers=32)
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= features:
        return VectorUnit("AVX-512", vector_bytes=64, registers=32)
    if "avx" in features:
        return VectorUnit("AVX2" if "avx2" in features else "AVX", vector_bytes=32, registers=16)
    return VectorUnit("SSE2", vector_bytes=16, registers=16)


def fma_per_cycle(name: str, unit: VectorUnit, features: frozenset[str]) -> int:
    """Return the multiply-adds of a whole register that a core starts in each cycle.

    Parameters
    ----------
    name : str
        LLVM's name of the CPU.
    unit : VectorUnit
        Its registers. Without multiply-add instructions, a multiplication and an addition count as one.
    features : frozenset of str
        LLVM's names of its features. Only Intel's servers have AMX, whatever name a virtual machine shows.

    Returns
    -------
    int
        At least 1.
    """
    if unit.name != "NEON" and not features & {"fma", "avx512f"}:
        return 1
    bits = 8 * unit.vector_bytes
    if unit.name == "AVX-512" and "amx-tile" in features:
        return 2
    found = (multipliers for multipliers, names in _MULTIPLIERS.items() if name in names)
    multipliers = next(found, _Multipliers(2, bits))
    return max(1, multipliers.units * min(multipliers.bits, bits) // bits)


def target_name() -> str:
    """Return LLVM's name of the CPU that Numba compiles for: the host's, or the one in `NUMBA_CPU_NAME`."""
    return str(config.CPU_NAME or llvm.get_host_cpu_name())


def target_features() -> frozenset[str]:
    """List the CPU features that Numba compiles for: the host's, or those in `NUMBA_CPU_FEATURES`."""
    if config.CPU_FEATURES is not None:
        return frozenset(flag[1:] for flag in config.CPU_FEATURES.split(",") if flag.startswith("+"))
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


UNIT = vector_unit(platform.machine(), target_features())
CPU = Cpu(target_name(), UNIT, fma_per_cycle(target_name(), UNIT, target_features()), system_caches())
