"""A second process that compiles one kernel into the cache, while the first compiles others.

Numba compiles one function at a time in a process, however many CPUs there are. The first process waits when it gets
to that kernel. Run as `python -m fastfnn_kernels.compile_ahead DTYPE`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from fastfnn_kernels.runtime import get_num_threads
from fastfnn_kernels.runtime.cache import cache_folder
from fastfnn_kernels.runtime.compiling import awaiting

log = logging.getLogger(__name__)

# What takes longest of all; trainings of more than a few rows meet it.
KERNEL = "dense_cross_entropy._propagate.parallel"


@contextlib.contextmanager
def compiled_beside(dtype: np.dtype[np.floating]) -> Iterator[None]:
    """Let a second process compile `KERNEL` while what stands in the `with` compiles others.

    It is not started where a CPU or the cache is missing, or the kernel is there; it ends with the `with`.

    Parameters
    ----------
    dtype : dtype
        That it is compiled for.
    """
    if get_num_threads() == 1 or not sys.executable or _may_be_cached() or not _can_be_cached():
        yield
        return
    # In a session of its own Ctrl-C reaches the first process alone.
    command = [sys.executable, "-m", "fastfnn_kernels.compile_ahead", np.dtype(dtype).name]
    nowhere, told = subprocess.DEVNULL, subprocess.PIPE
    try:
        helper = subprocess.Popen(command, stdin=nowhere, stdout=told, stderr=nowhere, start_new_session=True)
    except OSError as error:
        log.info("no second process to compile with: %s", error)
        yield
        return

    def wait_for(kernel: str) -> None:
        if kernel == KERNEL:
            _compile_what_follows(dtype)
            helper.stdout.read()  # type: ignore[union-attr]

    try:
        with awaiting(wait_for):
            yield
    finally:
        helper.kill()  # files of the cache are written beside and renamed
        helper.communicate()


def compile_kernel(dtype: np.dtype[np.floating]) -> None:
    """Compile `KERNEL`, or load it where it is in the cache already."""
    from fastfnn_kernels.jitted.dense_cross_entropy import _propagate

    _propagate.compile(dtype, parallel=True)


def _compile_what_follows(dtype: np.dtype[np.floating]) -> None:
    """Compile the first layer's weight gradient, dense or packed as its forward product was."""
    from fastfnn_kernels.jitted import _weight_gradient, dense, sparse

    products = ((dense._multiply, _weight_gradient.add_products), (sparse._multiply, sparse._add_products))
    for forward, gradient in products:
        if dtype in forward.parallel:
            gradient.parallel[dtype]  # what is looked up is compiled


def _may_be_cached() -> bool:
    """Tell whether a training ran before, for one dtype or another."""
    return any(cache_folder().glob(f"{KERNEL}-*"))


def _can_be_cached() -> bool:
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache_folder(), os.W_OK)


if __name__ == "__main__":
    compile_kernel(np.dtype(sys.argv[1]))
