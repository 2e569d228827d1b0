"""Rows of mapped files: those of `read_dataset`, and nothing where a file cannot be mapped."""

import struct

import numpy as np
import pytest

from fastfnn.datasets import read_dataset
from fastfnn.datasets.mapped import read_rows


def rows_of(n_rows):
    return slice(n_rows // 3, 2 * n_rows // 3)


def write_idx(path, array, kind=8):
    header = bytes([0, 0, kind, array.ndim]) + b"".join(struct.pack(">I", length) for length in array.shape)
    path.write_bytes(header + array.tobytes())
    return path


def samples(dtype, shape=(30, 4, 5)):
    rng = np.random.default_rng(0)
    return (rng.random(shape) * 200).astype(dtype), rng.integers(0, 7, shape[0])


def assert_rows(path):
    found, n_rows = read_rows(path, rows_of)
    expected = read_dataset(path)
    rows = rows_of(n_rows)
    assert n_rows == len(expected.X)
    assert found.X.dtype == expected.X.dtype
    np.testing.assert_array_equal(found.X, expected.X[rows])
    np.testing.assert_array_equal(found.y, expected.y[rows])
    return found


@pytest.mark.parametrize("names", [("X", "y"), ("x_train", "y_train")])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_an_archive_is_mapped(dtype, names, tmp_path):
    X, y = samples(dtype)
    np.savez(tmp_path / "data.npz", other=np.arange(3), **dict(zip(names, (X, y), strict=True)))
    found = assert_rows(tmp_path / "data.npz")
    assert isinstance(found.X.base, np.memmap)


def test_a_pair_of_idx_files_is_mapped(tmp_path):
    X, y = samples(np.uint8)
    images = write_idx(tmp_path / "train-images-idx3-ubyte", X)
    write_idx(tmp_path / "train-labels-idx1-ubyte", y.astype(np.uint8))
    for path in (images, tmp_path):
        assert_rows(path)


def test_what_cannot_be_mapped_is_left_to_others(tmp_path):
    X, y = samples(np.uint8)
    np.savez_compressed(tmp_path / "compressed.npz", X=X, y=y)
    np.savez(tmp_path / "integers.npz", X=X.astype(np.int64), y=y)
    np.savez(tmp_path / "fortran.npz", X=np.asfortranarray(X), y=y)
    np.savez(tmp_path / "short.npz", X=X, y=y[:-1])
    np.savez(tmp_path / "unlabelled.npz", X=X)
    np.savez(tmp_path / "objects.npz", X=X, y=np.array([None] * len(X), object))
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "short.npz").read_bytes()[:-30])
    (tmp_path / "data.csv").write_text("label,a\n1,2\n")
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    write_idx(lonely / "images-idx3-ubyte", X)
    write_idx(lonely / "floats-images-idx3-ubyte", X.astype(">f4"), 13)
    write_idx(lonely / "floats-labels-idx1-ubyte", y.astype(np.uint8))
    cut = write_idx(lonely / "cut-images-idx3-ubyte", X)
    cut.write_bytes(cut.read_bytes()[:-1])
    write_idx(lonely / "cut-labels-idx1-ubyte", y.astype(np.uint8))
    for path in [*tmp_path.glob("*.*"), *lonely.iterdir()]:
        assert read_rows(path, rows_of) is None, path


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
        read_rows(tmp_path / "nothing.npz", rows_of)


def test_wrong_rows_are_named(tmp_path):
    X, y = samples(np.float32)
    X[15, 0, 0] = np.nan
    np.savez(tmp_path / "data.npz", X=X, y=y)
    with pytest.raises(ValueError, match=r"data\.npz, samples from 10 on: expected finite numbers"):
        read_rows(tmp_path / "data.npz", rows_of)
