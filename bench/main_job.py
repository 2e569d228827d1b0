"""The main job's data, network and numbers, which every training and prediction entry shares.

It is the recipe `kaggle-rmsprop`: 42,000 images of MNIST, 784-256-10, the whole batch at once, one running mean
of the squared gradient norm for each tensor.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.datasets import load_mnist

N_ROWS = 42_000
N_INPUTS = 784
N_HIDDEN = 256
N_CLASSES = 10

L2 = 1e-6
LEARNING_RATE = 0.5
DECAY = 0.99
EPSILON = 1e-3
INITIAL_MEAN_SQUARE = 1.0
RESET_EVERY = 500
SEED = 1127

PIXEL_SCALE = 1 / 255


@dataclass(frozen=True, eq=False)
class Samples:
    """Training data.

    Attributes
    ----------
    name : str
        What it is, as the report calls it.
    X : ndarray of uint8 or floats, shape (n_samples, n_inputs)
        As the package takes it.
    y : ndarray of int64, shape (n_samples,)
        Labels.
    scale : float
        Factor of uint8 X.
    """

    name: str
    X: NDArray[Any]
    y: NDArray[np.int64]
    scale: float = PIXEL_SCALE

    def floats(self, dtype: str) -> NDArray[Any]:
        """Return X as floats, as libraries without a scale take it."""
        if self.X.dtype == np.uint8:
            return np.multiply(self.X, np.dtype(dtype).type(self.scale), dtype=dtype)
        return self.X.astype(dtype, copy=False)

    def first(self, n_rows: int) -> Samples:
        """Return the first rows alone."""
        return Samples(f"{self.name}, {n_rows:,} rows", self.X[:n_rows], self.y[:n_rows], self.scale)


@functools.cache
def mnist() -> Samples:
    """Load the images of the main job."""
    train, _ = load_mnist("kaggle")
    if train.y is None:
        raise ValueError("the embedded images have no labels")
    return Samples("MNIST", train.X, train.y)


@functools.cache
def random_dense() -> Samples:
    """Draw data of the main job's shape without a zero."""
    rng = np.random.default_rng(SEED)
    X = rng.random((N_ROWS, N_INPUTS), dtype=np.float32)
    return Samples("dense random", X, rng.integers(0, N_CLASSES, N_ROWS))


@functools.cache
def initial_parameters() -> list[NDArray[np.float64]]:
    """Draw hidden weights, hidden bias and output weights as the recipe says."""
    rng = np.random.RandomState(SEED)
    hidden = 0.1 * rng.randn(N_INPUTS, N_HIDDEN)
    output = 0.1 * rng.randn(N_HIDDEN, N_CLASSES)
    return [hidden, rng.randn(N_HIDDEN), output]


def step_flop(n_rows: int) -> float:
    """Count the operations of one dense step: two products with X, three with the output weights."""
    return 2.0 * n_rows * N_HIDDEN * (2 * N_INPUTS + 3 * N_CLASSES)


def prediction_flop(n_rows: int) -> float:
    """Count the operations of one dense prediction."""
    return 2.0 * n_rows * N_HIDDEN * (N_INPUTS + N_CLASSES)
