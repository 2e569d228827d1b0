"""The number of threads of this process: one setting for all kernels and for NumPy's linear algebra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastfnn_kernels.runtime.cpu_count import Limit, most_threads, usable_cpus

ADVICE_AFTER_FORK = (
    "this process was forked from one whose threads had been started, and threads do not survive a fork: it computes "
    'with one. Start processes with the method "spawn" or "forkserver" to use more'
)


class _Setting:
    """The number of threads and its reason (None until first needed), and whether a fork stopped the threads."""

    def __init__(self) -> None:
        self.limit: Limit | None = None
        self.forked = False


_setting = _Setting()


def get_num_threads() -> int:
    """Return the number of threads that the kernels may use in this process.

    Returns
    -------
    int
        The number given to `set_num_threads`. By default, the smallest of three numbers: the CPUs that the process
        may run on, the CPU quota of its control group and the environment variable FASTFNN_NUM_THREADS. Small work
        uses fewer threads.

    Raises
    ------
    ValueError
        If FASTFNN_NUM_THREADS is not a whole number from 1 up.
    """
    return current_limit().n_threads


def current_limit() -> Limit:
    """Return the number of threads and the reason for it."""
    limit = _setting.limit
    if limit is None:
        limit = _setting.limit = usable_cpus()
    return limit


def set_num_threads(n_threads: int) -> None:
    """Compute with `n_threads` threads from now on, in all Python threads of this process.

    The same number applies to NumPy's linear algebra, which the NumPy backend uses.

    Parameters
    ----------
    n_threads : int
        At least 1, and at most the number of CPUs that this process may run on, or the environment variable
        NUMBA_NUM_THREADS if it was set when the process started.

    Raises
    ------
    TypeError, ValueError
        If `n_threads` is not such a number.
    RuntimeError
        If `n_threads` is more than 1 in a process that was forked from one whose threads had started.
    """
    check_num_threads(n_threads)
    _setting.limit = Limit(int(n_threads), "set_num_threads")
    _linear_algebra().limit(limits=int(n_threads))


@contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Compute with `n_threads` threads inside the `with`, in all Python threads of this process.

    Parameters
    ----------
    n_threads : int
        As for `set_num_threads`.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in `set_num_threads`.
    """
    check_num_threads(n_threads)
    before = _setting.limit
    with _linear_algebra().limit(limits=int(n_threads)):
        _setting.limit = Limit(int(n_threads), "threads")
        try:
            yield
        finally:
            _setting.limit = before


def check_num_threads(n_threads: int) -> None:
    """Raise the errors of `set_num_threads`."""
    if isinstance(n_threads, bool) or not hasattr(n_threads, "__index__"):
        raise TypeError(f"threads must be a whole number from 1 up; got {n_threads!r}")
    most = most_threads()
    if n_threads < 1:
        raise ValueError(f"threads must be a whole number from 1 up; got {n_threads}")
    if n_threads > 1 and _setting.forked:
        raise RuntimeError(f"{n_threads} threads cannot be had: {ADVICE_AFTER_FORK}")
    if n_threads > most:
        raise ValueError(
            f"threads must be from 1 to {most}, which this process may use; got {n_threads}: ask for fewer, or start "
            "the process with NUMBA_NUM_THREADS set to as many"
        )


def limit_linear_algebra() -> None:
    """Limit NumPy's linear algebra to the number of threads set here; leave it if it uses fewer already."""
    n_threads = get_num_threads()
    libraries = _linear_algebra()
    if any(library["num_threads"] > n_threads for library in libraries.info()):
        libraries.limit(limits=n_threads)


def use_one_after_fork() -> None:
    """Switch to one thread in a forked process, in which the threads no longer exist."""
    _setting.forked = True
    _setting.limit = Limit(1, "a fork, which threads do not survive")


def _linear_algebra() -> Any:
    """Return a controller of the linear algebra libraries that are loaded by now."""
    from threadpoolctl import ThreadpoolController  # importing it takes longer than importing this module

    return ThreadpoolController().select(user_api="blas")
