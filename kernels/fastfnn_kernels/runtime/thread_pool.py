"""Running a parallel kernel on Numba's threads: which layer starts them, who may enter, what a fork leaves of them.

Of Numba's thread layers TBB is the first choice: threads steal work from each other, may enter from several Python
threads at once and sleep while they wait. With OpenMP every parallel region waits for its slowest thread: on a
machine that is busy otherwise a training takes ten to thirty times as long. Numba's own "workqueue" aborts the
process when two Python threads enter it at once, so that they take turns here. Numba prefers TBB too, but looks for
its library on the system's path alone, where the package `tbb` does not put it.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

from fastfnn_kernels.runtime.thread_count import get_num_threads, use_one_after_fork

LIBRARY_NAMES = ("libtbb.so.12", "tbb12.dll", "libtbb.12.dylib")
TAKES_TURNS = "workqueue"

log = logging.getLogger(__name__)

_turn = threading.RLock()


def load_tbb() -> None:
    """Load the library of the package `tbb`, if that is installed: before Numba chooses its layer."""
    try:
        files = importlib.metadata.files("tbb") or []
        library = next(file for file in files if file.name in LIBRARY_NAMES)
        ctypes.CDLL(os.path.realpath(library.locate()), mode=ctypes.RTLD_GLOBAL)
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError) as error:
        log.info("parallel kernels run without the tbb package: %s", error)


def thread_layer() -> str:
    """Name the layer, whose threads are started if they have not been yet."""
    numba.get_num_threads()
    return str(numba.threading_layer())


def run_parallel(entry: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call a parallel kernel with the threads that this process computes with.

    Numba's own number of threads belongs to the calling Python thread; it is put back for whatever else runs there.
    """
    # `numba.get_num_threads` starts the threads, and takes two locks each time to see whether it has to.
    before = parallel._get_num_threads() if parallel._is_initialized else numba.get_num_threads()
    n_threads = min(get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    if numba.threading_layer() == TAKES_TURNS:
        with _turn:
            return _run_with(n_threads, before, entry, args)
    return _run_with(n_threads, before, entry, args)


def _run_with(n_threads: int, before: int, entry: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    if n_threads == before:
        return entry(*args)
    numba.set_num_threads(n_threads)
    try:
        return entry(*args)
    finally:
        numba.set_num_threads(before)


def _after_fork_in_child() -> None:
    """Leave dead threads alone: OpenMP would end the process, and the others might wait for them."""
    global_compiler_lock.release()
    if parallel._is_initialized:
        use_one_after_fork()


if hasattr(os, "register_at_fork"):
    # Nobody else compiles at the moment of a fork: the child would wait for ever for the end of it.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork_in_child,
    )
load_tbb()
