"""Feed-forward networks trained on the CPU, on plain NumPy or on multithreaded Numba kernels."""

import importlib
from typing import TYPE_CHECKING, Any

from fastfnn_kernels import __version__
from fastfnn_kernels.runtime import get_num_threads, set_num_threads, threads

from fastfnn import initializers, losses
from fastfnn._warnings import TrainingWarning
from fastfnn.backends import get_backend
from fastfnn.history import History
from fastfnn.layers import (
    ELU,
    GELU,
    Dense,
    Dropout,
    Gradient,
    Identity,
    Layer,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
)
from fastfnn.losses import softmax_cross_entropy
from fastfnn.network import Network
from fastfnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from fastfnn.training.events import Epoch, Step, StopTraining, Training

if TYPE_CHECKING:
    from fastfnn import datasets, distributed

__all__ = [
    "ELU",
    "GELU",
    "SGD",
    "Adam",
    "AdamW",
    "Dense",
    "Dropout",
    "Epoch",
    "Gradient",
    "History",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Network",
    "Optimizer",
    "RMSprop",
    "ReLU",
    "Sigmoid",
    "Softplus",
    "Step",
    "StopTraining",
    "Tanh",
    "Training",
    "TrainingWarning",
    "__version__",
    "datasets",
    "distributed",
    "get_backend",
    "get_num_threads",
    "initializers",
    "losses",
    "set_num_threads",
    "softmax_cross_entropy",
    "threads",
]


def __getattr__(name: str) -> Any:
    """Import `datasets` and `distributed` on first use: many programs do without them."""
    if name in ("datasets", "distributed"):
        return importlib.import_module(f"fastfnn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
