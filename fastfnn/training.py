"""The training loop: epochs, validation, callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastfnn.csr import Csr
from fastfnn.history import History, Record
from fastfnn.interrupt import postponed_interrupt
from fastfnn.optimizers import Optimizer
from fastfnn.plan import Plan
from fastfnn.preparation import prepare, prepare_to_keep
from fastfnn.schedules import scheduled_rate
from fastfnn.steps import Steps, StopTraining
from fastfnn.targets import Targets
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
    _targets: Targets

    def evaluate_training_set(self) -> tuple[float, float]:
        """Compute loss, without penalty, and accuracy on the training set as the network stands now."""
        return self.network.evaluate_tiles(self._training, self._targets)


Callback = Callable[[Epoch], Any]


def _evaluated(network: Network, tiles: Tiles, y: Targets) -> Record:
    loss, accuracy = network.evaluate_tiles(tiles, y)
    return {"validation_loss": loss} | ({"validation_accuracy": accuracy} if network.loss.counts_correct else {})


def fit(
    network: Network,
    X: NDArray[Any] | Csr,
    y: Targets,
    optimizer: Optimizer,
    plan: Plan,
    validation: tuple[NDArray[Any] | Csr, Targets] | None,
    input_format: str,
    history: History | None,
) -> History:
    """Train `network`; the arguments are those of `Network.fit`, which checked them."""
    tiles = (prepare_to_keep if plan.batching.size is None else prepare)(network, X, input_format)
    held_out = None
    if validation is not None:
        held_out = prepare_to_keep(network, validation[0], input_format), validation[1]
    history = History() if history is None else history
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
                    record |= _evaluated(network, *held_out)
                history.records.append(record)
                epoch = Epoch(number, plan.epochs, record, network, optimizer, history, tiles, y)
                for callback in plan.callbacks:
                    callback(epoch)
                if interrupt.requested or steps.stopped:
                    break
        except StopTraining:
            pass
        except KeyboardInterrupt:
            interrupt.requested = True
    history.interrupted = interrupt.requested
    return history
