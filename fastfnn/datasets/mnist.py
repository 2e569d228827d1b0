"""MNIST, embedded in the package: all 70,000 images and their labels, without a download."""

import hashlib
import lzma
from importlib.resources import files
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.dataset import Dataset

EMBEDDED = files("fastfnn.datasets") / "embedded" / "mnist.xz"

# Digest of the decompressed content, as printed by fastfnn.datasets.embed_mnist.
SHA256 = "c2069063c1105f2bf96266aef1ff68c6e13bdda7a54e37bf19c16f1db24efc83"

N_IMAGES = 70_000
N_PIXELS = 28 * 28
N_TRAIN = {"original": 60_000, "kaggle": 42_000}

CHUNK = 1 << 20


class DamagedInstallationError(OSError):
    """A file shipped with the package is missing or has changed."""


def load_mnist(split: Literal["kaggle", "original"] = "kaggle") -> tuple[Dataset, Dataset]:
    """Load the MNIST database of handwritten digits from the package.

    Parameters
    ----------
    split : {"kaggle", "original"}
        Both splits cut the same sequence, the 60,000 published training images followed by the 10,000
        published test images. "original" cuts after 60,000. "kaggle" cuts after 42,000, which leaves 28,000
        to test: the sizes, but not the rows, of train.csv and test.csv of Kaggle's digit recogniser.

    Returns
    -------
    train, test : Dataset
        X of shape (n_samples, 784), uint8, the pixels of an image row by row, 0 (background) to 255; y of
        shape (n_samples,), int64, the digits 0 to 9. The arrays are new and writable.

    Raises
    ------
    ValueError
        When `split` is neither of the two.
    DamagedInstallationError
        An OSError: when the embedded file is missing or truncated, or its SHA-256 differs from the shipped one.

    Notes
    -----
    Origin: Yann LeCun, Corinna Cortes, Christopher J.C. Burges, yann.lecun.com/exdb/mnist; CC BY-SA 3.0, see
    LICENSE-MNIST.md beside the embedded file.
    """
    if split not in N_TRAIN:
        raise ValueError(f"split: expected 'kaggle' or 'original', got {split!r}")
    n_train = N_TRAIN[split]
    X_train = np.empty((n_train, N_PIXELS), np.uint8)
    X_test = np.empty((N_IMAGES - n_train, N_PIXELS), np.uint8)
    labels = np.empty(N_IMAGES, np.uint8)
    _fill_from_embedded(X_train, X_test, labels)
    y = labels.astype(np.int64)
    return Dataset(X_train, y[:n_train].copy()), Dataset(X_test, y[n_train:].copy())


def _fill_from_embedded(*arrays: npt.NDArray[np.uint8]) -> None:
    digest = hashlib.sha256()
    try:
        with EMBEDDED.open("rb") as file, lzma.open(file) as stream:
            for array in arrays:
                _fill(array, stream)
                digest.update(array.data)
            # lzma notices missing last bytes only at the end of the stream.
            stream.read(1)
    except (OSError, EOFError, ValueError, MemoryError, lzma.LZMAError) as error:
        raise _damaged(str(error) or type(error).__name__) from error
    if digest.hexdigest() != SHA256:
        raise _damaged(f"expected SHA-256 {SHA256}, got {digest.hexdigest()}")


def _fill(array: npt.NDArray[np.uint8], stream: lzma.LZMAFile) -> None:
    """Decompress in chunks, because lzma would decompress into a second array of the same size."""
    flat = array.data.cast("B")
    position = 0
    while position < len(flat):
        chunk = stream.read(min(CHUNK, len(flat) - position))
        if not chunk:
            raise EOFError("the content ends too early")
        flat[position : position + len(chunk)] = chunk
        position += len(chunk)


def _damaged(reason: str) -> DamagedInstallationError:
    return DamagedInstallationError(
        f"{EMBEDDED}: the installation of fastfnn is damaged ({reason}); "
        f"reinstall it: pip install --force-reinstall fastfnn"
    )
