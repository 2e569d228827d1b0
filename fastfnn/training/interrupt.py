"""Ctrl-C during training."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """The flag that Ctrl-C was pressed."""

    requested = False


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Interrupt]:
    """Postpone the first Ctrl-C to the end of a step, because an update must not be left half done.

    While a kernel is compiled, Ctrl-C acts at once: compiling may take longer than many steps.
    """
    from fastfnn_kernels.runtime.compiling import (
        is_compiling,  # imports logging, which `import fastfnn` does not need
    )

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
