"""The training loop: epochs, batches, validation, callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.history import History, Record
from fastfnn.interrupt import Interrupt, postponed_interrupt
from fastfnn.optimizers import Optimizer
from fastfnn.plan import Plan
from fastfnn.propagation import Backpropagation, Batch, gathered, in_order
from fastfnn.schedules import scheduled_rate
from fastfnn.sgd_steps import SgdSteps
from fastfnn.tiles import Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network


@dataclass(frozen=True)
class Epoch:
    """What a callback sees after each epoch.

    Attributes
    ----------
    number : int
        From 1 on.
    n_epochs : int
        How many the training was asked for.
    record : dict
        The epoch's line of the history; a callback may add to it.
    network : Network
        As it is after the epoch.
    optimizer : Optimizer
        As it is after the epoch.
    history : History
        Of all epochs so far, this one included.
    """

    number: int
    n_epochs: int
    record: Record
    network: Network
    optimizer: Optimizer
    history: History
    _training: Tiles
    _labels: NDArray[np.int64]

    def evaluate_training_set(self) -> tuple[float, float]:
        """Compute loss, without penalty, and accuracy on the training set as the network stands now."""
        return self.network.evaluate_tiles(self._training, self._labels)


Callback = Callable[[Epoch], Any]


class StopTraining(Exception):  # noqa: N818 - it is no error
    """A callback raises this to end the training after the epoch it was shown."""


class Steps:
    """The updates of a training, in memory that is taken once.

    Parameters
    ----------
    network : Network
        Is trained.
    tiles : Tiles
        Prepared samples.
    y : ndarray of int64, shape (n_samples,)
        Labels.
    optimizer : Optimizer
        Changes the parameters.
    plan : Plan
        Batches, penalty and bounds of the gradient.
    """

    def __init__(
        self,
        network: Network,
        tiles: Tiles,
        y: NDArray[np.int64],
        optimizer: Optimizer,
        plan: Plan,
    ) -> None:
        self._network = network
        self._tiles = tiles
        self._y = y
        self._optimizer = optimizer
        batch_size = plan.batching.size
        self._batching = plan.batching
        self._clipping = plan.clipping
        self._backpropagation = Backpropagation(network, min(batch_size or len(y), len(y)), plan.penalty)
        self._parameters = list(network.parameters.values())
        self._gradients = self._backpropagation.gradients
        self._rate_factors = _rate_factors(network)
        self._sgd_steps: SgdSteps | None = None
        plain = not (plan.penalty or plan.clipping or self._rate_factors)
        if batch_size is not None and plain and SgdSteps.can_take(network, tiles, optimizer, batch_size):
            self._sgd_steps = SgdSteps(network, tiles, y, optimizer, batch_size)

    def epoch(self, interrupt: Interrupt) -> Record:
        """Go through the samples once, or until Ctrl-C is pressed; returns mean loss and accuracy."""
        if self._batching.size is None:
            loss, n_correct = self._step(in_order(self._tiles, self._y), len(self._y))
            return {"loss": loss, "accuracy": n_correct / len(self._y)}
        return self._mini_batches(self._batching.size, interrupt)

    def _mini_batches(self, batch_size: int, interrupt: Interrupt) -> Record:
        """Go through the samples; the last batch takes what is left, if any is to."""
        order = self._order(len(self._y) // batch_size * batch_size if self._batching.drop_last else len(self._y))
        total_loss, n_correct, n_seen = 0.0, 0, 0
        if self._sgd_steps is not None:
            # The last batch goes through the layers, whose gradient is then that of the last step.
            first_of_last = (len(order) - 1) // batch_size * batch_size
            total_loss, n_correct, n_seen = self._sgd_steps.take(order[:first_of_last], interrupt)
        for first in range(n_seen, len(order), batch_size):
            if interrupt.requested and n_seen > 0:
                break
            rows = order[first : first + batch_size]
            loss, correct = self._step(gathered(self._tiles, self._y, rows), len(rows))
            total_loss, n_correct, n_seen = total_loss + loss * len(rows), n_correct + correct, n_seen + len(rows)
        return {"loss": total_loss / n_seen, "accuracy": n_correct / n_seen}

    def _order(self, n_used: int) -> NDArray[np.int64]:
        """Return the rows that an epoch uses, in a new order if that is wanted."""
        n_samples = len(self._y)
        return (self._network.rng.permutation(n_samples) if self._batching.shuffle else np.arange(n_samples))[:n_used]

    def _step(self, batch: Batch, n_samples: int) -> tuple[float, int]:
        """Update the parameters once; returns the loss before it, and the samples classified right."""
        result = self._backpropagation.run(batch, n_samples)
        self._clipping.apply(self._network.kernels, self._gradients)
        self._optimizer.step(self._network.kernels, self._parameters, self._gradients, *self._rate_factors)
        return result


def _rate_factors(network: Network) -> tuple[list[float], ...]:
    """Return each parameter's factor of the learning rate, as the one further argument of a step; none if all are 1.

    So an optimizer of a user's own need not know them.
    """
    factors = [layer.learning_rate_factor for layer in network.layers for _ in layer.parameters]
    return () if all(factor == 1 for factor in factors) else (factors,)


def fit(
    network: Network,
    tiles: Tiles,
    y: NDArray[np.int64],
    optimizer: Optimizer,
    plan: Plan,
    held_out: tuple[Tiles, NDArray[np.int64]] | None,
    history: History,
) -> History:
    """Train `network`; the arguments were checked, and the samples prepared, by `Network.fit`."""
    start = time.perf_counter() - (history.records[-1]["seconds"] if history.records else 0)
    with postponed_interrupt() as interrupt:
        try:
            steps = Steps(network, tiles, y, optimizer, plan)
            for number in range(len(history) + 1, plan.epochs + 1):
                if plan.schedule is not None:
                    optimizer.learning_rate = scheduled_rate(plan.schedule, number, history)
                record = {"epoch": number, **steps.epoch(interrupt), "seconds": time.perf_counter() - start}
                if plan.schedule is not None:
                    record["learning_rate"] = optimizer.learning_rate
                if held_out is not None:
                    record["validation_loss"], record["validation_accuracy"] = network.evaluate_tiles(*held_out)
                history.records.append(record)
                epoch = Epoch(number, plan.epochs, record, network, optimizer, history, tiles, y)
                for callback in plan.callbacks:
                    callback(epoch)
                if interrupt.requested:
                    break
        except StopTraining:
            pass
        except KeyboardInterrupt:
            interrupt.requested = True
    history.interrupted = interrupt.requested
    return history
