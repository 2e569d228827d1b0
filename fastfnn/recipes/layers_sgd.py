"""Layers written from scratch: 784-100-200-10 on raw pixels, mini-batches of 5,000, plain gradient descent.

The web page that this recipe reproduces builds a network of layer objects, relu after each but the last, and a stable
softmax cross-entropy, and trains it for 25 epochs on three quarters of MNIST's 70,000 images, whose pixels stay 0 to
255. The samples are shuffled for each epoch, and its last batch is dropped if it is incomplete. Weights start at
N(0, 0.01**2).

=====  ==================  =================
epoch  training accuracy   test accuracy
=====  ==================  =================
25     86.6 %              86.3 %
=====  ==================  =================

(the page's algorithm in float64 NumPy). fastfnn differs from it only in the random numbers.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastfnn.datasets import Dataset, load_mnist
from fastfnn.initializers import Initializer, normal
from fastfnn.layers import Dense
from fastfnn.network import Network
from fastfnn.recipes.recipe import Recipe, report_after_update, set_aside, watch_test
from fastfnn.recipes.settings import Settings

DEFAULTS = Settings(
    recipe="layers-sgd",
    iterations=25,
    hidden=(100, 200),
    optimizer="sgd",
    learning_rate=1e-3,
    l2=0.0,
    seed=0,
    report_every=1,
    batch_size=5_000,
    drop_last=True,
    input_scale=1.0,
)

TEST_SHARE = 0.25
WEIGHT_DEVIATION = 1e-2


def load_data(settings: Settings) -> tuple[Dataset, Dataset]:
    """Load all 70,000 digits, and set a quarter aside for the test."""
    first, last = load_mnist("original")
    X, y = np.concatenate([first.X, last.X]), np.concatenate([first.y, last.y])
    return set_aside(X, y, TEST_SHARE, settings.seed)


def relu_layers(settings: Settings, n_inputs: int, n_classes: int, initializer: Initializer) -> list[Dense]:
    """Make relu layers and a linear output, all with biases that start at zero."""
    widths = [n_inputs, *settings.hidden]
    layers = [Dense(before, width, activation="relu", initializer=initializer) for before, width in pairwise(widths)]
    return [*layers, Dense(widths[-1], n_classes, initializer=initializer)]


def build_network(settings: Settings, n_inputs: int, n_classes: int, input_scale: float) -> Network:
    """Build the network with small normal weights."""
    layers = relu_layers(settings, n_inputs, n_classes, normal(WEIGHT_DEVIATION))
    return Network(layers, settings.backend, settings.dtype, settings.seed, input_scale)


RECIPE = Recipe(
    summary="mini-batches of 5,000 raw images through relu layers, plain gradient descent",
    defaults=DEFAULTS,
    load_data=load_data,
    build_network=build_network,
    report=report_after_update,
    hold_out=watch_test,
)
