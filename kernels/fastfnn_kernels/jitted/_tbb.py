"""Make Numba find the TBB library that the `tbb` package brings.

With TBB threads steal work from each other, may enter from several Python threads at once and sleep while they
wait. With OpenMP every parallel region waits for its slowest thread: on a machine that is busy otherwise a training
takes ten to thirty times as long. Numba prefers TBB, but looks for its library on the system's path alone, where the
package does not put it.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging
import os

LIBRARY_NAMES = ("libtbb.so.12", "tbb12.dll", "libtbb.12.dylib")

log = logging.getLogger(__name__)


def load_tbb() -> None:
    """Load the library, if the package is installed."""
    try:
        files = importlib.metadata.files("tbb") or []
        library = next(file for file in files if file.name in LIBRARY_NAMES)
        ctypes.CDLL(os.path.realpath(library.locate()), mode=ctypes.RTLD_GLOBAL)
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError) as error:
        log.info("parallel kernels run without the tbb package: %s", error)
