"""The start check: processes that train together must have the same network, options and versions."""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any

import numpy as np
from fastfnn_kernels import __version__
from numpy.typing import NDArray

from fastfnn.execution.options import OPTION_NAMES, Options
from fastfnn.history import History
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.targets import Targets
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.training.agreement import Agreement, check_alike


def check_start(
    agreement: Agreement,
    model: Model,
    training: tuple[NDArray[Any] | Csr, Targets],
    optimizer: Optimizer,
    options: Options,
    history: History,
) -> None:
    """Check that all processes start the same training run.

    Raises
    ------
    ValueError
        If they do not: the same text on all processes.
    """
    facts = facts_of_model(model) | facts_of_samples(training) | facts_of_optimizer(optimizer)
    facts |= {
        name: _described(getattr(options, name))
        for name in sorted(OPTION_NAMES - {"callbacks", "step_callbacks", "communicator"})
    }
    check_alike(agreement, facts | {"the number of finished epochs": str(len(history))})


def facts_of_model(model: Model) -> dict[str, str]:
    """Describe a network, and what its bits depend on besides."""
    facts = {
        "the version of fastfnn": __version__,
        "the version of NumPy": np.__version__,
        "the backend": model.backend,
        "the architecture": json.dumps(model.architecture, sort_keys=True),
        "the SHA-256 of the parameters": _digest(list(model.parameters.values())),
        "the SHA-256 of the random state": _digest_of_text(repr(model.rng.bit_generator.state)),
        "the CPU's architecture": platform.machine(),
    }
    if model.backend != "numba":
        return facts
    import numba
    from fastfnn_kernels.runtime.cpu import UNIT

    return facts | {"the version of Numba": numba.__version__, "the vector unit": UNIT.name}


def facts_of_samples(samples: tuple[NDArray[Any] | Csr, Targets]) -> dict[str, str]:
    """Describe samples, apart from their rows."""
    X, y = samples
    return {
        "the type of X": f"{'a sparse' if isinstance(X, Csr) else 'an'} array of {X.dtype}",
        "sample_weight": "None" if y.weights is None else "given",
    }


def facts_of_optimizer(optimizer: Optimizer) -> dict[str, str]:
    """Describe an optimizer and its state."""
    state = {name: [_described(value) for value in values] for name, values in optimizer.state.items()}
    described = {"learning_rate": optimizer.learning_rate, **optimizer.options, "n_steps": optimizer.n_steps}
    name = f"{type(optimizer).__name__}: {described}"
    return {"the optimizer": name, "the SHA-256 of its state": _digest_of_text(state)}


def _described(value: Any) -> str:
    """Describe an option or a part of a state; of objects, only the class, since their numbers may differ."""
    if isinstance(value, np.ndarray):
        return _digest([value])
    if isinstance(value, (list, tuple)):
        return str([_described(item) for item in value])
    return repr(value) if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__


def _digest_of_text(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _digest(arrays: list[NDArray[Any]]) -> str:
    """Return the beginning of the SHA-256 of arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()[:16]
