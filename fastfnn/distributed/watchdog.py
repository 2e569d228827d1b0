"""A thread that ends this process when an exchange with others takes too long.

A host that drops off the network leaves MPI waiting for ten minutes or for ever, in machine code that no exception
reaches.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

# Exit status of a process that the watchdog ended: that of `timeout` in GNU coreutils.
TIMED_OUT = 124


class Watchdog:
    """Watches the exchanges of one process.

    Parameters
    ----------
    timeout : float
        Seconds that an exchange may take.
    rank : int
        Number of this process.
    """

    def __init__(self, timeout: float, rank: int) -> None:
        self._timeout = timeout
        self._rank = rank
        self._begun: float | None = None
        threading.Thread(target=self._watch, name="fastfnn watchdog", daemon=True).start()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the exchange in the `with` block."""
        self._begun = time.monotonic()
        try:
            yield
        finally:
            self._begun = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._timeout / 4))
            begun = self._begun
            if begun is not None and time.monotonic() - begun > self._timeout:
                self._end()

    def _end(self) -> None:
        message = (
            f"rank {self._rank}: another process has not answered for {self._timeout:g} seconds, so this one ends: "
            f"start again from the last checkpoint, with any number of processes\n"
        )
        sys.stderr.write(message)
        sys.stderr.flush()
        os._exit(TIMED_OUT)
