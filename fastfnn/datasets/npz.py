"""NumPy's .npz archives, with the usual names of samples and labels in them."""

import io
import math
import textwrap
import warnings
import zipfile
from collections.abc import Collection
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastfnn._checks import printable
from fastfnn.datasets.conversion import as_dataset
from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import PathLike, require_file, require_memory

# The names usual with scikit-learn, and those in archives that Keras ships; the first pair found is read.
ARRAY_NAMES = (("X", "y"), ("x_train", "y_train"))

# The record at the end of an archive: its beginning, its size and that of the longest comment behind it, the place of
# the number of members in it, and the number that stands for one written elsewhere.
END = b"PK\5\6"
END_BYTES, LONGEST_COMMENT, COUNT_PLACE, COUNTED_ELSEWHERE = 22, 0xFFFF, 10, 0xFFFF


def read_npz(path: PathLike) -> Dataset:
    """Read samples, and labels if there are any, from an .npz archive.

    Parameters
    ----------
    path : str or path-like
        Archive with an array `X` and optionally `y`, or `x_train` and optionally `y_train`; other arrays
        are ignored. Samples of more than one dimension are flattened.

    Returns
    -------
    Dataset
        X of shape (n_samples, n_features): uint8, float32 and float64 are kept, other integers become uint8
        when all are within 0..255. y of shape (n_samples,), int64, or None.

    Raises
    ------
    ValueError
        When the file is not an .npz archive, is damaged, or has none of these arrays, or when they hold
        Python objects, other dtypes, NaN or infinities, or have shapes that do not match.
    OSError
        When the file is missing or cannot be opened.
    """
    require_file(path)
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path}: not an .npz archive, or one cut short; write it with numpy.savez")
        file.seek(0)
        X, y = _read_arrays(file, path)
    try:
        return as_dataset(X, y)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_arrays(file: BinaryIO, path: PathLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    try:
        with zipfile.ZipFile(file) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # files of Python 2 take longer
            _require_members(archive, file)
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            X_name, y_name = names_in(members)
            for name in members.values():
                archive.open(name).close()  # compares the two places where a member's name is written
            X = _read_array(archive, members[X_name])
            return X, _read_array(archive, members[y_name]) if y_name in members else None
    # Damaged content makes zipfile and NumPy's parser of headers raise nearly anything.
    except Exception as error:
        reason = printable(textwrap.shorten(str(error), 300)) or type(error).__name__
        raise ValueError(f"{path}: cannot read the .npz archive: {reason}") from error


def _require_members(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    """Raise ValueError if zipfile found another number of members than was written: damage can hide one."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - END_BYTES - LONGEST_COMMENT))
    tail = file.read()
    place = tail.rfind(END) + COUNT_PLACE
    written, found = int.from_bytes(tail[place : place + 2], "little"), len(archive.infolist())
    if written not in (found, COUNTED_ELSEWHERE):
        raise ValueError(f"it is damaged: expected {written} members, found {found}")


def _read_array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    n_bytes = archive.getinfo(name).file_size
    require_memory(n_bytes, name)
    with archive.open(name) as member:
        _require_content(member, n_bytes, name)
    with archive.open(name) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        # The end of a member is also where zipfile compares its checksum.
        if member.read(1):
            raise ValueError(f"{name} is longer than its header says")
    return array


def _require_content(member: IO[bytes], n_bytes: int, name: str) -> None:
    """Raise ValueError if the header of a member declares an array that is larger than the member."""
    shape, _, dtype = read_header(member)
    if dtype.itemsize * math.prod(shape) > n_bytes:
        raise ValueError(f"{name} holds {n_bytes:,} bytes; its header declares an array of {dtype} {shape}")


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array; return its shape, whether columns come first, and its type."""
    is_first = np.lib.format.read_magic(member) == (1, 0)
    # Versions 2 and 3 differ in the characters that a name within the dtype may have.
    read_rest = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    return read_rest(member)


def names_in(found: Collection[str]) -> tuple[str, str]:
    """Return the names of samples and labels in an archive; raise ValueError if there are no samples."""
    for names in ARRAY_NAMES:
        if names[0] in found:
            return names
    raise ValueError(
        f"expected an array called X (with y) or x_train (with y_train), found {', '.join(found) or 'none'}"
    )
