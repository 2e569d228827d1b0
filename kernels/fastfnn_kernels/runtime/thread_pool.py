"""Running parallel kernels on Numba's threads: the thread layer, concurrent Python threads, and forks.

TBB is the first choice among Numba's thread layers. Its threads steal work from each other and sleep while they wait,
and several Python threads may run parallel kernels at once. With OpenMP, every parallel region waits for its slowest
thread: on a busy machine, training takes ten to thirty times as long. Numba's own "workqueue" aborts the process if
two Python threads enter it at once, so here they take turns. Numba also prefers TBB, but it only searches the
system's path for the library, and the package `tbb` installs it elsewhere.
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

from fastfnn_kernels.runtime.thread_count import use_one_after_fork

LIBRARY_NAMES = ("libtbb.so.12", "tbb12.dll", "libtbb.12.dylib")
TAKES_TURNS = "workqueue"

log = logging.getLogger(__name__)

_turn = threading.RLock()


def load_tbb() -> None:
    """Load the library of the package `tbb`, if installed, before Numba chooses its thread layer."""
    try:
        files = importlib.metadata.files("tbb") or []
        library = next(file for file in files if file.name in LIBRARY_NAMES)
        ctypes.CDLL(os.path.realpath(library.locate()), mode=ctypes.RTLD_GLOBAL)
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError) as error:
        log.info("parallel kernels run without the tbb package: %s", error)


def thread_layer() -> str:
    """Return the name of the thread layer; this starts its threads if they are not running."""
    numba.get_num_threads()
    return str(numba.threading_layer())


def run_parallel(entry: Callable[..., Any], args: tuple[Any, ...], n_threads: int) -> Any:
    """Call a parallel kernel with a number of threads, at most those that Numba has started.

    Numba keeps a number of threads for each Python thread. It is restored afterwards for other code in that thread.
    """
    # `numba.get_num_threads` starts the threads; every call takes two locks to check whether they are running.
    before = parallel._get_num_threads() if parallel._is_initialized else numba.get_num_threads()
    n_threads = min(n_threads, numba.config.NUMBA_NUM_THREADS)
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
    """Switch to one thread, since a fork copies no threads: OpenMP would abort, other layers might wait forever."""
    global_compiler_lock.release()
    if parallel._is_initialized:
        use_one_after_fork()


if hasattr(os, "register_at_fork"):
    # No other thread may be compiling during a fork: the child would wait forever for it to finish.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork_in_child,
    )
load_tbb()
