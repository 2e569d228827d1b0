"""Access to data files, compressed or not, with messages that name the file."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PathLike = str | os.PathLike[str]
ByteStream = io.BufferedReader | gzip.GzipFile

GZIP_MAGIC = b"\x1f\x8b"


def require_file(path: PathLike) -> None:
    """Raise an OSError with a one-sentence message unless `path` exists and is not a folder."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path}: expected a file, but this is a folder; give a file inside it")


def require_memory(n_bytes: int, path: PathLike) -> None:
    """Raise ValueError if the samples of a file take more bytes than the machine has memory."""
    available = memory_bytes()
    if n_bytes > available:
        raise ValueError(
            f"{path}: the samples take {n_bytes:,} bytes, and this machine has {available:,} bytes of memory; the "
            f"file is damaged, or too large to read"
        )


def memory_bytes() -> int:
    """Return the size of the machine's memory; the largest array where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


@contextmanager
def open_plain_or_gzip(path: PathLike) -> Iterator[ByteStream]:
    """Open a file for reading bytes, decompressing it if its content is gzip, whatever its name.

    Raises
    ------
    ValueError
        When the gzip data are damaged or truncated, which may show only while they are read.
    OSError
        When the file is missing, is a folder, or cannot be opened.
    """
    require_file(path)
    with open(path, "rb") as file:
        if not file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: the gzip data are damaged ({error}); fetch the file again") from error
