"""Layers: what a network is made of.

A layer keeps nothing between calls but its parameters and their gradient, and dropout what it dropped last. The
network owns what flows between layers, which is what lets a batch run in tiles of rows.
"""

from collections.abc import Sequence

from fastfnn_kernels.arguments import FUSED_ACTIVATIONS

from fastfnn.layers.activations import ELU, GELU, Activation, Identity, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from fastfnn.layers.dense import Dense
from fastfnn.layers.dropout import Dropout
from fastfnn.layers.layer import Gradient, Layer


def is_fused(layers: Sequence[Layer]) -> bool:
    """Tell whether kernels that compute all layers at once know these: a class derived from Dense may do more."""
    return all(type(layer) is Dense and layer.activation in FUSED_ACTIVATIONS for layer in layers)


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
