"""A second process that compiles some kernels into the cache, while the first compiles others.

Numba compiles one function at a time in a process, however many CPUs there are. What stands here is what every
training needs at the end of its first step, so that it is there when the first process gets to it; where it is not,
that compiles it too. Run as `python -m fastfnn_kernels.compile_ahead DTYPE`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from fastfnn_kernels.runtime import get_num_threads
from fastfnn_kernels.runtime.cache import cache_folder

# Module, name and variant, in the order in which a step gets to them: serial ones are for the last tile of rows.
KERNELS = (
    ("cross_entropy", "_cross_entropy", "parallel"),
    ("cross_entropy", "_count_correct", "parallel"),
    ("_weight_gradient", "add_few_columns", "parallel"),
    ("sparse", "_add_products", "parallel"),
    ("cross_entropy", "_cross_entropy", "serial"),
    ("cross_entropy", "_count_correct", "serial"),
    ("_weight_gradient", "add_products", "parallel"),
    ("updates", "_squared_norms", "serial"),
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
    command = [sys.executable, "-m", "fastfnn_kernels.compile_ahead", np.dtype(dtype).name]
    nowhere = subprocess.DEVNULL
    # In a session of its own Ctrl-C reaches the first process alone.
    helper = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        yield
    finally:
        helper.kill()  # files of the cache are written beside and renamed
        helper.wait()


def compile_kernels(dtype: np.dtype[np.floating]) -> None:
    """Compile `KERNELS`, or load what is in the cache already."""
    from fastfnn_kernels import jitted

    for module, name, variant in KERNELS:
        getattr(getattr(jitted, module), name).compile(dtype, parallel=variant == "parallel")


def _may_be_cached() -> bool:
    """Tell whether a training ran before, for one dtype or another."""
    return any(cache_folder().glob(".".join(KERNELS[0]) + "-*"))


if __name__ == "__main__":
    compile_kernels(np.dtype(sys.argv[1]))
