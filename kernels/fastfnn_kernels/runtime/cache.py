"""The on-disk cache of compiled kernels: one file for each, which is checked before it is loaded."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.serialize import dumps

from fastfnn_kernels.runtime.cache_folder import cache_folder, check_cache_folder, make_cache_folder, sources_hash

log = logging.getLogger(__name__)


class DamagedFileError(Exception):
    """A file in the cache that does not contain what was written under its name."""


class KernelFiles:
    """The files of a kernel's compiled variants; Numba uses this object in place of its own index and data files.

    A file begins with a SHA-256 of its contents and of everything that they depend on: the sources of the kernels,
    Numba's version, the argument types and the CPU. A damaged file, or one that belongs under another name, is
    therefore never loaded.

    Parameters
    ----------
    stem : str
        The beginning of the file names.
    """

    def __init__(self, stem: str) -> None:
        self._stem = stem

    def load(self, key: Any) -> Any:
        """Return what was saved under `key`, or None.

        Raises
        ------
        DamagedFileError
            If the file has other contents.
        OSError
            If it cannot be read.
        """
        check_cache_folder()
        try:
            contents = memoryview(self._path(key).read_bytes())
        except FileNotFoundError:
            return None
        seal, data = contents[: hashlib.sha256().digest_size], contents[hashlib.sha256().digest_size :]
        if seal != self._seal(key, data):
            raise DamagedFileError("its contents are not those that were written")
        return pickle.loads(data)

    def save(self, key: Any, compiled: Any) -> None:
        """Write a file under another name, then give it its own: no process reads half of it."""
        data = dumps(compiled)
        path = self._path(key)
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            with unfinished.open("xb") as file:
                file.write(self._seal(key, data))
                file.write(data)
            unfinished.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise

    def _path(self, key: Any) -> Path:
        return cache_folder() / f"{self._stem}.{hashlib.sha256(_described(key)).hexdigest()[:16]}.nbc"

    def _seal(self, key: Any, data: Any) -> bytes:
        digest = hashlib.sha256(_described((self._stem, sources_hash(), numba.__version__, key)))
        digest.update(data)
        return digest.digest()


def _described(key: Any) -> bytes:
    return repr(key).encode()


class _Locator(caching._CacheLocator):  # type: ignore[misc]
    """An adapter through which Numba's cache uses `cache_folder` and `sources_hash`."""

    def ensure_cache_path(self) -> None:
        make_cache_folder()

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


class KernelCache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's on-disk cache with `KernelFiles`; an unusable folder or file leads to compiling in memory."""

    _impl_class = _CacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = KernelFiles(self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load a compiled kernel; return None if there is none, or none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except OSError:  # the folder is unusable: saving the kernel will fail too and log the reason
            return None
        except Exception as error:  # of Numba, LLVM or pickle, for a file of another installation
            log.warning("compiling anew: the compiled kernel in %s cannot be used (%s)", self.cache_path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled kernel, unless the folder cannot be written."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(self.cache_path, error.strerror or str(error))


@functools.cache
def _say_once(folder: str, reason: str) -> None:
    log.warning("kernels are compiled in memory, since they cannot be kept in %s (%s)", folder, reason)
