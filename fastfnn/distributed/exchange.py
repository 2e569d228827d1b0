"""Adding up vectors of several processes as the tree of shares says, so that all have the same bits.

Recursive halving and doubling is Rabenseifner's algorithm (Thakur, Rabenseifner & Gropp, "Optimization of collective
communication operations in MPICH", 2005, section 4.5), with the nearest processes first: what two processes add at
each distance are siblings in the tree. It needs a number of processes that is a power of two.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from fastfnn_kernels.workspace import Workspace
from numpy.typing import NDArray

from fastfnn.distributed.library import mpi_library
from fastfnn.execution.shares import Node, PartialSums, add_node, nodes_of, shares_of

# Elements of a cache line in float32: vectors are cut at multiples of so many.
STEP = 16


class Exchange:
    """The exchange of one process with the others.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The processes.
    n_shares : int
        Number of shares of all of them.
    """

    def __init__(self, comm: Any, n_shares: int) -> None:
        self._comm = comm
        self._rank, self._size = comm.rank, comm.size
        self._nodes = [nodes_of(shares_of(rank, self._size, n_shares)) for rank in range(self._size)]
        self._workspace = Workspace()

    def add(self, sums: PartialSums) -> None:
        """Add up the sums of all processes; see `Communicator.add`."""
        if self._size & (self._size - 1) == 0:  # then each process has one node
            self._halve_and_double(sums[0][1])
        else:
            self._add_segments(sums)

    def _halve_and_double(self, vector: NDArray[Any]) -> None:
        """Add halves of ever smaller parts with processes ever further away, and collect the parts again."""
        received = self._workspace.array("received", (len(vector) // 2 + STEP,), vector.dtype)
        first, end, distance, parts = 0, len(vector), 1, []
        while distance < self._size:
            middle = first + (end - first) // (2 * STEP) * STEP
            lower, upper = slice(first, middle), slice(middle, end)
            kept, given = (upper, lower) if self._rank & distance else (lower, upper)
            part = vector[kept]
            other = received[: len(part)]
            self._swap(distance, vector[given], other)
            np.add(part, other, out=part)
            parts.append((distance, kept, given))
            first, end, distance = kept.start, kept.stop, 2 * distance
        for distance, kept, given in reversed(parts):
            self._swap(distance, vector[kept], vector[given])

    def _swap(self, distance: int, sent: NDArray[Any], received: NDArray[Any]) -> None:
        other = self._rank ^ distance
        self._comm.Sendrecv(sent, other, recvbuf=received, source=other)

    def _add_segments(self, sums: PartialSums) -> None:
        """Add one segment of all processes' nodes, and collect the segments of the others."""
        total = sums[0][1]
        cuts = [i * (len(total) // STEP) // self._size * STEP for i in range(self._size)] + [len(total)]
        first, end = cuts[self._rank], cuts[self._rank + 1]
        parts = self._received_parts(sums, cuts, end - first)
        parts.update((node, value[first:end]) for node, value in sums)
        added: PartialSums = []
        for node in sorted(parts):
            add_node(added, node, parts[node])
        ((_, segment),) = added
        total[first:end] = segment
        sizes = [b - a for a, b in pairwise(cuts)]
        self._comm.Allgatherv(mpi_library().IN_PLACE, [total, (sizes, cuts[:-1])])

    def _received_parts(self, sums: PartialSums, cuts: list[int], size: int) -> dict[Node, NDArray[Any]]:
        """Send each process its segment of this one's nodes, and return this one's segment of the others' nodes."""
        n_theirs = sum(len(nodes) for rank, nodes in enumerate(self._nodes) if rank != self._rank)
        memory = iter(self._workspace.array("segments", (n_theirs, size), sums[0][1].dtype))
        parts, requests = {}, []
        for distance in range(1, self._size):
            source = (self._rank - distance) % self._size
            for tag, node in enumerate(self._nodes[source]):
                parts[node] = next(memory)
                requests.append(self._comm.Irecv(parts[node], source, tag))
        for distance in range(1, self._size):
            target = (self._rank + distance) % self._size
            for tag, (_, value) in enumerate(sums):
                requests.append(self._comm.Isend(value[cuts[target] : cuts[target + 1]], target, tag))
        for request in requests:
            request.Wait()
        return parts
