"""The on-disk cache of compiled kernels, and the hash that tells whether a cached kernel is still valid."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching, config
from numba.misc.appdirs import AppDirs

import fastfnn_kernels
from fastfnn_kernels.runtime.cpu import UNIT

VARIABLE = "FASTFNN_CACHE_DIR"

log = logging.getLogger(__name__)


@functools.cache
def sources_hash() -> str:
    """Hash every source file of the kernels, in all subfolders.

    Numba only checks the file that defines a function, but a kernel also contains intrinsics from other files.
    """
    package = Path(fastfnn_kernels.__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the folder of the compiled kernels.

    Its parent is the environment variable FASTFNN_CACHE_DIR, or else NUMBA_CACHE_DIR, which applies to all of Numba,
    or else the user's cache folder.
    """
    root = os.environ.get(VARIABLE) or config.CACHE_DIR or AppDirs(appname="fastfnn", appauthor=False).user_cache_dir
    return Path(root) / f"fastfnn-{fastfnn_kernels.__version__}-{sources_hash()}-{UNIT.name}"


@functools.cache
def _say_once(folder: str, reason: str) -> None:
    log.warning("kernels are compiled in memory, since they cannot be kept in %s (%s)", folder, reason)


class _Locator(caching._CacheLocator):  # type: ignore[misc]
    """An adapter through which Numba's cache uses `cache_folder` and `sources_hash`."""

    def get_cache_path(self) -> str:
        return os.fspath(cache_folder())

    def get_source_stamp(self) -> str:
        return sources_hash()

    def get_disambiguator(self) -> str:
        return "kernel"

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator:
        return cls()


class _CacheImpl(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = [_Locator]  # noqa: RUF012 - the name and the kind are Numba's


# Exceptions from reading a damaged pickle or object file.
_UNREADABLE = (
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
)


class KernelCache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's on-disk cache, except that an unusable folder or file leads to compiling in memory."""

    _impl_class = _CacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load a compiled kernel; return None if there is none, or none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except OSError:  # the folder is unusable: saving the kernel will fail too and log the reason
            return None
        except _UNREADABLE as error:
            log.warning("compiling anew: the compiled kernel in %s cannot be read (%s)", self.cache_path, error)
        with contextlib.suppress(OSError):  # saving uses the same folder and will log the reason
            self.flush()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled kernel, unless the folder cannot be written."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(self.cache_path, error.strerror)
