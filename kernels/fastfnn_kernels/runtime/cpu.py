"""The vector registers of the CPU that the kernels are compiled for."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import llvmlite.binding as llvm
from numba import config


@dataclass(frozen=True)
class VectorUnit:
    """The vector registers of a CPU."""

    name: str
    vector_bytes: int
    registers: int

    def lanes(self, itemsize: int) -> int:
        """Return the number of elements of `itemsize` bytes in one register."""
        return self.vector_bytes // itemsize


def vector_unit(machine: str, features: frozenset[str]) -> VectorUnit:
    """Choose the widest vector unit among the `features` of a `machine` ("x86_64", "aarch64", ...)."""
    if machine.lower() in ("aarch64", "arm64"):
        return VectorUnit("NEON", vector_bytes=16, registers=32)
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= features:
        return VectorUnit("AVX-512", vector_bytes=64, registers=32)
    if "avx" in features:
        return VectorUnit("AVX2" if "avx2" in features else "AVX", vector_bytes=32, registers=16)
    return VectorUnit("SSE2", vector_bytes=16, registers=16)


def target_features() -> frozenset[str]:
    """List the CPU features that Numba compiles for: the host's, or those in `NUMBA_CPU_FEATURES`."""
    if config.CPU_FEATURES is not None:
        return frozenset(flag[1:] for flag in config.CPU_FEATURES.split(",") if flag.startswith("+"))
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


UNIT = vector_unit(platform.machine(), target_features())
