"""Who takes part: the package's two backends, plain NumPy, and other libraries where they are installed.

A contender is a module, or an object, whose functions carry the names of the operations it can do. Each takes
the operands as NumPy arrays, prepares what its library wants prepared once, and returns a function without
arguments that does the work and returns the result; a trainer for whole trainings. `on_threads` is a context in which
it has so many threads, and `settings` says in words how its library is set.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

NUMBA = "numba"
NUMPY = "numpy"
BARE_NUMPY = "bare-numpy"
PUBLISHED = "published"
TORCH = "torch"
TORCH_COMPILE = "torch-compile"
JAX = "jax"
SCIKIT_LEARN = "scikit-learn"
SCIPY = "scipy"

BACKENDS = (NUMBA, NUMPY)
PEERS = (TORCH, TORCH_COMPILE, JAX, SCIKIT_LEARN, SCIPY)

MODULES = {
    BARE_NUMPY: ("numpy", "bare_numpy"),
    PUBLISHED: ("numpy", "published_numpy"),
    TORCH: ("torch", "peers.pytorch"),
    TORCH_COMPILE: ("torch", "peers.pytorch_compiled"),
    JAX: ("jax", "peers.jax_jit"),
    SCIKIT_LEARN: ("sklearn", "peers.scikit_learn"),
    SCIPY: ("scipy", "peers.scipy_sparse"),
}


def contenders(*names: str) -> pytest.MarkDecorator:
    """Run an entry once for each of `names`, other libraries marked as peers."""
    return pytest.mark.parametrize("contender", [_parameter(name) for name in names])


def operations_of(name: str) -> Any:
    """Return the contender called `name`; skips the entry when its library is not installed."""
    if name in BACKENDS:
        return importlib.import_module("backend_operations").BackendOperations(name)
    library, module = MODULES[name]
    pytest.importorskip(library, reason=f"{library} is not installed")
    return importlib.import_module(module)


def settings() -> dict[str, str]:
    """Return what the libraries that took part were set to, in words, by the contender's name."""
    loaded: dict[str, Any] = {name: sys.modules.get(module) for name, (_, module) in MODULES.items()}
    return {name: module.settings() for name, module in loaded.items() if hasattr(module, "settings")}


def _parameter(name: str) -> Any:
    return pytest.param(name, id=name, marks=[pytest.mark.peer] if name in PEERS else [])
