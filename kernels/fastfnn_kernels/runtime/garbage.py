"""Pausing Python's garbage collector while Numba is imported or compiles, since both create very many objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Pause the garbage collector until the end of the `with`.

    Nearly all objects created there survive, or are freed by reference counting. Pausing saves a sixth of the time to
    compile a kernel, and of a program's start-up time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
