"""Processes that train together agree on errors, on the end of training, and on what they train.

A process on which something fails would leave the others waiting. Here, every exchange of numbers carries flags, so
that all learn of an error, and raise it, at the next exchange.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from fastfnn.execution.communicator import Communicator
from fastfnn.execution.options import check_communicator
from fastfnn.execution.shares import rows_of
from fastfnn.training.interrupt import Interrupt

# Column of flags in the table that processes exchange, behind loss and number of correct samples of each share.
FLAGS = 2

# Flag of a process on which something failed; others follow from 2 up.
FAILED = 1


class ProcessFailedError(RuntimeError):
    """An error on one of the processes; all of them raise it.

    Attributes
    ----------
    everywhere : bool
        Whether all processes failed, each with an error of its own.
    """

    def __init__(self, text: str, everywhere: bool) -> None:
        super().__init__(text)
        self.everywhere = everywhere


class Agreement:
    """Exchanges of small numbers and texts, each with the news whether something failed.

    Parameters
    ----------
    communicator : Communicator
        The processes.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator
        self._own = slice(communicator.own.start, communicator.own.stop)
        self._table = np.zeros((communicator.n_shares, 3))

    def exchange(self, results: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Exchange losses and numbers of correct samples.

        Parameters
        ----------
        results : ndarray of float64, shape (own shares, 2), optional
            Those of this process's shares.

        Returns
        -------
        ndarray of float64, shape (n_shares, 2)
            Those of all shares, valid until the next exchange.

        Raises
        ------
        ProcessFailedError
            If a process failed.
        """
        self._table[self._own, :FLAGS] = 0 if results is None else results
        self._exchange(0, "")
        return self._table[:, :FLAGS]

    def any(self, *facts: bool) -> list[bool]:
        """Return for each fact whether it is true on one of the processes."""
        flags = sum(2 << i for i, fact in enumerate(facts) if fact)
        found = self._exchange(flags, "")
        return [bool(found & (2 << i)) for i in range(len(facts))]

    def gather(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows of all shares, in order; `rows` are those of this process's shares."""
        self._exchange(0, "")
        table = np.zeros((self.communicator.n_shares, rows.shape[1]))
        table[self._own] = rows
        self.communicator.gather(table)
        return table

    def gather_texts(self, text: str) -> list[str]:
        """Return the text of each process, in order."""
        self._exchange(0, "")
        return self.communicator.gather_texts(text)

    def fail(self, error: BaseException) -> None:
        """Tell the other processes of an error; all of them raise it, unless all have failed.

        Raises
        ------
        ProcessFailedError
            If another process did not fail, and the error is an `Exception`.
        """
        communicator, text = self.communicator, f"{type(error).__name__}: {error}"
        try:
            self._exchange(FAILED, f"rank {communicator.rank}: {text}")
        except ProcessFailedError as failed:
            if failed.everywhere or not isinstance(error, Exception):
                return  # each has its own, such as the same wrong argument; Ctrl-C stays Ctrl-C
            raise failed from error

    def _exchange(self, flags: int, failure: str) -> int:
        """Exchange the table, and return the flags of all processes; raise an error if one failed."""
        communicator, table = self.communicator, self._table
        table[self._own, FLAGS] = flags
        communicator.gather(table)
        of_all = table[:, FLAGS].astype(np.int64)
        found = int(np.bitwise_or.reduce(of_all))
        if found & FAILED:
            failures = [text for text in communicator.gather_texts(failure) if text]
            raise ProcessFailedError(failures[0], everywhere=len(failures) == communicator.size)
        return found


def agreement_of(communicator: Communicator | None) -> Agreement | None:
    """Return the agreement of the communicator's processes; raise TypeError for what is none."""
    check_communicator(communicator)
    return None if communicator is None else Agreement(communicator)


@contextmanager
def together(agreement: Agreement | None) -> Iterator[None]:
    """Run the `with` block on all processes: what one of them raises there, all raise, and none goes on before them.

    Without an agreement, there is one process.
    """
    if agreement is None:
        yield
        return
    try:
        yield
        agreement.exchange()
    except ProcessFailedError:
        raise
    except BaseException as error:
        agreement.fail(error)
        raise


def agreed_end(agreement: Agreement, interrupt: Interrupt, stops: bool) -> bool:
    """Return whether training ends on all processes, because one of them stops or has received a signal."""
    any_stops, requested, terminated = agreement.any(stops, interrupt.requested, interrupt.terminated)
    # A signal that arrives here meanwhile ends training after the next step.
    if requested:
        interrupt.requested = True
    if terminated:
        interrupt.terminated = True
    return any_stops or requested


def check_alike(agreement: Agreement, facts: Mapping[str, str]) -> None:
    """Check that facts are the same on all processes.

    Raises
    ------
    ValueError
        If one of them is not: the same text on all processes.
    """
    of_all = [json.loads(text) for text in agreement.gather_texts(json.dumps(facts))]
    for rank, found in enumerate(of_all):
        for name, expected in of_all[0].items():
            if found.get(name) != expected:
                raise ValueError(
                    f"all processes must train alike, but {name} is {expected} on rank 0, and {found.get(name)} on "
                    f"rank {rank}"
                )


def rows_of_all(agreement: Agreement, n_rows: int) -> int:
    """Return the number of samples on all processes.

    Raises
    ------
    ValueError
        If a process does not have its rows of them: the same text on all processes.
    """
    counts = [int(text) for text in agreement.gather_texts(str(n_rows))]
    total, size, n_shares = sum(counts), agreement.communicator.size, agreement.communicator.n_shares
    parts = [rows_of(rank, size, n_shares, total) for rank in range(size)]
    expected = [part.stop - part.start for part in parts]
    if counts != expected:
        raise ValueError(
            f"the processes have {counts} rows, {total:,} in all, and should have {expected}: pass X[group.rows(n)] "
            f"of the n rows of all processes, and y alike"
        )
    return total
