"""Ctrl-C and SIGTERM during training."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# The exit status of a program that SIGTERM ended, as shells report it.
TERMINATED = 128 + signal.SIGTERM


class Interrupt:
    """The flags that a signal asked to end.

    Attributes
    ----------
    requested : bool
        Whether Ctrl-C was pressed, or SIGTERM arrived.
    terminated : bool
        Whether SIGTERM arrived.
    """

    requested = False
    terminated = False


class _Handler:
    """A handler of Ctrl-C that remembers it, for itself and for the handlers around it.

    Parameters
    ----------
    interrupt : Interrupt
        Flags to set.
    postpones : bool
        Whether the first Ctrl-C raises nothing.
    """

    def __init__(self, interrupt: Interrupt, postpones: bool) -> None:
        self._interrupt = interrupt
        self._postpones = postpones
        self._around = signal.getsignal(signal.SIGINT)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        from fastfnn_kernels.runtime.compiling import is_compiling  # `import fastfnn` does without logging

        again = self._interrupt.requested
        self.remember()
        if again or not self._postpones or is_compiling():
            signal.default_int_handler(number, frame)

    def remember(self) -> None:
        """Set the flags of this handler and of those around it."""
        self._interrupt.requested = True
        if isinstance(self._around, _Handler):
            self._around.remember()


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Interrupt]:
    """Postpone the first Ctrl-C or SIGTERM to the end of a step, because an update must not be left half done.

    While a kernel is compiled, Ctrl-C acts at once: compiling may take longer than many steps. A program's own
    handlers stay in place.
    """
    interrupt = Interrupt()

    def terminate(number: int, frame: FrameType | None) -> None:
        interrupt.requested = interrupt.terminated = True

    with _handled(signal.SIGINT, _Handler(interrupt, postpones=True)), _handled(signal.SIGTERM, terminate):
        yield interrupt


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[Interrupt]:
    """Remember a Ctrl-C, though a training run that it ends returns as usual."""
    interrupt = Interrupt()
    with _handled(signal.SIGINT, _Handler(interrupt, postpones=False)):
        yield interrupt


@contextlib.contextmanager
def _handled(number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle a signal, unless the program has a handler of its own; only the main thread may."""
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and _is_usual(number, signal.getsignal(number))):
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _is_usual(number: signal.Signals, handler: object) -> bool:
    """Tell whether a handler is the one that Python starts with, or one of this file."""
    if number == signal.SIGTERM:
        return handler == signal.SIG_DFL
    return handler is signal.default_int_handler or isinstance(handler, _Handler)
