"""The seam: which module of kernels a network runs on."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import numpy as np
from fastfnn_kernels.runtime.garbage import collected_later
from fastfnn_kernels.runtime.thread_count import limit_linear_algebra

MODULES = {"numba": "fastfnn_kernels.jitted", "numpy": "fastfnn_kernels.reference"}


def get_backend(name: str) -> ModuleType:
    """Return the module of kernels called `name`.

    Parameters
    ----------
    name : {"numba", "numpy"}
        The multithreaded kernels, or the plain NumPy they are checked against.

    Returns
    -------
    module
        `fastfnn_kernels.jitted` or `fastfnn_kernels.reference`.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    ImportError
        If Numba is not installed and `name` is "numba".
    """
    if name not in MODULES:
        raise ValueError(f"backend must be one of {', '.join(MODULES)}; got {name!r}")
    if name == "numpy":
        limit_linear_algebra()
    try:
        with collected_later():
            return importlib.import_module(MODULES[name])
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
        message = 'backend "numba" needs Numba: pip install numba, or choose backend="numpy"'
        raise ImportError(message) from error


def compiled_beside(dtype: np.dtype[Any]) -> AbstractContextManager[None]:
    """Let a second process compile some of the Numba backend's kernels while the `with` needs others."""
    from fastfnn_kernels import compile_ahead  # it imports Numba

    return compile_ahead.compiled_beside(dtype)
