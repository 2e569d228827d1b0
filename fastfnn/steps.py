"""The updates of a training, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.history import Record
from fastfnn.interrupt import Interrupt
from fastfnn.optimizers import Optimizer
from fastfnn.plan import Plan
from fastfnn.propagation import Batch, gathered, in_order
from fastfnn.sgd_steps import SgdSteps
from fastfnn.small_networks import backpropagation
from fastfnn.targets import Targets
from fastfnn.tiles import Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network


@dataclass(frozen=True)
class Step:
    """What a callback sees after each update of the parameters.

    Attributes
    ----------
    number : int
        How many steps the optimizer has taken.
    loss : float
        Mean over the batch before the update, penalty included.
    accuracy : float or None
        Share of the batch that was right before the update; None where there is no right or wrong.
    network : Network
        As it is after the update; `network.layers[i].gradient` is what the update was made by.
    optimizer : Optimizer
        As it is after the update.
    """

    number: int
    loss: float
    accuracy: float | None
    network: Network
    optimizer: Optimizer


StepCallback = Callable[[Step], Any]


class StopTraining(Exception):  # noqa: N818 - it is no error
    """A callback raises this to end the training after the epoch or the step it was shown."""


class _Means:
    """Loss and accuracy of an epoch as far as it has come."""

    def __init__(self) -> None:
        self.n_seen = 0
        self._loss, self._weight, self._n_correct = 0.0, 0.0, 0

    def add(self, loss: float, weight: float, n_correct: int, n_rows: int) -> None:
        """Add the mean loss of some rows, which count for `weight`, and how many of them are right."""
        self._loss, self._weight = self._loss + loss * weight, self._weight + weight
        self._n_correct, self.n_seen = self._n_correct + n_correct, self.n_seen + n_rows

    @property
    def loss(self) -> float:
        return self._loss / self._weight if self._weight else 0.0

    @property
    def accuracy(self) -> float:
        return self._n_correct / self.n_seen


class Steps:
    """The updates of a training, in memory that is taken once.

    Parameters
    ----------
    network : Network
        Is trained.
    tiles : Tiles
        Prepared samples.
    y : Targets
        What the samples should give.
    optimizer : Optimizer
        Changes the parameters.
    plan : Plan
        Batches, penalty, bounds of the gradient, and what is called after each step.

    Attributes
    ----------
    stopped : bool
        Whether a callback ended the training.
    """

    def __init__(self, network: Network, tiles: Tiles, y: Targets, optimizer: Optimizer, plan: Plan) -> None:
        self.stopped = False
        self._network = network
        self._tiles = tiles
        self._y = y
        self._optimizer = optimizer
        batch_size = plan.batching.size
        self._batching = plan.batching
        self._clipping = plan.clipping
        self._callbacks = plan.step_callbacks
        n_rows, is_weighted = min(batch_size or len(y), len(y)), y.weights is not None
        self._backpropagation = backpropagation(network, n_rows, plan.penalty, is_weighted, tiles.is_packed)
        self._is_random = any(layer.is_random for layer in network.layers)
        self._rate_factors = _rate_factors(network)
        self._sgd_steps: SgdSteps | None = None
        plain = not (plan.penalty or plan.clipping or self._rate_factors or is_weighted or plan.step_callbacks)
        if batch_size is not None and plain and SgdSteps.can_take(network, tiles, optimizer, batch_size):
            self._sgd_steps = SgdSteps(network, tiles, y, optimizer, batch_size)

    def epoch(self, interrupt: Interrupt) -> Record:
        """Go through the samples once, or until Ctrl-C is pressed; returns mean loss and accuracy."""
        means = _Means()
        if self._batching.size is None:
            self._step(in_order(self._tiles, self._y), self._y, means)
        else:
            self._mini_batches(self._batching.size, means, interrupt)
        accuracy = {"accuracy": means.accuracy} if self._network.loss.counts_correct else {}
        return {"loss": means.loss, **accuracy}

    def _mini_batches(self, batch_size: int, means: _Means, interrupt: Interrupt) -> None:
        """Go through the samples; the last batch takes what is left, if any is to."""
        order = self._order(len(self._y) // batch_size * batch_size if self._batching.drop_last else len(self._y))
        if self._sgd_steps is not None:
            # The last batch goes through the layers, whose gradient is then that of the last step.
            first_of_last = (len(order) - 1) // batch_size * batch_size
            loss_sum, n_correct, n_seen = self._sgd_steps.take(order[:first_of_last], interrupt)
            means.add(loss_sum / max(n_seen, 1), n_seen, n_correct, n_seen)
        for first in range(means.n_seen, len(order), batch_size):
            if means.n_seen > 0 and (interrupt.requested or self.stopped):
                break
            rows = order[first : first + batch_size]
            targets = self._y.take(rows)
            self._step(gathered(self._tiles, rows, targets), targets, means)

    def _order(self, n_used: int) -> NDArray[np.int64]:
        """Return the rows that an epoch uses, in a new order if that is wanted."""
        n_samples = len(self._y)
        return (self._network.rng.permutation(n_samples) if self._batching.shuffle else np.arange(n_samples))[:n_used]

    def _step(self, batch: Batch, targets: Targets, means: _Means) -> None:
        """Update the parameters once; the loss before it, and the samples that were right, go into the means."""
        network, optimizer, n_rows, weight = self._network, self._optimizer, len(targets), targets.total_weight
        loss, n_correct = self._backpropagation.run(batch, weight, self._seeds())
        gradients = self._backpropagation.gradients
        self._clipping.apply(network.kernels, gradients)
        optimizer.step(network.kernels, self._backpropagation.parameters, gradients, *self._rate_factors)
        means.add(loss, weight, n_correct, n_rows)
        if self._callbacks:
            accuracy = n_correct / n_rows if network.loss.counts_correct else None
            self._call_back(Step(optimizer.n_steps, loss, accuracy, network, optimizer))

    def _call_back(self, step: Step) -> None:
        try:
            for callback in self._callbacks:
                callback(step)
        except StopTraining:
            self.stopped = True

    def _seeds(self) -> list[int] | None:
        """Draw a seed for each layer, if one of them needs it."""
        if not self._is_random:
            return None
        seeds: list[int] = self._network.rng.integers(2**63, size=len(self._network.layers)).tolist()
        return seeds


def _rate_factors(network: Network) -> tuple[list[float], ...]:
    """Return each parameter's factor of the learning rate, as the one further argument of a step; none if all are 1.

    So an optimizer of a user's own need not know them.
    """
    factors = [layer.learning_rate_factor for layer in network.layers for _ in layer.parameters]
    return () if all(factor == 1 for factor in factors) else (factors,)
