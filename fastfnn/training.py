"""The training loop: epochs, batches, validation, callbacks."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.history import History, Record
from fastfnn.inputs import DenseTiles, Tiles, packed_or_dense
from fastfnn.optimizers import Optimizer

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
    """

    number: int
    n_epochs: int
    record: Record
    network: Network
    optimizer: Optimizer
    _training: Tiles
    _labels: NDArray[np.int64]

    def evaluate_training_set(self) -> tuple[float, float]:
        """Compute loss, without penalty, and accuracy on the training set as the network stands now."""
        return self.network.evaluate_tiles(self._training, self._labels)


Callback = Callable[[Epoch], Any]


class StopTraining(Exception):  # noqa: N818 - it is no error
    """A callback raises this to end the training after the epoch it was shown."""


class _Interrupt:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextlib.contextmanager
def _postponed_interrupt() -> Iterator[_Interrupt]:
    """Let the first Ctrl-C wait for the end of a step, so that no update is left half done."""
    interrupt = _Interrupt()
    ours = threading.current_thread() is threading.main_thread()
    if not (ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield interrupt
        return

    def postpone(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            signal.default_int_handler(number, frame)
        interrupt.requested = True

    signal.signal(signal.SIGINT, postpone)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def fit(
    network: Network,
    X: NDArray[Any],
    y: NDArray[np.int64],
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None,
    l2: float,
    validation: tuple[NDArray[Any], NDArray[np.int64]] | None,
    callbacks: Sequence[Callback],
) -> History:
    """Train `network`; the arguments were checked by `Network.fit`."""
    history = History()
    # Shuffled batches cannot use what was packed in order.
    training = _prepare(network, X) if batch_size is None else DenseTiles(X, network.dtype, network.input_scale)
    held_out = None if validation is None else (_prepare(network, validation[0]), validation[1])
    start = time.perf_counter()
    with _postponed_interrupt() as interrupt:
        try:
            for number in range(1, epochs + 1):
                if batch_size is None:
                    record = _full_batch(network, training, y, optimizer, l2)
                else:
                    record = _mini_batches(network, X, y, optimizer, l2, batch_size, interrupt)
                record = {"epoch": number, **record, "seconds": time.perf_counter() - start}
                if held_out is not None:
                    record["validation_loss"], record["validation_accuracy"] = network.evaluate_tiles(*held_out)
                history.records.append(record)
                epoch = Epoch(number, epochs, record, network, optimizer, training, y)
                for callback in callbacks:
                    callback(epoch)
                if interrupt.requested:
                    break
        except StopTraining:
            pass
        except KeyboardInterrupt:
            interrupt.requested = True
    history.interrupted = interrupt.requested
    return history


def _prepare(network: Network, X: NDArray[Any]) -> Tiles:
    choose = packed_or_dense if network.layers[0].takes_packed else DenseTiles
    return choose(X, network.dtype, network.input_scale)


def _full_batch(network: Network, training: Tiles, y: NDArray[np.int64], optimizer: Optimizer, l2: float) -> Record:
    loss, n_correct = network.backpropagate(training, y, l2)
    network.update(optimizer)
    return {"loss": loss, "accuracy": n_correct / len(y)}


def _mini_batches(
    network: Network,
    X: NDArray[Any],
    y: NDArray[np.int64],
    optimizer: Optimizer,
    l2: float,
    batch_size: int,
    interrupt: _Interrupt,
) -> Record:
    """Go through the samples once, in a new order; the last batch takes what is left."""
    order = network.rng.permutation(len(y))
    total_loss, n_correct, n_seen = 0.0, 0, 0
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        tiles = DenseTiles(X[rows], network.dtype, network.input_scale)
        loss, correct = network.backpropagate(tiles, y[rows], l2)
        network.update(optimizer)
        total_loss, n_correct, n_seen = total_loss + loss * len(rows), n_correct + correct, n_seen + len(rows)
        if interrupt.requested:
            break
    return {"loss": total_loss / n_seen, "accuracy": n_correct / n_seen}
