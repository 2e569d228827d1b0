"""The layers of `layers-sgd`, trained by Adam from more widely spread weights.

The web page that this recipe reproduces calls its initial weights He's, but uses He's variance, 2 / n_inputs, as the
standard deviation. They are drawn here as the page draws them; `fastfnn.initializers.he` is He's own. fastfnn differs
in one point: the page corrects the bias of Adam's running means inside the means themselves, unlike its own formula
and unlike Kingma & Ba (arXiv 1412.6980), whose algorithm runs here.

=====  ==================  =================
epoch  training accuracy   test accuracy
=====  ==================  =================
25     98.1 %              96.7 %
=====  ==================  =================

(the page's algorithm, its own Adam included, in float64 NumPy).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.network import Network
from fastfnn.recipes import layers_sgd
from fastfnn.recipes.settings import Settings

DEFAULTS = dataclasses.replace(layers_sgd.DEFAULTS, recipe="layers-adam", optimizer="adam", learning_rate=1e-3)


def hes_variance_as_deviation(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> NDArray[Any]:
    """Draw from N(0, (2 / n_inputs)**2), as the page does."""
    return 2 / n_inputs * rng.standard_normal((n_inputs, n_outputs))


def build_network(settings: Settings, n_inputs: int, n_classes: int, input_scale: float) -> Network:
    """Build the network with the page's initial weights."""
    layers = layers_sgd.relu_layers(settings, n_inputs, n_classes, hes_variance_as_deviation)
    return Network(layers, settings.backend, settings.dtype, settings.seed, input_scale)


RECIPE = dataclasses.replace(
    layers_sgd.RECIPE, summary="the same layers, trained by Adam", defaults=DEFAULTS, build_network=build_network
)
