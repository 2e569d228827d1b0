"""NumPy's .npz archives, with the usual names of samples and labels in them."""

import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.conversion import as_dataset
from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import PathLike, require_file

# The names usual with scikit-learn, and those in archives that Keras ships; the first pair found is read.
ARRAY_NAMES = (("X", "y"), ("x_train", "y_train"))


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
    # Beside the expected ones: zipfile raises RuntimeError for encrypted members and, as NotImplementedError,
    # for unknown compression, and OSError when a damaged offset leads out of the file.
    unreadable = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)
    try:
        with np.load(file, allow_pickle=False) as archive:
            X_name, y_name = _names_in(archive.files)
            # asarray, because NumPy returns a member of the archive that is not an array as bytes.
            X = np.asarray(archive[X_name])
            return X, np.asarray(archive[y_name]) if y_name in archive.files else None
    except unreadable as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot read the .npz archive: {reason}") from error


def _names_in(found: list[str]) -> tuple[str, str]:
    for names in ARRAY_NAMES:
        if names[0] in found:
            return names
    raise ValueError(
        f"expected an array called X (with y) or x_train (with y_train), found {', '.join(found) or 'none'}"
    )
