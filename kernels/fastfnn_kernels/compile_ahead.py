"""A helper process that compiles one kernel into the cache while the main process compiles others.

Within a process, Numba compiles only one function at a time, whatever the number of CPUs. The main process waits for
the helper when it reaches that kernel. Run as `python -m fastfnn_kernels.compile_ahead DTYPE`.
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
from fastfnn_kernels.runtime.cache_folder import cache_folder, make_cache_folder
from fastfnn_kernels.runtime.compiling import awaiting

log = logging.getLogger(__name__)

# The kernel that takes longest to compile. Every training on more than a few rows needs it.
KERNEL = "dense_cross_entropy._propagate.parallel"


@contextlib.contextmanager
def compiled_beside(dtype: np.dtype[np.floating]) -> Iterator[None]:
    """Let a helper process compile `KERNEL` while the body of the `with` compiles others.

    The helper is not started if there is only one CPU, if the cache cannot be written, or if the kernel is in the
    cache already. It ends with the `with`.

    Parameters
    ----------
    dtype : dtype
        dtype to compile the kernel for.
    """
    if get_num_threads() == 1 or not sys.executable or _may_be_cached() or not _can_be_cached():
        yield
        return
    # With a session of its own for the helper, Ctrl-C reaches the main process only.
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
        helper.kill()  # leaves no damaged file: cache files are written under another name and then renamed
        helper.communicate()


def compile_kernel(dtype: np.dtype[np.floating]) -> None:
    """Compile `KERNEL`, or load it if it is in the cache already."""
    from fastfnn_kernels.jitted.dense_cross_entropy import _propagate

    _propagate.compile(dtype, parallel=True)


def _compile_what_follows(dtype: np.dtype[np.floating]) -> None:
    """Compile the first layer's weight gradient, dense or, like its forward product, packed and kept."""
    from fastfnn_kernels.jitted import dense, sparse
    from fastfnn_kernels.jitted._products.weight_gradient import add_products

    products = ((dense._multiply, add_products), (sparse._multiply, sparse._add_columns))
    for forward, gradient in products:
        if dtype in forward.parallel:
            gradient.parallel[dtype]  # the lookup compiles it


def _may_be_cached() -> bool:
    """Return whether the cache contains the kernel for any dtype, from an earlier training run."""
    return any(cache_folder().glob(f"{KERNEL}-*.nbc"))


def _can_be_cached() -> bool:
    try:
        make_cache_folder()
    except OSError:
        return False
    return os.access(cache_folder(), os.W_OK)


if __name__ == "__main__":
    compile_kernel(np.dtype(sys.argv[1]))
