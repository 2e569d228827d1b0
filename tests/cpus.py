"""CPUs that kernels are compiled for in tests, whatever this machine's CPU is."""

from __future__ import annotations

from typing import NamedTuple


class Cpu(NamedTuple):
    """A CPU by LLVM's name, the vector unit that the kernels use there, and the features that decide about it.

    LLVM adds the features that it knows of the name, and leaves out those of this machine's CPU.
    """

    name: str
    unit: str
    machine: str
    features: tuple[str, ...] = ()

    @property
    def flags(self) -> str:
        """The features as Numba and LLVM take them."""
        return ",".join(f"+{feature}" for feature in self.features)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that compiles for this CPU."""
        return {"NUMBA_CPU_NAME": self.name, "NUMBA_CPU_FEATURES": self.flags}


_SSE2 = ("sse2",)
_AVX = (*_SSE2, "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx")
_AVX2 = (*_AVX, "avx2", "fma")
_AVX512 = (*_AVX2, "avx512f", "avx512vl", "avx512dq", "avx512bw")

LESSER_CPUS = [
    Cpu("x86-64", "SSE2", "x86_64", _SSE2),
    Cpu("sandybridge", "AVX", "x86_64", _AVX),
    Cpu("haswell", "AVX2", "x86_64", _AVX2),
]
CPUS = [
    *LESSER_CPUS,
    Cpu("znver4", "AVX-512", "x86_64", _AVX512),
    Cpu("sapphirerapids", "AVX-512", "x86_64", _AVX512),
    Cpu("cortex-a76", "NEON", "aarch64"),
    Cpu("apple-m1", "NEON", "aarch64"),
]
