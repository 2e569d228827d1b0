"""The state of compilation: log messages for waiting users, and safe handling of Ctrl-C during compilation."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# At level INFO, logs the name of each kernel before it is compiled or loaded, and afterwards the time it took.
log = logging.getLogger(__name__)
BEGUN = "preparing %s"
DONE = "%s %s in %.2f s"
OUTCOMES = ("compiled", "loaded from the cache")

# Beginnings of the names of functions whose exceptions Python prints and drops: those of llvmlite that LLVM calls
# while it generates machine code, and destructors.
DROPPING_EXCEPTIONS = ("_raw_object_cache_", "__del__")

_in_progress = threading.local()

# Callbacks, called with the name of each kernel before it is compiled or loaded. They wait for another process that
# is already compiling the kernel.
_waits: list[Callable[[str], None]] = []


@contextmanager
def announced(kernel: str, dispatcher: Any) -> Iterator[None]:
    """Log the compilation or loading of a kernel inside the `with`; call the callbacks of `awaiting` first."""
    log.info(BEGUN, kernel)
    start = time.perf_counter()
    waiting = getattr(_in_progress, "kernel", None)  # an outer kernel that is waiting for this one
    _in_progress.kernel = kernel
    try:
        for wait_for in _waits:
            wait_for(kernel)
        yield
    finally:
        _in_progress.kernel = waiting
    log.info(DONE, OUTCOMES[bool(dispatcher.stats.cache_hits)], kernel, time.perf_counter() - start)


def is_compiling() -> bool:
    """Return whether this Python thread is compiling or loading a kernel."""
    return getattr(_in_progress, "kernel", None) is not None


@contextmanager
def no_lost_interrupt() -> Iterator[None]:
    """Delay a Ctrl-C that arrives where its exception would be dropped until the end of the `with`.

    Most signals that arrive while machine code is generated are handled in a function that LLVM calls, since that is
    the next one of Python. Destructors are called at any moment.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    waiting = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if _drops_exceptions(frame):
            waiting = True
        else:
            before(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        before(signal.SIGINT, None)


def _drops_exceptions(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_name.startswith(DROPPING_EXCEPTIONS):
        frame = frame.f_back
    return frame is not None


@contextmanager
def awaiting(wait_for: Callable[[str], None]) -> Iterator[None]:
    """Call `wait_for` with the name of each kernel before it is compiled or loaded inside the `with`."""
    _waits.append(wait_for)
    try:
        yield
    finally:
        _waits.remove(wait_for)
