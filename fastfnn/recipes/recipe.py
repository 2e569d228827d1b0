"""The contents of a recipe, and the parts that several recipes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from fastfnn.datasets import Dataset, Labelled
from fastfnn.network import Network
from fastfnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from fastfnn.recipes.settings import Settings
from fastfnn.splits import train_test_split
from fastfnn.training.events import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The optimizers that any recipe can be run with; called without arguments, each has its usual settings.
STANDARD: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}


def set_aside(X: Any, y: Any, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split samples at random into a training set and a test set, which gets `share` of them."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=share, seed=seed)
    return Dataset(X_train, y_train), Dataset(X_test, y_test)


def hold_nothing_out(train: Labelled, test: Dataset | None) -> tuple[Labelled, Labelled | None]:
    """Train on all samples, and evaluate on none after each epoch."""
    return train, None


def watch_test(train: Labelled, test: Dataset | None) -> tuple[Labelled, Labelled | None]:
    """Train on all samples, and evaluate on the test samples after each epoch, if they have labels."""
    return train, None if test is None or test.y is None else Labelled(test.X, test.y)


def draw_nothing(network: Network, train: Labelled) -> dict[str, Figure]:
    """Draw only the pictures of every training run."""
    return {}


def report_before_updates(epoch: Epoch) -> dict[str, Any]:
    """Return the epoch's own figures: means over its batches, each before its update, including the penalty."""
    record = epoch.record
    return {"iteration": epoch.number, **{name: value for name, value in record.items() if name != "epoch"}}


def report_after_update(epoch: Epoch) -> dict[str, Any]:
    """Return the current network's loss, without penalty, and accuracy on all training samples."""
    loss, accuracy = epoch.evaluate_training_set()
    return report_before_updates(epoch) | {"loss": loss, "accuracy": accuracy}


@dataclass(frozen=True, eq=False)
class Recipe:
    """A recipe that reproduces a published training run.

    Attributes
    ----------
    summary : str
        Summary in one line.
    defaults : Settings
        The author's settings, each of which can be changed; they also hold the recipe's name.
    load_data : callable
        settings -> (training samples, test samples).
    build_network : callable
        (settings, n_inputs, n_classes, input_scale) -> Network with its initial values.
    report : callable
        `Epoch` -> dict of figures.
    optimizers : mapping
        Optimizers by name; called without arguments, each has its own learning rate.
    hold_out : callable
        (training samples, test samples or None) -> (samples to train on, samples to evaluate after each epoch or
        None).
    grid : mapping
        Values for settings that the user does not give, chosen by the accuracy on held-out samples.
    draw : callable
        (network, training samples) -> further pictures by file name.
    """

    summary: str
    defaults: Settings
    load_data: Callable[[Settings], tuple[Dataset, Dataset]]
    build_network: Callable[[Settings, int, int, float], Network]
    report: Callable[[Epoch], dict[str, Any]]
    optimizers: Mapping[str, Callable[..., Optimizer]] = field(default_factory=lambda: STANDARD)
    hold_out: Callable[[Labelled, Dataset | None], tuple[Labelled, Labelled | None]] = hold_nothing_out
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    draw: Callable[[Network, Labelled], dict[str, Figure]] = draw_nothing

    @property
    def name(self) -> str:
        """Name of the recipe on the command line."""
        return self.defaults.recipe
