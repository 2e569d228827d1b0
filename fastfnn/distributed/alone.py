"""One process that computes what several would."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_count
from fastfnn.execution.shares import PartialSums


class Alone:
    """A communicator of one process; see `alone`."""

    rank, size = 0, 1

    def __init__(self, shares: int) -> None:
        self.n_shares = shares
        self.own = range(shares)

    def rows(self, n_rows: int) -> slice:
        """Return all rows."""
        return slice(0, check_count("n_rows", n_rows))

    def gather(self, table: NDArray[np.float64]) -> None:
        """Do nothing: the table is complete."""

    def gather_texts(self, text: str) -> list[str]:
        """Return the text."""
        return [text]

    def add(self, sums: PartialSums) -> None:
        """Do nothing: the first vector is the sum of all shares."""

    @contextlib.contextmanager
    def first_on_host(self) -> Iterator[None]:
        """Run the `with` block."""
        yield

    def abort(self, message: str) -> None:
        """Do nothing: the exception says what happened."""


def alone(shares: int = 16) -> Alone:
    """Return a communicator of this process alone.

    Training has the same bits as with `mpi(shares=shares)` on any number of processes. It takes a few per cent
    longer than without a communicator, and its bits are others, because gradients are added in another order.

    Parameters
    ----------
    shares : int
        Number of shares, a power of two.

    Raises
    ------
    ValueError
        If it is not.
    """
    return Alone(check_shares(shares))


def check_shares(shares: int, size: int = 1) -> int:
    """Return a number of shares; raise ValueError unless it is a power of two, and enough for `size` processes."""
    shares = check_count("shares", shares)
    if shares & (shares - 1):
        raise ValueError(f"shares must be a power of two, such as 16; got {shares}")
    if shares < size:
        raise ValueError(f"shares must be at least {size}, the number of processes; got {shares}")
    return shares
