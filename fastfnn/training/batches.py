"""The batches of a training run: the order of their samples in an epoch, and the gradient of each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastfnn.execution.gradient import LossGradient, loss_gradient
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan
from fastfnn.execution.preparation import gathered, in_order
from fastfnn.inputs.validation import check_rows
from fastfnn.model import Model
from fastfnn.training.prepared import PreparedSet
from fastfnn.training.progress import Order, RowOrder

Seeds = Sequence[int | None] | None


class OfBatch(NamedTuple):
    """The mean loss of a batch, its number of correct samples and of all, and its weight."""

    loss: float
    n_correct: int
    n_rows: int
    weight: float


class Batches(Protocol):
    """The batches of a training run; see `LocalBatches`."""

    @property
    def gradients(self) -> Sequence[NDArray[Any]]:
        """Gradients of all parameters, stored like the parameters."""
        ...

    def order(self, rng: np.random.Generator) -> Order:
        """Draw the order of an epoch's mini-batches."""
        ...

    def whole(self, seeds: Seeds) -> OfBatch:
        """Compute the gradient of all samples; see `LossGradient.run` for the seeds."""
        ...

    def batch(self, order: Order, first: int, end: int, seeds: Seeds) -> OfBatch:
        """Compute the gradient of some samples of an order."""
        ...


class LocalBatches:
    """The batches of samples that one process has.

    Parameters
    ----------
    model : Model
        Network to train.
    samples : PreparedSet
        Samples to train on.
    options : Options
        Batches and penalty.
    plan : ExecutionPlan
        Plan of the training run.
    """

    def __init__(self, model: Model, samples: PreparedSet, options: Options, plan: ExecutionPlan) -> None:
        self._model = model
        self._samples = samples
        self._options = options
        self._plan = plan

    @functools.cached_property
    def _gradient(self) -> LossGradient:
        largest = self._options.largest_batch(len(self._samples.y))
        return loss_gradient(self._model, largest, self._options.penalty, self._plan)

    @property
    def gradients(self) -> Sequence[NDArray[Any]]:
        """Gradients of all parameters, stored like the parameters."""
        return self._gradient.gradients

    def order(self, rng: np.random.Generator) -> RowOrder:
        """Draw the order of an epoch's mini-batches."""
        n_samples, shuffle = len(self._samples.y), self._options.shuffle
        if callable(shuffle):
            rows = check_rows(shuffle(n_samples), n_samples, "the rows that shuffle returns")
            self._options.check_batches(len(rows))
        else:
            rows = rng.permutation(n_samples) if shuffle else np.arange(n_samples)
        return RowOrder(rows[: self._options.rows_of_epoch(len(rows))])

    def whole(self, seeds: Seeds) -> OfBatch:
        """Compute the gradient of all samples."""
        blocks, y = self._samples.blocks, self._samples.y
        weight = y.total_weight
        return OfBatch(*self._gradient.run(in_order(blocks, y), weight, seeds), len(y), weight)

    def batch(self, order: Order, first: int, end: int, seeds: Seeds) -> OfBatch:
        """Compute the gradient of some samples of an order."""
        assert isinstance(order, RowOrder)
        rows = order.rows[first:end]
        targets = self._samples.y.take(rows)
        weight = targets.total_weight
        batch = gathered(self._samples.blocks, rows, targets)
        return OfBatch(*self._gradient.run(batch, weight, seeds), len(rows), weight)
