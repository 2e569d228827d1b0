"""Layers of networks.

Between calls a layer keeps its parameters and their gradient; Dropout also keeps the seed of its last mask. The
network owns the activations between layers, so a batch can run in row blocks.
"""

from fastfnn.layers.activations import ELU, GELU, Activation, Identity, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from fastfnn.layers.dense import Dense
from fastfnn.layers.dropout import Dropout
from fastfnn.layers.layer import Gradient, Layer

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "Dense",
    "Dropout",
    "Gradient",
    "Identity",
    "Layer",
    "LeakyReLU",
    "ReLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
