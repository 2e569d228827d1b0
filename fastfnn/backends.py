"""Backends: the modules of kernels that a network can run on."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from fastfnn_kernels.protocol import Kernels
from fastfnn_kernels.runtime.garbage import collected_later
from fastfnn_kernels.runtime.thread_count import limit_linear_algebra

from fastfnn._checks import check_choice

MODULES = {"numba": "fastfnn_kernels.jitted", "numpy": "fastfnn_kernels.reference"}


def get_backend(name: str) -> Kernels:
    """Return the module of kernels called `name`.

    Parameters
    ----------
    name : {"numba", "numpy"}
        The multithreaded kernels, or the plain NumPy reference they are tested against.

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
    check_choice("backend", name, MODULES)
    if name == "numpy":
        limit_linear_algebra()
    try:
        with collected_later():
            return cast("Kernels", importlib.import_module(MODULES[name]))
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
        message = 'backend "numba" needs Numba: pip install numba, or choose backend="numpy"'
        raise ImportError(message) from error


def compiled_beside(dtype: np.dtype[Any]) -> AbstractContextManager[None]:
    """Compile some of the Numba backend's kernels in a second process while the `with` block runs."""
    from fastfnn_kernels import compile_ahead  # imports Numba

    return compile_ahead.compiled_beside(dtype)
