"""Facts shown by `fastfnn info`: the machine, the backends, the versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastfnn_kernels.runtime.caches import Caches
from fastfnn_kernels.runtime.thread_count import current_limit

from fastfnn.backends import MODULES, get_backend

PACKAGES = ("fastfnn", "numpy", "numba", "llvmlite", "safetensors")

# The file in which Linux describes its CPUs.
CPU_LIST = Path("/proc/cpuinfo")

# Numba's thread layers, and their differences.
LAYERS = {
    "tbb": "tbb: several Python threads may compute at once",
    "omp": "omp: several Python threads may compute at once; slow beside other programs",
    "workqueue": "workqueue: Python threads take turns; tbb and OpenMP were not found",
}


def describe_installation() -> dict[str, str]:
    """Return facts about the installation by name; without Numba, facts about it are left out."""
    unavailable = {name: _why_unavailable(name) for name in MODULES}
    limit = current_limit()
    facts = {"CPU": cpu_name(), "threads": f"{limit.n_threads}: {limit.reason}"}
    if not unavailable["numba"]:
        facts |= _describe_numba()
    facts |= {f"backend {name}": reason or "available" for name, reason in unavailable.items()}
    return facts | {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def cpu_name() -> str:
    """Return the maker's name of the CPU if the system knows it, otherwise the architecture."""
    if CPU_LIST.is_file():
        for line in CPU_LIST.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def describe_caches(caches: Caches) -> str:
    """Return the sizes as text, such as "48 KiB, 2 MiB a core; 33 MiB shared"."""
    return f"{_size(caches.first)}, {_size(caches.second)} a core; {_size(caches.last)} shared"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:g} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:g} KiB"


def _why_unavailable(backend: str) -> str:
    """Return why a backend cannot be used; an empty string if it can."""
    try:
        get_backend(backend)
    except ImportError as error:
        return f"not available: {error}"
    return ""


def _describe_numba() -> dict[str, str]:
    from fastfnn_kernels.jitted._llvm.tile_shapes import TILE
    from fastfnn_kernels.runtime.cache_folder import cache_folder
    from fastfnn_kernels.runtime.cpu import CPU, UNIT
    from fastfnn_kernels.runtime.thread_pool import thread_layer

    return {
        "vector unit": f"{UNIT.name}, {UNIT.registers} registers of {8 * UNIT.vector_bytes} bits",
        "multiply-adds": f"{CPU.fma_per_cycle} vectors a cycle, compiled for {CPU.name}",
        "caches": describe_caches(CPU.caches),
        "kernel tile": f"{TILE.rows} rows x {TILE.vectors} vectors",
        "thread layer": LAYERS[thread_layer()],
        "kernel cache": f"{cache_folder()}: {_contents(cache_folder())}",
    }


def _contents(folder: Path) -> str:
    """Describe the compiled kernels in a folder, and whether more can be added."""
    files = list(folder.glob("*.nbc")) if folder.is_dir() else []
    held = f"{len(files)} kernels, {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return held if usable else f"{held}; it cannot be written: other kernels are compiled in memory"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
