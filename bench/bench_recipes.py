"""An epoch of each published training, against its page's algorithm in plain float64 NumPy."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import published_recipes as published
import pytest
from backend_operations import epochs, run_epoch
from contenders import NUMBA, NUMPY, PUBLISHED, contenders
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TRAINING_TOLERANCE, assert_changed_alike

from fastfnn.datasets import Labelled
from fastfnn.execution.options import Options
from fastfnn.recipes import RECIPES
from fastfnn.recipes.settings import Settings, make_optimizer

# Samples of an epoch, fewer than the page's where one sample is a step: a few seconds of NumPy.
SAMPLES = {"layers-adam": 50_000, "sigmoid-sgd": 3_000, "spiral": None, "digits": None}
EPOCHS = {"layers-adam": 1, "sigmoid-sgd": 1, "spiral": 20, "digits": 20}


@contenders(NUMBA, NUMPY, PUBLISHED)
@pytest.mark.parametrize("name", SAMPLES)
def bench_recipe(measure: Measure, name: str, contender: str) -> None:
    train, settings = data_of(name)
    trainer = Published(name) if contender == PUBLISHED else Backend(name, contender)

    def check(_: Any) -> None:
        expected, start = first_round(name)
        assert_changed_alike(trainer.parameters(), expected, start, TRAINING_TOLERANCE)

    widths = "-".join(map(str, (train.X.shape[1], *settings.hidden, 1 + train.y.max())))
    n_samples = len(train.X) * EPOCHS[name]
    case = f"{name}, {widths}, {len(train.X):,} samples, {EPOCHS[name]} epochs"
    dtype = "float64" if contender == PUBLISHED else "float32"
    measure(Work("recipe", case, dtype, samples=n_samples, headline=f"recipe {name}"), contender, trainer.run, check)


@functools.lru_cache(maxsize=1)
def data_of(name: str) -> tuple[Labelled, Settings]:
    """Return what is trained on, the samples in a fixed order, and the author's settings."""
    recipe = RECIPES[name]
    loaded, test = recipe.load_data(recipe.defaults)
    assert loaded.y is not None, f"the samples of {name} have labels"
    train, _ = recipe.hold_out(Labelled(loaded.X, loaded.y), test)
    return Labelled(train.X[: SAMPLES[name]], train.y[: SAMPLES[name]]), recipe.defaults


def scale_of(train: Labelled, settings: Settings) -> float:
    """Return the factor of the samples."""
    if train.X.dtype != np.uint8:
        return 1.0
    return 1 / 255 if settings.input_scale is None else settings.input_scale


class Backend:
    """The recipe on one of the package's backends, in float32."""

    def __init__(self, name: str, backend: str, dtype: str = "float32") -> None:
        train, defaults = data_of(name)
        settings = dataclasses.replace(defaults, backend=backend, dtype=dtype)
        n_inputs, n_classes = train.X.shape[1], int(train.y.max()) + 1
        self._network = RECIPES[name].build_network(settings, n_inputs, n_classes, scale_of(train, settings))
        n_shared = len(train.X) if settings.l2_per_sample else 1
        options = Options(
            batch_size=settings.batch_size,
            shuffle=False,
            drop_last=settings.drop_last,
            l2=settings.l2 / n_shared,
            l2_bias=settings.l2_bias / n_shared,
        )
        optimizer = make_optimizer(settings, RECIPES[name].optimizers)
        self._epochs = epochs(self._network, train.X, train.y, optimizer, options)
        self._n_epochs = EPOCHS[name]

    def run(self) -> None:
        """Train for some epochs."""
        for _ in range(self._n_epochs):
            run_epoch(self._epochs)

    def parameters(self) -> list[NDArray[Any]]:
        """Return weights and bias of each layer."""
        return list(self._network.parameters.values())


class Published:
    """The page's algorithm from the same first values, over the same batches."""

    def __init__(self, name: str) -> None:
        train, settings = data_of(name)
        self._X = np.multiply(train.X, scale_of(train, settings), dtype=np.float64)
        self._name, self._y, self._settings = name, train.y, settings
        first = Backend(name, NUMPY, "float64").parameters()
        self._page = PAGES[name](first, settings)
        self._epochs = EPOCHS[name]

    def run(self) -> None:
        """Train for some epochs."""
        for _ in range(self._epochs):
            for X, y in self._batches():
                self._page.step(X, y)

    def parameters(self) -> list[NDArray[Any]]:
        """Return weights and bias of each layer."""
        if self._name == "spiral":
            return [part for matrix in self._page.parameters for part in (matrix[:-1], matrix[-1])]
        return list(self._page.parameters)

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        size = self._settings.batch_size or len(self._y)
        if size == 1:
            return zip(self._X, self._y, strict=True)
        firsts = range(0, len(self._y), size)
        return ((self._X[first : first + size], self._y[first : first + size]) for first in firsts)


PAGES: dict[str, Callable[[list[NDArray[Any]], Settings], Any]] = {
    "layers-adam": lambda first, settings: published.LayersAdam(first),
    "sigmoid-sgd": lambda first, settings: published.SigmoidSgd(first),
    "spiral": lambda first, settings: published.Spiral(
        [np.vstack([first[i], first[i + 1]]) for i in range(0, len(first), 2)]
    ),
    "digits": lambda first, settings: published.Digits(first, settings.l2, settings.learning_rate),
}


@functools.lru_cache(maxsize=1)
def first_round(name: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return the parameters after the page's first epochs, and those before."""
    page = Published(name)
    before = [parameter.copy() for parameter in page.parameters()]
    page.run()
    return page.parameters(), before
