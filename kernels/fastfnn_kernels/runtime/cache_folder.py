"""The folder of the compiled kernels: its name, and whether others can write to it."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from numba.core import config
from numba.misc.appdirs import AppDirs

import fastfnn_kernels
from fastfnn_kernels.runtime.cpu import UNIT

VARIABLE = "FASTFNN_CACHE_DIR"


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
    or else the user's cache folder. A user without a home has a folder among the temporary files.
    """
    name = f"fastfnn-{fastfnn_kernels.__version__}-{sources_hash()}-{UNIT.name}"
    return (_users_folder() or _temporary_folder()) / name


def make_cache_folder() -> None:
    """Create the folder of the compiled kernels if it is missing.

    Raises
    ------
    OSError
        If it cannot be created, or if others can write to it.
    """
    if _users_folder() is None:
        _temporary_folder().mkdir(mode=0o700, exist_ok=True)
    check_cache_folder()
    cache_folder().mkdir(parents=True, exist_ok=True)


def check_cache_folder() -> None:
    """Raise PermissionError if the folder is a temporary one that others can write to, since its files are run."""
    folder = _temporary_folder() if _users_folder() is None else None
    if folder is not None and os.path.lexists(folder):
        about = folder.lstat()
        is_own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        if not (is_own and stat.S_ISDIR(about.st_mode) and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            raise PermissionError(f"{folder} is not a folder that only this user can write to")


def _users_folder() -> Path | None:
    """Return the folder that the user chose or has; None without a home, in whose place there may be a ~."""
    asked = os.environ.get(VARIABLE) or config.CACHE_DIR
    if asked:
        folder = os.path.expanduser(asked)  # outside a shell, a variable may contain the ~ itself
        return None if folder.startswith("~") else Path(folder)
    folder = AppDirs(appname="fastfnn", appauthor=False).user_cache_dir
    return Path(folder) if os.path.isabs(folder) else None


def _temporary_folder() -> Path:
    try:
        root = tempfile.gettempdir()
    except FileNotFoundError:  # nothing can be written anywhere: creating this folder will fail
        root = os.sep
    return Path(root) / f"fastfnn-{os.getuid() if hasattr(os, 'getuid') else 'kernels'}"
