"""Programs in processes of their own, with a time limit."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

# Numba's ways of running threads, and the extension modules that exist where their libraries do.
LAYERS = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}


def _is_available(layer: str) -> bool:
    try:
        importlib.import_module(f"numba.np.ufunc.{LAYERS[layer]}")
    except ImportError:
        return False
    return True


def mpiexec_path() -> str | None:
    """Return the launcher of MPI beside this Python, or the system's; None if there is none."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return shutil.which("mpiexec", path=os.pathsep.join(folders))


def available_layers() -> list[str]:
    """Name the thread layers of this machine."""
    from fastfnn_kernels.runtime import thread_pool  # noqa: F401 - it loads the tbb package's library

    return [layer for layer in LAYERS if _is_available(layer)]


def start(
    program: str | Path, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start Python on a program or a file of one; warnings are errors."""
    what = [os.fspath(program)] if isinstance(program, Path) else ["-c", textwrap.dedent(program)]
    return subprocess.Popen(
        [sys.executable, "-W", "error", *what, *arguments],
        env=os.environ | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def give_way(process: subprocess.Popen[str]) -> None:
    """Let a process, and those that it starts, compute on what the tests leave of the cores."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, process.pid, 10)


def finish(process: subprocess.Popen[str], timeout: float = 120) -> str:
    """Wait for its end, which must be a good one; returns what it printed."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        raise AssertionError(f"not done in {timeout} seconds: {output}{errors}") from None
    assert process.returncode == 0, f"exit code {process.returncode}: {output}{errors}"
    return output


def output_of(program: str | Path, environment: Mapping[str, str] | None = None, timeout: float = 120) -> str:
    """Run a program to its end; returns what it printed."""
    return finish(start(program, environment), timeout)


def under_layer(layer: str, n_threads: int = 2) -> dict[str, str]:
    """Return the environment of a process that computes under a thread layer."""
    # Threads of OpenMP that spin while they wait would take the cores from those they wait for.
    return {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": str(n_threads), "OMP_WAIT_POLICY": "PASSIVE"}
