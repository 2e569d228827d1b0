"""A second process that compiles some kernels into the cache, while the first compiles others.

Numba compiles one function at a time in a process, however many CPUs there are. The first process waits for what
stands here when it gets there, unless the second has ended. Run as `python -m fastfnn_kernels.compile_ahead DTYPE`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from fastfnn_kernels.runtime import get_num_threads
from fastfnn_kernels.runtime.cache import cache_folder
from fastfnn_kernels.runtime.compiling import awaiting

# Module, name and variant: what takes longest of all, and every training meets it.
KERNELS = (
    ("output_layer", "_propagate", "parallel"),
    ("output_layer", "_propagate", "serial"),
)


@contextlib.contextmanager
def compiled_beside(dtype: np.dtype[np.floating]) -> Iterator[None]:
    """Let a second process compile `KERNELS` while what stands in the `with` compiles others.

    It is not started where a CPU or the cache is missing, or the kernels are there; it ends with the `with`.

    Parameters
    ----------
    dtype : dtype
        That they are compiled for.
    """
    if get_num_threads() == 1 or not sys.executable or _may_be_cached():
        yield
        return
    helper = _Helper(dtype)
    try:
        with awaiting(helper.wait_for):
            yield
    finally:
        helper.end()


class _Helper:
    """The second process."""

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        command = [sys.executable, "-m", "fastfnn_kernels.compile_ahead", np.dtype(dtype).name]
        nowhere, told = subprocess.DEVNULL, subprocess.PIPE
        # In a session of its own Ctrl-C reaches the first process alone.
        self._process = subprocess.Popen(
            command, stdin=nowhere, stdout=told, stderr=nowhere, text=True, start_new_session=True
        )
        self._awaited = [".".join(kernel) for kernel in KERNELS]

    def wait_for(self, kernel: str) -> None:
        """Wait until it has compiled a kernel, or has ended, if that kernel is one of its own."""
        while kernel in self._awaited:
            told = self._process.stdout.readline().strip()  # type: ignore[union-attr]
            self._awaited = [name for name in self._awaited if told and name != told]

    def end(self) -> None:
        """End it: files of the cache are written beside and renamed."""
        self._process.kill()
        self._process.communicate()


def compile_kernels(dtype: np.dtype[np.floating]) -> None:
    """Compile `KERNELS`, or load what is in the cache already, and print the name of each that is there."""
    from fastfnn_kernels import jitted

    for module, name, variant in KERNELS:
        getattr(getattr(jitted, module), name).compile(dtype, parallel=variant == "parallel")
        print(f"{module}.{name}.{variant}", flush=True)


def _may_be_cached() -> bool:
    """Tell whether a training ran before, for one dtype or another."""
    return any(cache_folder().glob(".".join(KERNELS[0]) + "-*"))


if __name__ == "__main__":
    compile_kernels(np.dtype(sys.argv[1]))
