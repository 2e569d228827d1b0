"""Environment variables that the kernels cannot work with; they are refused when the kernels are imported."""

from __future__ import annotations

from numba.core import config

from fastfnn_kernels.runtime.cpu_count import asked_threads, most_threads

THREAD_LAYERS = ("default", "safe", "threadsafe", "forksafe", "tbb", "omp", "workqueue")


def check_environment() -> None:
    """Refuse settings that no kernel could run with.

    Raises
    ------
    ImportError
        If Numba's compiler is turned off.
    ValueError
        If a number of threads or the thread layer is not valid.
    """
    if config.DISABLE_JIT:
        raise ImportError(
            'backend "numba" needs Numba\'s compiler, which NUMBA_DISABLE_JIT turns off: unset it, or choose '
            'backend="numpy"'
        )
    layer = str(config.THREADING_LAYER).lower()
    if layer not in THREAD_LAYERS:
        raise ValueError(f"NUMBA_THREADING_LAYER must be one of {', '.join(THREAD_LAYERS)}; got {layer!r}")
    asked_threads()
    most_threads()
