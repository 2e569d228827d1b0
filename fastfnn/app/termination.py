"""SIGTERM: `fastfnn train` ends in order, and says what it leaves."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fastfnn.app.run_folder import CHECKPOINT
from fastfnn.training.interrupt import TERMINATED


@contextmanager
def raised_termination() -> Iterator[None]:
    """Let SIGTERM raise SystemExit at once, where nothing else handles it; training itself ends after a step."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    is_free = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if is_free:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if is_free:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def told_termination(folder: Path) -> Iterator[None]:
    """Print whether a run that SIGTERM ends can be resumed."""
    try:
        yield
    except SystemExit as error:
        if error.code == TERMINATED:
            left = f"--resume {folder} continues it" if (folder / CHECKPOINT).exists() else "there is no checkpoint"
            print(f"terminated: {left}", file=sys.stderr)
        raise
