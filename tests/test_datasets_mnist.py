import gzip
import hashlib
import lzma

import numpy as np
import pytest

from fastfnn.datasets import embed_mnist, load_mnist, mnist

FIRST_TRAINING_LABELS = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
FIRST_TEST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
TRAINING_IMAGES_OF_EACH_DIGIT = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.fixture(scope="module")
def original():
    return load_mnist("original")


@pytest.fixture(scope="module")
def kaggle():
    return load_mnist("kaggle")


@pytest.fixture
def embedded_copy(tmp_path, monkeypatch):
    copy = tmp_path / "mnist.xz"
    copy.write_bytes(mnist.EMBEDDED.read_bytes())
    monkeypatch.setattr(mnist, "EMBEDDED", copy)
    return copy


def test_original_split_has_the_published_sizes(original):
    train, test = original
    assert train.X.shape == (60_000, 784)
    assert train.y.shape == (60_000,)
    assert test.X.shape == (10_000, 784)
    assert test.y.shape == (10_000,)


def test_kaggle_split_has_the_sizes_of_kaggles_files(kaggle):
    train, test = kaggle
    assert train.X.shape == (42_000, 784)
    assert train.y.shape == (42_000,)
    assert test.X.shape == (28_000, 784)
    assert test.y.shape == (28_000,)


def test_labels_are_those_published(original):
    train, test = original
    assert train.y[:10].tolist() == FIRST_TRAINING_LABELS
    assert test.y[:10].tolist() == FIRST_TEST_LABELS
    assert np.bincount(train.y).tolist() == TRAINING_IMAGES_OF_EACH_DIGIT


def test_pixels_are_those_published(original):
    train, test = original
    top_of_the_first_digit = train.X[0].reshape(28, 28)[5]
    assert top_of_the_first_digit[12:24].tolist() == [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
    assert not top_of_the_first_digit[:12].any()
    # The mean and standard deviation that the literature quotes for the training images.
    assert train.X.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert train.X.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert test.X.max() == 255


def test_both_splits_cut_the_same_sequence(original, kaggle):
    cut = 42_000
    np.testing.assert_array_equal(kaggle[0].X, original[0].X[:cut])
    np.testing.assert_array_equal(kaggle[0].y, original[0].y[:cut])
    np.testing.assert_array_equal(kaggle[1].X[: 60_000 - cut], original[0].X[cut:])
    np.testing.assert_array_equal(kaggle[1].y[: 60_000 - cut], original[0].y[cut:])
    np.testing.assert_array_equal(kaggle[1].X[60_000 - cut :], original[1].X)
    np.testing.assert_array_equal(kaggle[1].y[60_000 - cut :], original[1].y)


def test_arrays_are_writable_own_and_of_the_promised_dtypes(kaggle):
    for samples in kaggle:
        assert samples.X.dtype == np.uint8
        assert samples.y.dtype == np.int64
        for array in (samples.X, samples.y):
            assert array.flags.writeable
            assert array.flags.owndata
            assert array.flags.c_contiguous


def test_kaggle_is_the_default_split(kaggle):
    train, test = load_mnist()
    assert (len(train.X), len(test.X)) == (len(kaggle[0].X), len(kaggle[1].X))


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="expected 'kaggle' or 'original', got 'half'"):
        load_mnist("half")


def test_embedded_file_fits_in_ten_megabytes():
    assert len(mnist.EMBEDDED.read_bytes()) <= 10_000_000


def test_licence_lies_beside_the_embedded_file():
    licence = (embed_mnist.DESTINATION.parent / "LICENSE-MNIST.md").read_text(encoding="utf-8")
    for part in ("Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges", "CC BY-SA 3.0", "exdb/mnist"):
        assert part in licence


def assert_reported_as_damaged(reason=""):
    with pytest.raises(OSError, match=f"installation of fastfnn is damaged.*{reason}.*reinstall"):
        load_mnist()


@pytest.mark.parametrize("position", [10, 4_000_000, -10])
def test_a_flipped_byte_is_noticed(embedded_copy, position):
    content = bytearray(embedded_copy.read_bytes())
    content[position] ^= 0xFF
    embedded_copy.write_bytes(content)
    assert_reported_as_damaged()


@pytest.mark.parametrize("kept", [0, 4_000_000, -1])
def test_a_truncated_file_is_noticed(embedded_copy, kept):
    embedded_copy.write_bytes(embedded_copy.read_bytes()[:kept])
    assert_reported_as_damaged()


def test_a_missing_file_is_noticed(embedded_copy):
    embedded_copy.unlink()
    assert_reported_as_damaged("No such file")


def test_other_content_of_the_right_size_is_noticed(embedded_copy):
    content = bytes(70_000 * 785)
    embedded_copy.write_bytes(lzma.compress(content, preset=0))
    assert_reported_as_damaged(f"expected SHA-256 {mnist.SHA256}, got {hashlib.sha256(content).hexdigest()}")


def test_content_that_is_too_short_is_noticed(embedded_copy):
    embedded_copy.write_bytes(lzma.compress(bytes(1000), preset=0))
    assert_reported_as_damaged("ends too early")


@pytest.mark.parametrize(
    "error", [MemoryError(), EOFError("Compressed file ended"), ValueError("no seek"), OSError(5, "")]
)
def test_whatever_the_decoder_raises_is_a_damaged_file(monkeypatch, error):
    def read(self, size=-1):
        raise error

    monkeypatch.setattr(lzma.LZMAFile, "read", read)
    assert_reported_as_damaged(type(error).__name__ if isinstance(error, MemoryError) else "")


def test_embedding_joins_the_published_files_without_loss(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(7)
    arrays = {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (6, 28, 28), np.uint8),
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (2, 28, 28), np.uint8),
        "train-labels-idx1-ubyte.gz": rng.integers(0, 10, 6, np.uint8),
        "t10k-labels-idx1-ubyte.gz": rng.integers(0, 10, 2, np.uint8),
    }
    for name, array in arrays.items():
        header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / name).write_bytes(gzip.compress(header + array.tobytes()))
    destination = tmp_path / "packed.xz"
    monkeypatch.setattr(embed_mnist, "DESTINATION", destination)
    monkeypatch.setattr("sys.argv", ["embed_mnist", str(tmp_path)])

    embed_mnist.main()

    content = lzma.decompress(destination.read_bytes())
    assert content == b"".join(array.tobytes() for array in arrays.values())
    printed = capsys.readouterr().out
    assert hashlib.sha256(content).hexdigest() in printed
    assert f"{destination.stat().st_size:,} bytes" in printed
