import dataclasses
import gzip
import re

import numpy as np
import pytest

from fastfnn.datasets import Dataset, read_dataset
from fastfnn.datasets.by_path import files_of

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 2], np.uint8)


def write_idx(path, array, code=0x08):
    content = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def message_of(path):
    with pytest.raises(ValueError, match="expected") as caught:
        read_dataset(path)
    message = str(caught.value)
    assert message.startswith(f"{path}")
    assert "\n" not in message
    return message


def assert_is_the_pair(samples):
    np.testing.assert_array_equal(samples.X, IMAGES.reshape(2, 12), strict=True)
    np.testing.assert_array_equal(samples.y, LABELS.astype(np.int64), strict=True)


@pytest.mark.parametrize("name", ["train.csv", "TRAIN.CSV", "train.csv.gz"])
def test_csv(tmp_path, name):
    content = b"label,a,b\n3,10,20\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    samples = read_dataset(tmp_path / name)
    assert samples.X.tolist() == [[10, 20]]
    assert samples.y.tolist() == [3]


def test_npz(tmp_path):
    np.savez(tmp_path / "some.npz", X=IMAGES, y=LABELS)
    assert_is_the_pair(read_dataset(tmp_path / "some.npz"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_folder_with_one_pair(tmp_path, suffix):
    write_idx(tmp_path / f"t10k-images-idx3-ubyte{suffix}", IMAGES)
    write_idx(tmp_path / f"t10k-labels-idx1-ubyte{suffix}", LABELS)
    (tmp_path / "README").write_text("other files do not matter")
    (tmp_path / "more-images").mkdir()
    assert_is_the_pair(read_dataset(tmp_path))


def test_folder_with_two_pairs_gives_the_training_pair(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", LABELS)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", IMAGES + 1)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", LABELS + 1)
    assert_is_the_pair(read_dataset(str(tmp_path)))


def test_folder_never_pairs_training_images_with_test_labels(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", IMAGES)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", LABELS)
    assert read_dataset(tmp_path).y is None


def test_folder_without_labels(tmp_path):
    write_idx(tmp_path / "images", IMAGES)
    assert read_dataset(tmp_path).y is None


def test_folder_without_images(tmp_path):
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS)
    assert "expected one IDX file whose name contains 'images'" in message_of(tmp_path)


def test_folder_with_two_training_images_files(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES)
    message = message_of(tmp_path)
    assert "contains 'images', found 2: train-images-idx3-ubyte, train-images-idx3-ubyte.gz" in message


def test_folder_with_two_labels_files(tmp_path):
    write_idx(tmp_path / "images", IMAGES)
    write_idx(tmp_path / "labels-a", LABELS)
    write_idx(tmp_path / "labels-b", LABELS)
    assert "contains 'labels', found 2: labels-a, labels-b" in message_of(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_images_file_with_its_labels_beside_it(tmp_path, suffix):
    images = tmp_path / f"train-images-idx3-ubyte{suffix}"
    write_idx(images, IMAGES)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", LABELS)
    assert_is_the_pair(read_dataset(images))


def test_images_file_alone(tmp_path):
    for name in ("train-images-idx3-ubyte", "numbers"):
        write_idx(tmp_path / name, IMAGES)
        assert read_dataset(tmp_path / name).y is None


def test_images_of_floats(tmp_path):
    write_idx(tmp_path / "images", IMAGES.astype(">f4"), code=0x0D)
    np.testing.assert_array_equal(
        read_dataset(tmp_path / "images").X, IMAGES.reshape(2, 12).astype(np.float32), strict=True
    )


def test_labels_of_another_set(tmp_path):
    write_idx(tmp_path / "images", IMAGES)
    write_idx(tmp_path / "labels", LABELS[:1])
    message = message_of(tmp_path / "images")
    assert "images with labels: expected one label a sample, got 1 labels for 2 samples" in message


def test_labels_given_as_images(tmp_path):
    write_idx(tmp_path / "labels", LABELS)
    assert "expected samples of shape (n_samples, n_features, ...), got shape (2,)" in message_of(tmp_path / "labels")


def test_unknown_kind(tmp_path):
    (tmp_path / "data.txt").write_text("1 2 3\n")
    assert "expected .csv, .csv.gz, .npz, an IDX file of images, or a folder" in message_of(tmp_path / "data.txt")


@pytest.mark.parametrize("name", ["absent.csv", "absent.npz", "absent", "absent-images-idx3-ubyte.gz"])
def test_missing_file(tmp_path, name):
    with pytest.raises(FileNotFoundError) as caught:
        read_dataset(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: there is no such file; check the path"


def test_csv_columns_are_chosen(tmp_path):
    (tmp_path / "a.csv").write_text("id,b,class,a\n1,2,3,4\n")
    samples = read_dataset(tmp_path / "a.csv", label="class", drop=["id"])
    assert (samples.X.tolist(), samples.y.tolist(), samples.columns) == ([[2, 4]], [3], ("b", "a"))
    samples = read_dataset(tmp_path / "a.csv", label="class", drop=["id"], columns=("a", "b"))
    assert samples.X.tolist() == [[4, 2]]
    (tmp_path / "b.csv").write_text("1,2,3,4\n")
    samples = read_dataset(tmp_path / "b.csv", label="4", drop=["1"], header=False)
    assert (samples.X.tolist(), samples.y.tolist(), samples.columns) == ([[2, 3]], [4], None)


@pytest.mark.parametrize("name", ["some.npz", "images", "."])
def test_other_files_have_no_names_of_columns(tmp_path, name):
    np.savez(tmp_path / "some.npz", X=IMAGES, y=LABELS)
    write_idx(tmp_path / "images", IMAGES)
    for given in (
        {"drop": ["a"]},
        {"label": "y"},
        {"header": False},
        {"columns": ["a"]},
        {"columns": [], "label": ""},
    ):
        names = ", ".join(sorted(given, reverse=True))
        message = re.escape(f"only the columns of a CSV file (.csv, .csv.gz) have names: leave out {names}")
        with pytest.raises(ValueError, match=f"{message}$"):
            read_dataset(tmp_path / name, **given)
    samples = read_dataset(tmp_path / name, label="label", drop=(), header=True, columns=None)
    assert samples.columns is None
    np.testing.assert_array_equal(samples.X, IMAGES.reshape(2, 12))


def test_the_files_that_are_read(tmp_path):
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "notes.csv"):
        write_idx(tmp_path / name, IMAGES)
    assert {path.name for path in files_of(tmp_path)} == {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}
    assert tmp_path / "train-labels-idx1-ubyte" in files_of(tmp_path / "train-images-idx3-ubyte")
    assert set(files_of(tmp_path / "notes.csv")) == {tmp_path / "notes.csv"}
    assert set(files_of(tmp_path / "absent")) == {tmp_path / "absent"}


def test_a_dataset_is_frozen_and_may_lack_labels():
    samples = Dataset(np.zeros((1, 2)))
    assert (samples.y, samples.columns) == (None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        samples.X = np.ones((1, 2))
