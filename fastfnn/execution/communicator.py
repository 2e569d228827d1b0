"""The interface of a communicator, which connects processes that train one network together."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastfnn.execution.shares import PartialSums


@runtime_checkable
class Communicator(Protocol):
    """Processes that train one network together; see `fastfnn.distributed`.

    Every process must call `gather`, `gather_texts` and `add` as often as the others, in the same order.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    n_shares : int
        Number of shares, a power of two.
    own : range
        Shares of this process.
    """

    rank: int
    size: int
    n_shares: int
    own: range

    def rows(self, n_rows: int) -> slice:
        """Return the rows of this process, of `n_rows` in all."""
        ...

    def gather(self, table: NDArray[np.float64]) -> None:
        """Let every process have all rows of a table, one row for each share; each has filled in those of its own."""
        ...

    def gather_texts(self, text: str) -> list[str]:
        """Return the text of each process, in order."""
        ...

    def add(self, sums: PartialSums) -> None:
        """Add up the sums of all processes, as the tree of shares says, into the first vector.

        Parameters
        ----------
        sums : list of (Node, vector)
            Sums of this process's shares: the largest nodes of the tree, in order.
        """
        ...

    def first_on_host(self) -> AbstractContextManager[None]:
        """Let one process of each host run the `with` block first, and then the others; it compiles for them."""
        ...

    def abort(self, message: str) -> None:
        """End all processes; do nothing if there is one, whose exception says what happened."""
        ...
