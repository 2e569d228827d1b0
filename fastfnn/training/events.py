"""Training events: the epoch or step passed to a callback, and the exception a callback raises to end training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfnn.history import History, Record
from fastfnn.inputs.row_blocks import RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.optimizers import Optimizer

if TYPE_CHECKING:
    from fastfnn.execution.plan import Propagation


class PreparedSet(NamedTuple):
    """Prepared samples, and the way to evaluate a network on them."""

    blocks: RowBlocks
    y: Targets
    propagation: Propagation


@dataclass(frozen=True)
class Epoch:
    """An epoch that has just ended.

    Attributes
    ----------
    number : int
        Number of the epoch, counted from 1.
    n_epochs : int
        Number of epochs of the whole training run.
    record : dict
        The epoch's record in the history; a callback may add to it.
    network : Network
        The network after the epoch.
    optimizer : Optimizer
        The optimizer after the epoch.
    history : History
        Records of all epochs so far, this one included.
    """

    number: int
    n_epochs: int
    record: Record
    network: Any  # a fastfnn.Network, whose module imports this one
    optimizer: Optimizer
    history: History
    _training: PreparedSet

    def evaluate_training_set(self) -> tuple[float, float]:
        """Compute the loss, without penalty, and the accuracy of the current network on the training set."""
        from fastfnn.execution.prediction import evaluate  # `import fastfnn` does without it

        training = self._training
        return evaluate(self.network, training.blocks, training.y, training.propagation)


@dataclass(frozen=True)
class Step:
    """An update of the parameters that has just been made.

    Attributes
    ----------
    number : int
        Number of steps that the optimizer has taken.
    loss : float
        Mean loss of the batch before the update, including the penalty.
    accuracy : float or None
        Share of the batch classified correctly before the update; None for losses without right and wrong.
    network : Network
        The network after the update. If the callback has an attribute `reads_gradients` that is true,
        `network.layers[i].gradient` is the gradient of the update. Otherwise, a kernel of plain SGD may take the step
        without storing gradients; they are None then.
    optimizer : Optimizer
        The optimizer after the update.
    """

    number: int
    loss: float
    accuracy: float | None
    network: Any  # a fastfnn.Network
    optimizer: Optimizer


class StopTraining(Exception):  # noqa: N818 - it is not an error
    """Raised by a callback to end training after the current epoch or step."""


Callback = Callable[[Epoch], Any]

StepCallback = Callable[[Step], Any]
