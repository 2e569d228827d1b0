"""How many threads a run computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited_threads(n_threads: int | None, backend: str) -> Iterator[None]:
    """Compute with `n_threads` threads inside the `with`; with all there are when None.

    Parameters
    ----------
    n_threads : int, optional
        From 1 up.
    backend : {"numba", "numpy"}
        Whose threads: Numba's own, or those of NumPy's linear algebra, which threadpoolctl controls.

    Raises
    ------
    ValueError
        If there are fewer threads, or less than one is asked for.
    ImportError
        If threadpoolctl is needed and not installed.
    """
    if n_threads is None:
        yield
        return
    if n_threads < 1:
        raise ValueError(f"threads must be a whole number from 1 up; got {n_threads}")
    limits = {"numba": _numba_threads, "numpy": _numpy_threads}
    with limits[backend](n_threads):
        yield


@contextmanager
def _numba_threads(n_threads: int) -> Iterator[None]:
    import numba

    available = numba.config.NUMBA_NUM_THREADS
    if n_threads > available:
        raise ValueError(
            f"threads must be from 1 to {available}, which this process may use; got {n_threads}: "
            f"ask for fewer, or raise NUMBA_NUM_THREADS"
        )
    before = numba.get_num_threads()
    numba.set_num_threads(n_threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextmanager
def _numpy_threads(n_threads: int) -> Iterator[None]:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        message = 'threads with backend "numpy" need threadpoolctl: pip install threadpoolctl, or leave them out'
        raise ImportError(message) from error
    with threadpool_limits(n_threads, user_api="blas"):
        yield
