"""What is being compiled: for those who wait for it, and for Ctrl-C, which need not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# At level INFO it tells the name of each kernel before it is compiled or loaded, and how long that took.
log = logging.getLogger(__name__)
BEGUN = "preparing %s"
DONE = "%s %s in %.2f s"
OUTCOMES = ("compiled", "loaded from the cache")

_in_progress = threading.local()

# Waits until the kernel of this name is in the cache, where a second process is about to put it there.
_await_second_process: list[Callable[[str], None]] = []


@contextmanager
def announced(kernel: str, dispatcher: Any) -> Iterator[None]:
    """Tell of the compiling, or the loading from the cache, that goes on inside the `with`."""
    log.info(BEGUN, kernel)
    start = time.perf_counter()
    _in_progress.kernel = kernel
    try:
        for await_kernel in _await_second_process:
            await_kernel(kernel)
        yield
    finally:
        _in_progress.kernel = None
    log.info(DONE, OUTCOMES[bool(dispatcher.stats.cache_hits)], kernel, time.perf_counter() - start)


def is_compiling() -> bool:
    """Tell whether this Python thread compiles a kernel, or loads one."""
    return getattr(_in_progress, "kernel", None) is not None


@contextmanager
def awaiting(await_kernel: Callable[[str], None]) -> Iterator[None]:
    """Call a function with the name of each kernel before it is compiled, or loaded, inside the `with`."""
    _await_second_process.append(await_kernel)
    try:
        yield
    finally:
        _await_second_process.remove(await_kernel)
