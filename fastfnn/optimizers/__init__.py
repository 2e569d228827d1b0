"""Optimizers: each keeps its state, and calls update kernels to step all parameters of a network."""

from fastfnn.optimizers.adam import Adam, AdamW
from fastfnn.optimizers.optimizer import Optimizer
from fastfnn.optimizers.rmsprop import RMSprop, TensorStep
from fastfnn.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "TensorStep"]
