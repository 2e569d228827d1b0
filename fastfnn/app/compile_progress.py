"""Report kernels as they are compiled or loaded from the cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastfnn_kernels.runtime import compiling


class KernelWatch(logging.Handler):
    """A log handler that counts the kernels compiled or loaded from the cache.

    Parameters
    ----------
    show : callable
        Called with the name of each kernel before it is prepared.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__()
        self._show = show
        self._start = time.perf_counter()
        self.counts = dict.fromkeys(compiling.OUTCOMES, 0)

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a log record of `fastfnn_kernels.runtime.compiling`."""
        if record.msg == compiling.BEGUN:
            self._show(str(record.args[0]))  # type: ignore[index]
        elif record.msg == compiling.DONE:
            self.counts[str(record.args[0])] += 1  # type: ignore[index]

    def summary(self) -> str:
        """Return the counts and the seconds since the watch began, as text."""
        seconds = time.perf_counter() - self._start
        counts = ", ".join(f"{n} {outcome}" for outcome, n in self.counts.items() if n) or "all there already"
        return f"kernels: {counts}, in {seconds:.1f} s"


@contextmanager
def watched_kernels(show: Callable[[str], object]) -> Iterator[KernelWatch]:
    """Watch kernels while the `with` block runs; `show` is called with the name of each one that is prepared."""
    watch, level = KernelWatch(show), compiling.log.level
    compiling.log.addHandler(watch)
    compiling.log.setLevel(logging.INFO)
    try:
        yield watch
    finally:
        compiling.log.removeHandler(watch)
        compiling.log.setLevel(level)
