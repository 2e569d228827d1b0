"""Safetensors files read with the distrust that files of others deserve.

The header describes the whole file: eight bytes with the header's length, then JSON with the type, the shape and the
place of each tensor. A file is opened once and its bytes are copied, not mapped: a file that is replaced or cut while
it is read can give an error, but neither a mixture of two files nor a crash.
"""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_whole
from fastfnn.files.described import (
    check_fields,
    check_object,
    check_text,
    faults_naming,
    list_of,
    parse_json,
    values_of,
)

# Largest header that readers of safetensors accept, in bytes.
LARGEST_HEADER = 100_000_000

LENGTH_BYTES = 8
METADATA = "__metadata__"

# Bounds of a shape: NumPy has no more dimensions, and no memory holds longer ones.
MOST_DIMENSIONS, LONGEST = 64, 2**48

# Types that NumPy has, by their names in safetensors; all are little-endian.
DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"{letter}{8 * size}": np.dtype(f"<{letter.lower()}{size}") for letter in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}

UNREADABLE = "is no readable model file, or is truncated"


@dataclass(frozen=True)
class Entry:
    """A tensor of a file: the type's name, the shape, and the first byte and the end among the bytes of all."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class TensorFile:
    """An open safetensors file whose header is right.

    Attributes
    ----------
    metadata : dict of str
        The texts beside the tensors.
    entries : dict of Entry
        The tensors by name, in the order of their bytes.
    """

    def __init__(self, file: io.BufferedReader, path: str | os.PathLike[str]) -> None:
        self._file, self._path = file, path
        with faults_naming(path, UNREADABLE):
            size = os.fstat(file.fileno()).st_size
            header = _header_of(file, size)
            self._start = file.tell()
            self.metadata = values_of(check_text)(METADATA, header.pop(METADATA, {}))
            self.entries = _entries_of(header, size - self._start)

    def read(self, name: str) -> NDArray[Any]:
        """Return a copy of a tensor.

        Raises
        ------
        ValueError
            If NumPy lacks its type, memory does not suffice, or the file became shorter.
        """
        entry = self.entries[name]
        with faults_naming(self._path, UNREADABLE):
            if entry.dtype not in DTYPES:
                raise ValueError(f"{name!r} is of the type {entry.dtype!r}, which NumPy does not have")
            tensor: NDArray[Any] = np.empty(entry.shape, DTYPES[entry.dtype])
            self._file.seek(self._start + entry.start)
            if self._file.readinto(tensor.reshape(-1).view(np.uint8).data) < tensor.nbytes:
                raise ValueError(f"it ends inside {name!r}")
        return tensor


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[TensorFile]:
    """Open a safetensors file for reading.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read. The message names it.
    ValueError
        If its header is damaged, or does not describe the bytes behind it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model file {os.fspath(path)}")
    try:
        with open(path, "rb") as file:
            yield TensorFile(file, path)
    except OSError as error:
        raise OSError(error.errno, f"cannot read the file {os.fspath(path)} ({error.strerror})") from None


def _header_of(file: io.BufferedReader, size: int) -> dict[str, Any]:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if not length <= min(size - LENGTH_BYTES, LARGEST_HEADER):
        raise ValueError(f"its first bytes announce a header of {length} bytes; the file has {size}")
    return check_object("its header", parse_json(file.read(length).decode("utf-8")))


def _entries_of(header: Mapping[str, Any], n_bytes: int) -> dict[str, Entry]:
    """Return the tensors in order; their bytes must fill the rest of the file, without gaps."""
    found = {name: _entry_of(name, described) for name, described in header.items()}
    entries = dict(sorted(found.items(), key=lambda pair: (pair[1].start, pair[1].end)))
    end = 0
    for name, entry in entries.items():
        if entry.start != end:
            raise ValueError(f"{name!r} begins at byte {entry.start}; expected {end}, the end of the one before")
        end = entry.end
    if end != n_bytes:
        raise ValueError(f"its tensors take {end} bytes; the file has {n_bytes} for them")
    return entries


def _entry_of(name: str, described: Any) -> Entry:
    checks = {"dtype": check_text, "shape": list_of(_check_length), "data_offsets": list_of(_check_offset, 2)}
    fields = check_fields(repr(name), described, checks)
    entry = Entry(fields["dtype"], tuple(fields["shape"]), *fields["data_offsets"])
    if len(entry.shape) > MOST_DIMENSIONS:
        raise ValueError(f"{name!r} has {len(entry.shape)} dimensions; NumPy has at most {MOST_DIMENSIONS}")
    taken, needed = entry.end - entry.start, _bytes_of(entry)
    if taken < 0 or needed not in (None, taken):
        raise ValueError(f"{name!r} takes {taken} bytes; {entry.dtype} {entry.shape} needs {needed}")
    return entry


def _check_length(name: str, value: Any) -> int:
    return check_whole(name, value, 0, LONGEST)


def _check_offset(name: str, value: Any) -> int:
    return check_whole(name, value, 0, sys.maxsize)


def _bytes_of(entry: Entry) -> int | None:
    """Return the bytes that a tensor needs; None for a type that only other programs have."""
    return math.prod(entry.shape) * DTYPES[entry.dtype].itemsize if entry.dtype in DTYPES else None
