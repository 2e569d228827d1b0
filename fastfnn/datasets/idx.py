"""The IDX format, in which MNIST is published.

Two zero bytes, one byte for the type, one for the number of dimensions, the dimensions as big-endian 32-bit
integers, then the numbers, big-endian, last dimension fastest. Source: "The IDX file format" on the page
of the MNIST database, yann.lecun.com/exdb/mnist.
"""

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.files import ByteStream, PathLike, open_plain_or_gzip, require_memory

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}

CHUNK = 1 << 20


def read_idx(path: PathLike) -> npt.NDArray[Any]:
    """Read an IDX file, gzip-compressed or not.

    Parameters
    ----------
    path : str or path-like
        The file. Compression is recognised by content, not by name.

    Returns
    -------
    ndarray
        Writable array of the shape and type that the file declares (uint8, int8, int16, int32, float32 or
        float64), in native byte order.

    Raises
    ------
    ValueError
        When the file is not an IDX file, is shorter or longer than its header says, declares more than the
        machine's memory, or is damaged gzip.
    OSError
        When the file is missing or cannot be opened.

    Notes
    -----
    Memory grows with the data actually in the file: a header with a wrong size costs nothing. One that declares more
    than the machine's memory is refused at once.
    """
    with open_plain_or_gzip(path) as stream:
        dtype, shape = _read_header(stream, path)
        n_bytes = dtype.itemsize * math.prod(shape)
        require_memory(n_bytes, path)
        content = _read_exactly(stream, n_bytes, path)
    numbers = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False)
    try:
        return numbers.reshape(shape)
    except ValueError as error:
        raise ValueError(f"{path}: NumPy has no array of the shape in this IDX header: {error}") from error


def mapped_idx(path: PathLike) -> npt.NDArray[Any] | None:
    """Map an IDX file of bytes into memory; None if it is compressed, of another type, or not an IDX file.

    Raises
    ------
    OSError
        When the file is missing or cannot be opened.
    """
    with open(path, "rb") as file:
        if not _is_magic(file.peek(4)[:4]):
            return None
        dtype, shape = _read_header(file, path)
        first = file.tell()
        if dtype != np.uint8 or first + math.prod(shape) != os.path.getsize(path) or 0 in shape:
            return None
    mapped: npt.NDArray[Any] = np.memmap(path, dtype, "r", first, shape)
    return mapped


def is_idx(path: PathLike) -> bool:
    """Tell whether a file, gzip-compressed or not, starts like an IDX file."""
    with open_plain_or_gzip(path) as stream:
        return _is_magic(stream.read(4))


def _is_magic(magic: bytes) -> bool:
    return len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in DTYPES and magic[3] > 0


def _read_header(stream: ByteStream, path: PathLike) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if not _is_magic(magic):
        raise ValueError(
            f"{path}: not an IDX file: expected it to start with 00 00, a type from 08 to 0e and the number "
            f"of dimensions, got {magic.hex(' ') or 'nothing'}"
        )
    n_dimensions = magic[3]
    dimensions = stream.read(4 * n_dimensions)
    if len(dimensions) < 4 * n_dimensions:
        raise ValueError(
            f"{path}: the IDX file is cut short in its header: expected {4 + 4 * n_dimensions} bytes, "
            f"got {4 + len(dimensions)}; fetch it again"
        )
    return DTYPES[magic[2]], tuple(np.frombuffer(dimensions, ">u4").tolist())


def _read_exactly(stream: ByteStream, n_bytes: int, path: PathLike) -> bytearray:
    content = bytearray()
    while chunk := stream.read(min(CHUNK, n_bytes + 1 - len(content))):
        content += chunk
    if len(content) < n_bytes:
        raise ValueError(
            f"{path}: the IDX file is cut short: expected {n_bytes} bytes after its header, "
            f"got {len(content)}; fetch it again"
        )
    if len(content) > n_bytes:
        raise ValueError(
            f"{path}: the IDX file is too long: expected {n_bytes} bytes after its header, got more; "
            f"the header or the file is wrong"
        )
    return content
