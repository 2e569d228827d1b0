"""What `fastfnn info` tells: the machine, the backends, the versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from fastfnn.backends import MODULES, get_backend

PACKAGES = ("fastfnn", "numpy", "numba", "llvmlite", "safetensors")

# Where Linux describes its CPUs.
CPU_LIST = Path("/proc/cpuinfo")

# Elements of an update that is large enough for the kernels to use all threads.
MANY = 1_000_000


def describe_installation() -> dict[str, str]:
    """List what there is to compute with, name and value; what needs Numba is left out without it."""
    unavailable = {name: _why_unavailable(name) for name in MODULES}
    facts = {"CPU": cpu_name(), "CPUs for this process": str(_usable_cpus())}
    if not unavailable["numba"]:
        facts |= _describe_numba()
    facts |= {f"backend {name}": reason or "available" for name, reason in unavailable.items()}
    return facts | {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def cpu_name() -> str:
    """Name the CPU as its maker does where the system tells, otherwise its architecture."""
    if CPU_LIST.is_file():
        for line in CPU_LIST.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _why_unavailable(backend: str) -> str:
    """Return an empty string for a backend that can be used."""
    try:
        get_backend(backend)
    except ImportError as error:
        return f"not available: {error}"
    return ""


def _describe_numba() -> dict[str, str]:
    import numba
    from fastfnn_kernels.jitted._cache import cache_folder
    from fastfnn_kernels.jitted._cpu import TILE, UNIT

    return {
        "vector unit": f"{UNIT.name}, {UNIT.registers} registers of {8 * UNIT.vector_bytes} bits",
        "kernel tile": f"{TILE.rows} rows x {TILE.vectors} vectors",
        "threads": f"{numba.get_num_threads()} of {numba.config.NUMBA_NUM_THREADS}",
        "thread layer": _thread_layer(),
        "kernel cache": str(cache_folder()),
    }


def _thread_layer() -> str:
    """Name the thread layer, which Numba chooses when it first runs a parallel kernel."""
    import numba

    parameter, gradient = np.zeros(MANY, np.float32), np.zeros(MANY, np.float32)
    get_backend("numba").sgd(parameter, gradient, 0.1)
    return str(numba.threading_layer())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
