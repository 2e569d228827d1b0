"""scikit-learn's 8x8 digits: sigmoid layers whose widths and penalty are chosen on a validation set.

A sigmoid follows every linear layer, the last one too, and the softmax takes its outputs. The loss is the mean
cross-entropy plus lambda / (2 N) times the sum of squared weights: `l2` is lambda, and `l2_per_sample` divides it by
N. A third of the samples is the test set. Two fifths of the others are the validation set, on which the widths and
lambda are chosen.

The web page that this recipe reproduces keeps samples in columns, fastfnn in rows. It names neither the grid nor the
optimizer; here Adam takes full-batch steps. A sigmoid before the softmax keeps every probability of ten classes below
e / (e + 9) = 23 %, so the loss cannot fall below 1.46.
"""

from __future__ import annotations

from itertools import pairwise

from fastfnn.datasets import Dataset, Labelled, load_digits
from fastfnn.initializers import glorot
from fastfnn.layers import Dense
from fastfnn.network import Network
from fastfnn.recipes.recipe import Recipe, report_after_update, set_aside
from fastfnn.recipes.settings import Settings
from fastfnn.splits import train_test_split

DEFAULTS = Settings(
    recipe="digits",
    iterations=500,
    hidden=(64, 32),
    optimizer="adam",
    learning_rate=1e-2,
    l2=0.1,
    l2_per_sample=True,
    seed=0,
    report_every=100,
    input_scale=1.0,
)

GRID = {"hidden": ((32, 16), (64, 32), (128, 64)), "l2": (0.0, 0.1, 1.0)}

TEST_SHARE, TEST_SEED = 1 / 3, 111
VALIDATION_SHARE, VALIDATION_SEED = 0.4, 123


def load_data(settings: Settings) -> tuple[Dataset, Dataset]:
    """Load the digits, and set a third aside for the test."""
    digits = load_digits()
    return set_aside(digits.X, digits.y, TEST_SHARE, TEST_SEED)


def hold_out(train: Labelled, test: Dataset | None) -> tuple[Labelled, Labelled]:
    """Set two fifths of the samples aside for validation."""
    X, X_held_out, y, y_held_out = train_test_split(
        train.X, train.y, test_size=VALIDATION_SHARE, seed=VALIDATION_SEED
    )
    return Labelled(X, y), Labelled(X_held_out, y_held_out)


def build_network(settings: Settings, n_inputs: int, n_classes: int, input_scale: float) -> Network:
    """Build sigmoid layers with uniformly drawn weights (Glorot & Bengio) and biases of zero."""
    widths = [n_inputs, *settings.hidden, n_classes]
    layers = [Dense(before, width, activation="sigmoid", initializer=glorot) for before, width in pairwise(widths)]
    return Network(layers, settings.backend, settings.dtype, settings.seed, input_scale)


RECIPE = Recipe(
    summary="8x8 digits, sigmoid layers whose widths and penalty are chosen on a validation set",
    defaults=DEFAULTS,
    load_data=load_data,
    build_network=build_network,
    report=report_after_update,
    hold_out=hold_out,
    grid=GRID,
)
