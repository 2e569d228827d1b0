"""Feed-forward networks trained on the CPU: plain NumPy as the specification, Numba kernels as the product."""

from typing import TYPE_CHECKING, Any

from fastfnn_kernels import __version__
from fastfnn_kernels.runtime import get_num_threads, set_num_threads, threads

from fastfnn import initializers
from fastfnn.backends import get_backend
from fastfnn.history import History
from fastfnn.layers import Dense, Gradient, Identity, Layer, ReLU, Sigmoid, Tanh
from fastfnn.losses import softmax_cross_entropy
from fastfnn.network import Network
from fastfnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from fastfnn.training import Epoch, StopTraining

if TYPE_CHECKING:
    from fastfnn import datasets

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Dense",
    "Epoch",
    "Gradient",
    "History",
    "Identity",
    "Layer",
    "Network",
    "Optimizer",
    "RMSprop",
    "ReLU",
    "Sigmoid",
    "StopTraining",
    "Tanh",
    "__version__",
    "datasets",
    "get_backend",
    "get_num_threads",
    "initializers",
    "set_num_threads",
    "softmax_cross_entropy",
    "threads",
]


def __getattr__(name: str) -> Any:
    """Import the readers of data when they are first asked for: many a program brings data of its own."""
    if name == "datasets":
        import fastfnn.datasets

        return fastfnn.datasets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
