"""Some rows of a file that can be mapped into memory: only their pages are read."""

import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.conversion import FEATURE_DTYPES, as_dataset
from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import PathLike
from fastfnn.datasets.idx import mapped_idx, read_idx
from fastfnn.datasets.idx_pair import labels_beside, pair_in
from fastfnn.datasets.npz import names_in, read_header

# The header before each member of a ZIP archive, up to its name: the last two numbers are the lengths of the name and
# of what follows it. Source: PKWARE, "APPNOTE.TXT", section 4.3.7.
LOCAL_HEADER = struct.Struct("<4s5H3L2H")


def read_rows(path: PathLike, rows_of: Callable[[int], slice]) -> tuple[Dataset, int] | None:
    """Read some rows of a file of samples with labels, if it can be mapped.

    Parameters
    ----------
    path : str or path-like
        A file or folder as for `read_dataset`. What can be mapped are archives written by `numpy.savez`, not
        compressed, and IDX files of bytes that are not compressed.
    rows_of : callable
        Number of samples -> the rows to read.

    Returns
    -------
    (Dataset, int) or None
        The rows, of which X may be a mapped array, and the number of samples. None if the file cannot be mapped;
        `read_dataset` reads it, or says what is wrong with it.

    Raises
    ------
    ValueError
        If the rows do not hold samples and labels.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    arrays = _arrays_in_npz(path) if path.name.lower().endswith(".npz") else _arrays_in_idx(path)
    if arrays is None or len(arrays[0]) != len(arrays[1]):
        return None
    X, y = arrays
    rows = rows_of(len(X))
    try:
        return as_dataset(X[rows], np.asarray(y[rows])), len(X)
    except ValueError as error:
        raise ValueError(f"{path}, samples from {rows.start} on: {error}") from error


def _arrays_in_idx(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Map a file of images, and read the labels beside it."""
    if path.is_dir():
        images, labels = pair_in(path)
        pair = path / images, path / (labels or images)
    else:
        pair = path, labels_beside(path)
    if pair[0] == pair[1] or not pair[1].is_file():
        return None
    X = mapped_idx(pair[0])
    return None if X is None or X.ndim < 2 else (X, read_idx(pair[1]))


def _arrays_in_npz(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Map the samples and the labels of an archive."""
    try:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # files of Python 2 take longer
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            X, y = (_mapped_member(path, archive, members[name]) for name in names_in(members))
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None
    if X is None or y is None or X.ndim < 2 or X.dtype not in FEATURE_DTYPES:
        return None
    return X, y


def _mapped_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any] | None:
    """Map an array that is stored as it is; its checksum is not compared, because that would read all of it."""
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with archive.open(info) as member:
        shape, is_fortran, dtype = read_header(member)
        header_bytes = member.tell()
    if is_fortran or dtype.hasobject or dtype.itemsize * int(np.prod(shape)) != info.file_size - header_bytes:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        *_, name_bytes, extra_bytes = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    first = info.header_offset + LOCAL_HEADER.size + name_bytes + extra_bytes + header_bytes
    mapped: npt.NDArray[Any] = np.memmap(path, dtype, "r", first, shape)
    return mapped
