"""Training events: what is passed to callbacks, how they are called, and the exception they raise to end training.

A callback is any callable. If its class has a method `start` or `finish`, it is called with the `Training` before the
first step and after the last one. If its class has an attribute `reads_record` that is true, it is called after the
others, which may add figures to the record of an epoch. If it has an attribute `writes_files` that is true, only the
first of several processes that train together calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastfnn.history import History, Record
from fastfnn.optimizers import Optimizer

if TYPE_CHECKING:
    from fastfnn.training.prepared import PreparedSet, SharedSet


@dataclass(eq=False)
class Training:
    """A training run, passed to `start` and `finish` of its callbacks.

    Attributes
    ----------
    network : Network
        The network.
    optimizer : Optimizer
        The optimizer.
    history : History
        Records of all epochs so far; when training is resumed, those of earlier runs from the start.
    n_epochs : int
        Number of epochs of the whole training run.
    error : BaseException or None
        The exception that ended training, if there was one: the last step may be half done. A `StopTraining`, or
        Ctrl-C that was postponed to the end of a step, is none.
    """

    network: Any  # a fastfnn.Network, whose module imports this one
    optimizer: Optimizer
    history: History
    n_epochs: int
    error: BaseException | None = None
    _last: dict[str, NDArray[Any]] | None = field(default=None, init=False)

    @property
    def is_restored(self) -> bool:
        """Whether `restore` has replaced the network's parameters."""
        return self._last is not None

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """The network's parameters after the last step, even if `restore` has replaced them."""
        parameters: dict[str, NDArray[Any]] = self.network.parameters
        return parameters if self._last is None else self._last

    def restore(self, parameters: dict[str, NDArray[Any]]) -> None:
        """Replace the network's parameters by others, such as those of its best epoch.

        A checkpoint still holds those after the last step, which fit the optimizer's state.
        """
        current = self.network.parameters
        if self._last is None:
            self._last = {name: array.copy() for name, array in current.items()}
        for name, array in parameters.items():
            current[name][...] = array


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
    _training: PreparedSet | SharedSet

    def evaluate_training_set(self) -> tuple[float, float]:
        """Compute the loss, without penalty, and the accuracy of the current network on the training set."""
        return self._training.evaluate(self.network)


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


def reads_record(callback: Callable[..., Any]) -> bool:
    """Tell whether a callback's class says that it reads the record: it is called after those that may add to it."""
    return bool(getattr(type(callback), "reads_record", False))


def writes_files(callback: Callable[..., Any]) -> bool:
    """Tell whether a callback's class says that it writes files: only the first of several processes calls it."""
    return bool(getattr(type(callback), "writes_files", False))


def tell(callbacks: Iterable[Callable[..., Any]], event: Epoch | Step) -> bool:
    """Call every callback with an event; return whether one of them ended training."""
    stopped = False
    for callback in callbacks:
        try:
            callback(event)
        except StopTraining:
            stopped = True
    return stopped


def start(callback: Callable[..., Any], training: Training) -> None:
    """Call a callback's `start`, if its class has one."""
    if callable(getattr(type(callback), "start", None)):
        callback.start(training)  # type: ignore[attr-defined]


def start_all(callbacks: Iterable[Callable[..., Any]], training: Training, started: list[Callable[..., Any]]) -> None:
    """Start each callback once, and add it to those that were started."""
    for callback in callbacks:
        if not any(callback is other for other in started):
            start(callback, training)
            started.append(callback)


def finish_all(callbacks: Sequence[Callable[..., Any]], training: Training) -> None:
    """Call the `finish` of those whose class has one, in order, even if one of them raises."""
    with ExitStack() as stack:
        for callback in reversed(callbacks):
            if callable(getattr(type(callback), "finish", None)):
                stack.callback(callback.finish, training)


Callback = Callable[[Epoch], Any]

StepCallback = Callable[[Step], Any]
