"""Shares of samples, and the order in which their gradients are added.

Samples are divided into shares by their number alone, and a process computes some of them, one after another. The
shares are the leaves of a complete binary tree, in which sums of siblings are added. Results therefore do not depend
on the number of processes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Node(NamedTuple):
    """A node of the tree: the sum of 2**level shares, beginning with `first`, which is a multiple of that number."""

    first: int
    level: int

    @property
    def end(self) -> int:
        """The share after the last."""
        return self.first + (1 << self.level)

    def parent_with(self, right: Node) -> Node | None:
        """Return the parent if `right` is the right sibling of this node, else None."""
        are_siblings = self.level == right.level and right.first == self.end and self.first % (2 << self.level) == 0
        return Node(self.first, self.level + 1) if are_siblings else None


# Nodes that wait for their siblings, and their sums.
PartialSums = list[tuple[Node, NDArray[Any]]]


def add_node(sums: PartialSums, node: Node, value: NDArray[Any]) -> None:
    """Append a node to those in `sums`; while it is a right sibling, its sum is added to that of the left one."""
    while sums and (parent := sums[-1][0].parent_with(node)) is not None:
        _, left = sums.pop()
        np.add(left, value, out=left)
        node, value = parent, left
    sums.append((node, value))


def nodes_of(shares: range) -> list[Node]:
    """Return the largest nodes of the tree that lie within consecutive shares, in order."""
    nodes, first = [], shares.start
    while first < shares.stop:
        level = (shares.stop - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        nodes.append(Node(first, level))
        first = nodes[-1].end
    return nodes


def shares_of(rank: int, size: int, n_shares: int) -> range:
    """Return the shares that one of `size` processes computes."""
    first, end = ((2 * i * n_shares + size) // (2 * size) for i in (rank, rank + 1))
    return range(first, end)


def bounds_of(n_rows: int, n_shares: int) -> list[int]:
    """Return the first row of each share, and the end of the last."""
    return [share * n_rows // n_shares for share in range(n_shares + 1)]


def rows_of(rank: int, size: int, n_shares: int, n_rows: int) -> slice:
    """Return the rows that belong to the shares of one of `size` processes."""
    shares, bounds = shares_of(rank, size, n_shares), bounds_of(n_rows, n_shares)
    return slice(bounds[shares.start], bounds[shares.stop])


class BatchesOfShares:
    """How the mini-batches of an epoch are divided among shares, each of which has an order of its own.

    Rows are dealt to batches in turn, a row of each share; the last turn is for those shares that have a row more. A
    batch therefore has nearly as many rows of each share, and exactly `batch_size` in all.

    Parameters
    ----------
    n_rows : int
        Number of samples.
    n_shares : int
        Number of shares.
    """

    def __init__(self, n_rows: int, n_shares: int) -> None:
        sizes = np.diff(bounds_of(n_rows, n_shares))
        self._shares = np.arange(n_shares)
        self._n_dealt = n_rows // n_shares * n_shares
        has_more = sizes > n_rows // n_shares
        self._place_of_last = np.where(has_more, np.cumsum(has_more) - 1, n_rows)

    def taken(self, n_rows: int) -> NDArray[np.int64]:
        """Return how many rows of each share are among the first `n_rows` of an epoch."""
        in_turns = min(n_rows, self._n_dealt)
        left = n_rows - in_turns
        taken: NDArray[np.int64] = -(-(in_turns - self._shares) // len(self._shares)) + (self._place_of_last < left)
        return taken
