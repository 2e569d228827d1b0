"""Processes that MPI connects."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from fastfnn_kernels.runtime import get_num_threads, set_num_threads
from numpy.typing import NDArray

from fastfnn._checks import check_count, check_optional_positive
from fastfnn.distributed.alone import check_shares
from fastfnn.distributed.exchange import Exchange
from fastfnn.distributed.library import mpi_library
from fastfnn.distributed.watchdog import Watchdog
from fastfnn.execution.shares import PartialSums, rows_of, shares_of

FAILED = 1


class Mpi:
    """A communicator of processes that MPI connects; see `mpi`."""

    def __init__(self, comm: Any, shares: int, timeout: float | None) -> None:
        self._comm = comm
        self.rank: int = comm.rank
        self.size: int = comm.size
        self.n_shares = shares
        self._shares = [shares_of(rank, self.size, shares) for rank in range(self.size)]
        self.own = self._shares[self.rank]
        self._host = comm.Split_type(mpi_library().COMM_TYPE_SHARED)
        self._exchange = Exchange(comm, shares)
        self._watchdog = None if timeout is None else Watchdog(timeout, self.rank)

    def rows(self, n_rows: int) -> slice:
        """Return the rows of this process, of `n_rows` in all."""
        return rows_of(self.rank, self.size, self.n_shares, check_count("n_rows", n_rows))

    def gather(self, table: NDArray[np.float64]) -> None:
        """Let every process have all rows of a table; see `Communicator.gather`."""
        width = table.shape[1]
        sizes, starts = zip(*((len(own) * width, own.start * width) for own in self._shares), strict=True)
        with self._watched():
            self._comm.Allgatherv(mpi_library().IN_PLACE, [table, sizes, starts, mpi_library().DOUBLE])

    def gather_texts(self, text: str) -> list[str]:
        """Return the text of each process, in order."""
        with self._watched():
            texts: list[str] = self._comm.allgather(text)
        return texts

    def scatter(self, array: NDArray[Any] | None) -> NDArray[Any]:
        """Return this process's rows of an array that the first process has; the others pass None."""
        with self._watched():
            shape, dtype = self._comm.bcast(None if array is None else (array.shape, array.dtype))
            if array is None:
                rows = self.rows(shape[0])
                own: NDArray[Any] = np.empty((rows.stop - rows.start, *shape[1:]), dtype)
                self._comm.Recv(own.view(np.uint8), source=0)
                return own
            for rank in range(1, self.size):
                rows = rows_of(rank, self.size, self.n_shares, len(array))
                self._comm.Send(np.ascontiguousarray(array[rows]).view(np.uint8), dest=rank)
            return array[self.rows(len(array))].copy()

    def add(self, sums: PartialSums) -> None:
        """Add up the sums of all processes; see `Communicator.add`."""
        with self._watched():
            self._exchange.add(sums)

    @contextlib.contextmanager
    def first_on_host(self) -> Iterator[None]:
        """Let one process of each host run the `with` block before the others."""
        waits = self._host.rank != 0
        if waits:
            self._host.Barrier()
        try:
            yield
        finally:
            if not waits:
                self._host.Barrier()

    def abort(self, message: str) -> None:
        """End all processes."""
        sys.stderr.write(f"rank {self.rank}: {message}\n")
        sys.stderr.flush()
        self._comm.Abort(FAILED)

    def _watched(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._watchdog is None else self._watchdog.watching()


def mpi(comm: Any = None, shares: int = 16, timeout: float | None = None) -> Mpi:
    """Return a communicator of the processes that a launcher of MPI, such as mpiexec or srun, has started.

    All of them call this. The CPUs of a host are divided among its processes: each gets as many threads as there are
    CPUs for it, or FASTFNN_NUM_THREADS.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        The processes; all of them when None. Exchanges use a duplicate of it.
    shares : int
        Number of shares into which samples are divided, a power of two and at least the number of processes.
        Results depend on it, and not on the number of processes.
    timeout : float, optional
        Seconds after which a process ends that waits for another one. Compiling kernels takes up to half a minute,
        for which others wait. When None, they wait as long as MPI does.

    Raises
    ------
    ImportError
        If mpi4py or MPI is not installed.
    ValueError
        If an argument is out of range.
    """
    timeout = check_optional_positive("timeout", timeout)
    comm = (mpi_library().COMM_WORLD if comm is None else comm).Dup()
    group = Mpi(comm, check_shares(shares, comm.size), timeout)
    _divide_threads(group._host)
    return group


def _divide_threads(host: Any) -> None:
    """Divide the CPUs of a host among its processes; those on which others may run, too, count for all of them."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    n_sharing = sum(not cpus.isdisjoint(others) for others in host.allgather(cpus))
    set_num_threads(max(1, min(get_num_threads(), len(cpus) // n_sharing)))
