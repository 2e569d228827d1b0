"""What is being compiled: for those who wait for it, and for Ctrl-C, which need not."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# At level INFO it tells the name of each kernel before it is compiled or loaded, and how long that took.
log = logging.getLogger(__name__)
BEGUN = "preparing %s"
DONE = "%s %s in %.2f s"
OUTCOMES = ("compiled", "loaded from the cache")

# How llvmlite's functions are called that LLVM calls while it makes machine code.
CALLED_BY_LLVM = "_raw_object_cache_"

_in_progress = threading.local()

# Called with the name of each kernel before it is compiled or loaded: they wait for whoever is at it already.
_waits: list[Callable[[str], None]] = []


@contextmanager
def announced(kernel: str, dispatcher: Any) -> Iterator[None]:
    """Tell of the compiling, or the loading from the cache, that goes on inside the `with`, after all `awaiting`."""
    log.info(BEGUN, kernel)
    start = time.perf_counter()
    waiting = getattr(_in_progress, "kernel", None)  # another one, for which this one's turn has come first
    _in_progress.kernel = kernel
    try:
        for wait_for in _waits:
            wait_for(kernel)
        yield
    finally:
        _in_progress.kernel = waiting
    log.info(DONE, OUTCOMES[bool(dispatcher.stats.cache_hits)], kernel, time.perf_counter() - start)


def is_compiling() -> bool:
    """Tell whether this Python thread compiles a kernel, or loads one."""
    return getattr(_in_progress, "kernel", None) is not None


@contextmanager
def no_lost_interrupt() -> Iterator[None]:
    """Let a Ctrl-C that arrives while LLVM calls Python wait for the end of the `with`.

    ctypes would print the exception and go on, and Python hands most of the signals that arrive while machine code is
    made to the function that LLVM calls next.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    waiting = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if _is_called_by_llvm(frame):
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


def _is_called_by_llvm(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_name.startswith(CALLED_BY_LLVM):
        frame = frame.f_back
    return frame is not None


@contextmanager
def awaiting(wait_for: Callable[[str], None]) -> Iterator[None]:
    """Call a function with the name of each kernel before it is compiled, or loaded, inside the `with`."""
    _waits.append(wait_for)
    try:
        yield
    finally:
        _waits.remove(wait_for)
