"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Mode of a new file, before the umask.
NEW_FILE = 0o666

# Errors of file systems that cannot synchronise a file: it is as safe there as any other.
CANNOT_SYNCHRONISE = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)

PathLike = str | os.PathLike[str]


def write_and_rename(path: PathLike, content: bytes) -> None:
    """Write a file beside `path` and rename it to `path`, so that readers find the old file or the new one.

    The file beside it has a random name, is created by this call alone, and is synchronised with the disk before it
    is renamed. Several threads, processes or machines can therefore write to one path: the last one wins. A new file
    has the mode that the umask allows. A file that replaces another has the other's mode. If `path` is a symbolic
    link, it stays one, and the file that it leads to is replaced.

    Parameters
    ----------
    path : path-like
        The file.
    content : bytes
        Its whole content.

    Raises
    ------
    OSError
        If the file cannot be written, may not be changed, or is a folder or a device. The message names `path`. An
        existing file stays unchanged, and nothing else is left behind.
    """
    with _errors_naming(path):
        target, mode = _target_of(path)
        with _file_beside(target, content, mode) as beside:
            os.replace(beside, target)
        _synchronise_folder(target.parent)


def check_writable(path: PathLike) -> None:
    """Check that `write_and_rename` can write to `path`; nothing is changed.

    Raises
    ------
    OSError
        If it cannot. The message names `path`.
    """
    with _errors_naming(path):
        target, mode = _target_of(path)
        with _file_beside(target, b"", mode):
            pass


def remove_file(path: PathLike) -> None:
    """Remove a file, if there is one; a symbolic link stays, and the file that it leads to is removed."""
    _without_link(Path(path)).unlink(missing_ok=True)


@contextmanager
def _errors_naming(path: PathLike) -> Iterator[None]:
    """Let each OSError name the file that was asked for, instead of the one beside it; class and number stay."""
    try:
        yield
    except OSError as error:
        reason, folder = error.strerror or str(error), _without_link(Path(path)).parent
        if isinstance(error, FileNotFoundError) and not os.path.exists(folder):
            reason = f"there is no folder {folder}"
        raise OSError(error.errno, f"cannot write the file {os.fspath(path)} ({reason})") from None


def _target_of(path: PathLike) -> tuple[Path, int | None]:
    """Return the file to replace, which is no symbolic link, and its mode; None for a new file.

    Raises
    ------
    OSError
        If something other than a file stands there, or a file that may not be changed.
    """
    path = Path(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        return _without_link(path), None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket")
    # Renaming would replace a file that may not be changed, so opening it is tried. A pipe that has just taken its
    # place would let `open` wait for a reader without O_NONBLOCK.
    os.close(os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)))
    return _without_link(path), stat.S_IMODE(status.st_mode)


def _without_link(path: Path) -> Path:
    """Return the file that a symbolic link leads to, and any other path as it is: its folders may be unreadable."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


@contextmanager
def _file_beside(target: Path, content: bytes, mode: int | None) -> Iterator[Path]:
    """Write a file of a random name to the disk, and remove it at the end if it still has that name."""
    beside = target.with_name(f".{os.urandom(8).hex()}.part")
    file = _created(beside, mode)
    try:
        with file:
            _set_mode(file.fileno(), mode)
            file.write(content)
            file.flush()
            _synchronise(file.fileno())
        yield beside
    finally:
        with suppress(OSError):
            beside.unlink()


def _created(path: Path, mode: int | None) -> io.BufferedWriter:
    """Create a file where there is none, not even a symbolic link."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), NEW_FILE if mode is None else mode)

    return open(path, "xb", opener=opener)


def _set_mode(descriptor: int, mode: int | None) -> None:
    """Set the bits that the umask took; file systems without modes have none to set."""
    if mode is not None and hasattr(os, "fchmod") and stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


def _synchronise(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNCHRONISE:
            raise


def _synchronise_folder(folder: Path) -> None:
    """Write a folder's names to the disk where that is possible; the file is in place in any case."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
