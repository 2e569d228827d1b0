"""Trainings with Adam in mini-batches: samples, networks and numbers that every contender shares."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from main_job import N_CLASSES, N_HIDDEN, N_INPUTS, Samples, mnist
from numpy.typing import NDArray

LEARNING_RATE = 1e-3
BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-8
SEED = 1

TABLE_ROWS = 100_000
WIDTHS = {"mnist": (N_INPUTS, N_HIDDEN, N_CLASSES), "table": (54, 100, 7)}


@dataclass(frozen=True, eq=False)
class AdamJob:
    """A training of a network with one hidden layer of relu, and cross-entropy as its loss.

    Attributes
    ----------
    samples : Samples
        Training data, whole batches only.
    dtype : str
        Of the parameters and of the computation.
    batch_size : int
        Samples of a step.
    widths : tuple of int
        Inputs, hidden units and classes.
    """

    samples: Samples
    dtype: str
    batch_size: int
    widths: tuple[int, int, int]

    @property
    def n_samples(self) -> int:
        """Samples of an epoch."""
        return len(self.samples.y)

    @property
    def flop(self) -> float:
        """Operations of an epoch's dense products: two with the inputs, three with the output weights."""
        n_inputs, n_hidden, n_classes = self.widths
        return 2.0 * self.n_samples * n_hidden * (2 * n_inputs + 3 * n_classes)

    @functools.cached_property
    def x(self) -> NDArray[Any]:
        """The inputs as floats, which all contenders share that take them so."""
        return self.samples.floats(self.dtype)

    def first(self, n_batches: int) -> AdamJob:
        """Return the training on the first batches alone."""
        return dataclasses.replace(self, samples=self.samples.first(n_batches * self.batch_size))

    def initial_parameters(self) -> list[NDArray[Any]]:
        """Draw hidden weights, hidden bias, output weights and output bias."""
        rng = np.random.default_rng(SEED)
        n_inputs, n_hidden, n_classes = self.widths
        shapes = [(n_inputs, n_hidden), (n_hidden,), (n_hidden, n_classes), (n_classes,)]
        return [(0.1 * rng.standard_normal(shape)).astype(self.dtype) for shape in shapes]


class Orders:
    """The samples of each epoch's batches, in the order that `Network.fit` draws.

    Parameters
    ----------
    job : AdamJob
        The training.
    """

    def __init__(self, job: AdamJob) -> None:
        self._n_samples, self._batch_size = job.n_samples, job.batch_size
        self._rng = np.random.default_rng(SEED)

    def draw(self) -> NDArray[np.int64]:
        """Draw the next epoch's samples, one row for each batch."""
        return self._rng.permutation(self._n_samples).reshape(-1, self._batch_size)


def adam_job(data: str, dtype: str, batch_size: int) -> AdamJob:
    """Return the training on the whole batches of `data`, a key of `WIDTHS`."""
    samples = mnist() if data == "mnist" else _table_samples(dtype)
    whole = AdamJob(samples, dtype, batch_size, WIDTHS[data])
    return whole.first(whole.n_samples // batch_size)


@functools.cache
def table() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw a table of the shape of Covertype: 54 columns, and 7 classes that a linear rule tells apart."""
    rng = np.random.default_rng(SEED)
    n_columns, _, n_classes = WIDTHS["table"]
    X = rng.standard_normal((TABLE_ROWS, n_columns))
    return X, (X @ rng.standard_normal((n_columns, n_classes))).argmax(axis=1)


def _table_samples(dtype: str) -> Samples:
    """Return the table in the dtype of the computation."""
    X, y = table()
    return Samples("table", X.astype(dtype, copy=False), y, scale=1.0)
