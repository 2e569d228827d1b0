"""Feed-forward networks trained on the CPU: plain NumPy as the specification, Numba kernels as the product."""

from fastfnn import datasets, initializers
from fastfnn.backends import get_backend
from fastfnn.history import History
from fastfnn.layers import Dense, Gradient, Identity, Layer, ReLU, Sigmoid, Tanh
from fastfnn.losses import softmax_cross_entropy
from fastfnn.network import Network
from fastfnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from fastfnn.training import Epoch, StopTraining

__version__ = "0.1.0"

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
    "datasets",
    "get_backend",
    "initializers",
    "softmax_cross_entropy",
]
