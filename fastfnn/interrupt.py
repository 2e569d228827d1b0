"""Ctrl-C during a training."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Interrupt]:
    """Let the first Ctrl-C wait for the end of a step, so that no update is left half done.

    It does not wait for a kernel to be compiled, which may take longer than many steps.
    """
    from fastfnn_kernels.runtime.compiling import is_compiling  # it brings the logging that an import can do without

    interrupt = Interrupt()
    ours = threading.current_thread() is threading.main_thread()
    if not (ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield interrupt
        return

    def postpone(number: int, frame: FrameType | None) -> None:
        if interrupt.requested or is_compiling():
            signal.default_int_handler(number, frame)
        interrupt.requested = True

    signal.signal(signal.SIGINT, postpone)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
