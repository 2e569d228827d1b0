"""Full batch, 42,000 digits, RMSprop with one running mean per tensor.

The web page that this recipe reproduces was written for Kaggle's digit recogniser: 784-256-10, relu with bias and a
linear output layer without bias, softmax cross-entropy with a penalty on the weights, 2,000 steps on all 42,000 rows
of `train.csv` at once. Here the data are MNIST's first 42,000 images unless Kaggle's own files are given; the other
28,000 are the test set.

=========  ============  ==========  ==========  ==========
iteration  published                 here, in float64
---------  ------------------------  ----------------------
           loss          accuracy    loss        accuracy
=========  ============  ==========  ==========  ==========
1          7.3264114     37.3524 %   7.36675463  36.5857 %
501        0.077221224   97.8333 %   0.08920340  97.4286 %
1001       0.053528417   98.5405 %
1501       0.025509637   99.4524 %   0.06193980  98.2024 %
2000       0.027968823   99.3476 %   0.02485842  99.4762 %
=========  ============  ==========  ==========  ==========

Published time: 35 min 24 s. After some hundred steps the path depends on rounding: results of any two orders of
summation drift apart, and only the magnitude of the last figures can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from fastfnn.datasets import Dataset, load_mnist
from fastfnn.initializers import zeros
from fastfnn.layers import Dense
from fastfnn.network import Network
from fastfnn.optimizers import Optimizer, RMSprop
from fastfnn.recipes.recipe import STANDARD, Recipe, report_after_update
from fastfnn.recipes.settings import Settings
from fastfnn.training.events import Epoch

DEFAULTS = Settings(
    recipe="kaggle-rmsprop",
    iterations=2000,
    hidden=(256,),
    optimizer="rmsprop-tensor",
    learning_rate=0.5,
    l2=1e-6,
    seed=1127,
    report_every=500,
)

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "rmsprop-tensor": partial(
        RMSprop, learning_rate=0.5, rho=0.99, epsilon=1e-3, granularity="tensor", initial=1.0, reset_every=500
    ),
    **STANDARD,
}

WEIGHT_DEVIATION = 0.1


def load_data(settings: Settings) -> tuple[Dataset, Dataset]:
    """Load 42,000 digits to train on, and 28,000 to test."""
    return load_mnist("kaggle")


def build_network(settings: Settings, n_inputs: int, n_classes: int, input_scale: float) -> Network:
    """Build relu layers with bias and an output layer without, with the author's initial values."""
    widths = [n_inputs, *settings.hidden]
    layers = [Dense(before, width, activation="relu", initializer=zeros) for before, width in pairwise(widths)]
    layers.append(Dense(widths[-1], n_classes, use_bias=False, initializer=zeros))
    network = Network(layers, settings.backend, settings.dtype, settings.seed, input_scale)
    draw_first_values(layers, settings.seed)
    return network


def draw_first_values(layers: Sequence[Dense], seed: int) -> None:
    """Draw all weights in order, then all biases, with the generator and in the order of the author's page."""
    random = np.random.RandomState(seed)
    for layer in layers:
        layer.weights[...] = WEIGHT_DEVIATION * random.randn(*layer.weights.shape)
    for layer in layers:
        if layer.bias is not None:
            layer.bias[...] = random.randn(*layer.bias.shape)


def report(epoch: Epoch) -> dict[str, Any]:
    """Return loss without penalty and accuracy after the update, and the figures of its step for each tensor."""
    return report_after_update(epoch) | step_figures(epoch.network, epoch.optimizer)


def step_figures(network: Network, optimizer: Optimizer) -> dict[str, dict[str, dict[str, float]]]:
    """Return g, effective step and gradient norm of the last step, as `steps`, tensor by tensor.

    They exist only for the recipe's own optimizer; with any other, the result is empty.
    """
    if not (isinstance(optimizer, RMSprop) and optimizer.granularity == "tensor"):
        return {}
    steps = {
        name: {"g": step.mean_square, "effective_step": step.effective_step, "gradient_norm": step.gradient_norm}
        for name, step in zip(network.parameters, optimizer.last_steps, strict=True)
    }
    return {"steps": steps}


RECIPE = Recipe(
    summary="full batch on 42,000 digits, RMSprop with one mean a tensor",
    defaults=DEFAULTS,
    load_data=load_data,
    build_network=build_network,
    report=report,
    optimizers=OPTIMIZERS,
)
