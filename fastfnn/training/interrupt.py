"""Ctrl-C and SIGTERM during training."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
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
    around : handler
        The handler in charge so far.
    postpones : bool
        Whether the first Ctrl-C raises nothing.
    """

    def __init__(self, interrupt: Interrupt, around: object, postpones: bool) -> None:
        self._interrupt = interrupt
        self._around = around
        self._postpones = postpones

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


class _Termination:
    """A handler of SIGTERM that sets the flags of a training run, and of those around it."""

    def __init__(self, interrupt: Interrupt, around: object) -> None:
        self._interrupt = interrupt
        self._around = around

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._interrupt.requested = self._interrupt.terminated = True
        if isinstance(self._around, _Termination):
            self._around(number, frame)


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Interrupt]:
    """Postpone the first Ctrl-C or SIGTERM to the end of a step, because an update must not be left half done.

    While a kernel is compiled, Ctrl-C acts at once: compiling may take longer than many steps. A program's own
    handlers stay in place.
    """
    interrupt = Interrupt()
    pressed, ended = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    postpones = _is_main_thread() and _is_usual(pressed)
    ends = _is_main_thread() and (ended == signal.SIG_DFL or isinstance(ended, _Termination))
    if postpones:
        signal.signal(signal.SIGINT, _Handler(interrupt, pressed, postpones=True))
    if ends:
        signal.signal(signal.SIGTERM, _Termination(interrupt, ended))
    try:
        yield interrupt
    finally:
        if postpones:
            signal.signal(signal.SIGINT, pressed)
        if ends:
            signal.signal(signal.SIGTERM, ended)


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[Interrupt]:
    """Remember a Ctrl-C, though a training run that it ends returns as usual."""
    interrupt = Interrupt()
    pressed = signal.getsignal(signal.SIGINT)
    remembers = _is_main_thread() and _is_usual(pressed)
    if remembers:
        signal.signal(signal.SIGINT, _Handler(interrupt, pressed, postpones=False))
    try:
        yield interrupt
    finally:
        if remembers:
            signal.signal(signal.SIGINT, pressed)


def _is_main_thread() -> bool:
    """Tell whether this is the only thread that may set handlers."""
    return threading.current_thread() is threading.main_thread()


def _is_usual(handler: object) -> bool:
    """Tell whether a handler of Ctrl-C is Python's, or one of this file."""
    return handler is signal.default_int_handler or isinstance(handler, _Handler)
