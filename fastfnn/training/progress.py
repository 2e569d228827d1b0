"""Progress of an epoch: the order of its samples, how many were used, and the sums over them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastfnn.history import Record, Sums, Unfinished


class Order(Protocol):
    """The order of an epoch's samples in mini-batches."""

    @property
    def digest(self) -> str:
        """SHA-256 of the order."""
        ...

    def __len__(self) -> int: ...


class RowOrder:
    """The order of samples that one process has.

    Attributes
    ----------
    rows : ndarray of int64
        Indices of the samples.
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def digest(self) -> str:
        """SHA-256 of the order."""
        return hashlib.sha256(self.rows.astype("<i8", copy=False).data).hexdigest()


# The order of a full batch, which takes all samples in their own.
NO_ORDER = RowOrder(np.arange(0))


class Progress:
    """The samples of an epoch in order, and the sums over those whose steps were taken.

    Parameters
    ----------
    epoch : int
        Number of the epoch.
    batch_size : int or None
        Number of samples per update; all of them when None.
    n_samples : int
        Number of samples.
    order : Order
        Order of the samples that mini-batches use; without mini-batches, it is empty and all are used in their own.
    random : dict
        State of the random generator before it drew the order.
    """

    def __init__(
        self,
        epoch: int,
        batch_size: int | None,
        n_samples: int,
        order: Order,
        random: Mapping[str, Any],
    ) -> None:
        self.epoch = epoch
        self.order = order
        self.total, self.call = Sums(), Sums()
        self._n_samples = n_samples if batch_size is None else len(order)
        self._batch_size = batch_size
        self._random = random

    @property
    def n_used(self) -> int:
        """Number of samples whose steps were taken."""
        return self.total.n_rows + self.call.n_rows

    @property
    def is_complete(self) -> bool:
        """Whether all steps were taken."""
        return self.n_used == self._n_samples

    @property
    def batch(self) -> int:
        """Number of the last batch, counted from 1."""
        return 1 if self._batch_size is None else -(-self.n_used // self._batch_size)

    def finish_call(self) -> None:
        """Add the sums over a call of many steps to the total."""
        self.total, self.call = self.total.plus(self.call), Sums()

    def record(self, counts_correct: bool) -> Record:
        """Return the mean loss and, for losses with right and wrong, the accuracy."""
        sums = self.total.plus(self.call)
        return {"loss": sums.mean_loss} | ({"accuracy": sums.accuracy} if counts_correct else {})

    def unfinished(self, seconds: float) -> Unfinished:
        """Return what is needed to continue the epoch."""
        assert self._batch_size is not None, "a full batch is one step"
        sums = self.total, self.call
        return Unfinished(self.epoch, self._batch_size, self.order.digest, self._random, *sums, seconds)


def continued(unfinished: Unfinished, n_samples: int, order: Order) -> Progress:
    """Return the progress of an epoch that was not finished; `order` was drawn again."""
    progress = Progress(unfinished.epoch, unfinished.batch_size, n_samples, order, unfinished.random)
    progress.total, progress.call = copy.copy(unfinished.total), copy.copy(unfinished.call)
    return progress


def random_at(state: Mapping[str, Any]) -> np.random.Generator:
    """Return a random generator in a given state."""
    generator = getattr(np.random, state["bit_generator"])(0)
    generator.state = copy.deepcopy(state)
    return np.random.Generator(generator)
