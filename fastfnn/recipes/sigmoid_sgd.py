"""One image at a time: 784-H-10 with sigmoid hidden units, 60,000 steps per epoch.

The web page that this recipe reproduces derives the gradient of softmax and cross-entropy twice, through the
softmax's whole Jacobian and in its short form, and trains on MNIST's 60,000 images in their order. Weights start at
N(0, 1). The page does not specify H; here it is 128.

=====  =======  =======  =======  =======  =======  =======  =======  =======  =======  =======
epoch  1        2        3        4        5        6        7        8        9        10
=====  =======  =======  =======  =======  =======  =======  =======  =======  =======  =======
loss   4.694    2.559    2.002    1.715    1.531    1.400    1.300    1.220    1.152    1.095
=====  =======  =======  =======  =======  =======  =======  =======  =======  =======  =======

Published speed: 1,174 samples/s. fastfnn differs only in the random numbers. The loss of an epoch is the mean of each
sample's loss before its step, as on the page.
"""

from __future__ import annotations

from itertools import pairwise

from fastfnn.datasets import Dataset, load_mnist
from fastfnn.initializers import normal
from fastfnn.layers import Dense
from fastfnn.network import Network
from fastfnn.recipes.recipe import Recipe, report_before_updates
from fastfnn.recipes.settings import Settings

DEFAULTS = Settings(
    recipe="sigmoid-sgd",
    iterations=10,
    hidden=(128,),
    optimizer="sgd",
    learning_rate=1e-4,
    l2=0.0,
    seed=0,
    report_every=1,
    batch_size=1,
    shuffle=False,
)


def load_data(settings: Settings) -> tuple[Dataset, Dataset]:
    """Load the 60,000 published training images, and the 10,000 test images."""
    return load_mnist("original")


def build_network(settings: Settings, n_inputs: int, n_classes: int, input_scale: float) -> Network:
    """Build sigmoid layers and a linear output, all weights from N(0, 1)."""
    widths = [n_inputs, *settings.hidden]
    layers = [Dense(before, width, "sigmoid", initializer=normal(1.0)) for before, width in pairwise(widths)]
    layers.append(Dense(widths[-1], n_classes, initializer=normal(1.0)))
    return Network(layers, settings.backend, settings.dtype, settings.seed, input_scale)


RECIPE = Recipe(
    summary="60,000 images one at a time, sigmoid units, plain gradient descent",
    defaults=DEFAULTS,
    load_data=load_data,
    build_network=build_network,
    report=report_before_updates,
)
