import tracemalloc
import zipfile

import numpy as np
import pytest

from fastfnn.datasets import files, read_npz

X = np.arange(12).reshape(4, 3)
Y = np.array([3, 0, 2, 1])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data.npz"


def message_of(file):
    with pytest.raises(ValueError, match=r"npz|expected|must") as caught:
        read_npz(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [("X", "y"), ("x_train", "y_train")])
def test_samples_with_labels(file, save, names):
    save(file, **{names[0]: X.astype(np.uint8), names[1]: Y}, x_test=X, other=Y)
    samples = read_npz(file)
    np.testing.assert_array_equal(samples.X, X.astype(np.uint8), strict=True)
    np.testing.assert_array_equal(samples.y, Y.astype(np.int64), strict=True)


@pytest.mark.parametrize("name", ["X", "x_train"])
def test_samples_without_labels(file, name):
    np.savez(file, **{name: X.astype(np.uint8)})
    assert read_npz(file).y is None


def test_x_goes_before_x_train(file):
    np.savez(file, x_train=X + 100, y_train=Y, X=X)
    samples = read_npz(file)
    assert samples.X[0].tolist() == [0, 1, 2]
    assert samples.y is None


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_dtypes_that_are_kept(file, dtype, order):
    np.savez(file, X=X.astype(order + dtype))
    np.testing.assert_array_equal(read_npz(file).X, X.astype(dtype), strict=True)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u2", "u4", "u8"])
def test_integers_within_a_byte_become_uint8(file, dtype):
    np.savez(file, X=X.astype(dtype))
    np.testing.assert_array_equal(read_npz(file).X, X.astype(np.uint8), strict=True)


@pytest.mark.parametrize("shift", [-1, 245])
def test_integers_beyond_a_byte_are_refused(file, shift):
    np.savez(file, X=X + shift)
    assert f"got int64 from {shift} to {shift + 11}; convert them to float32" in message_of(file)


def test_255_is_still_a_byte(file):
    np.savez(file, X=X + 244)
    assert read_npz(file).X.max() == 255


@pytest.mark.parametrize("dtype", ["f2", "c8", "?", "U3"])
def test_other_dtypes_are_refused(file, dtype):
    np.savez(file, X=X.astype(dtype))
    assert f"got {np.dtype(dtype)}; convert them to float32" in message_of(file)


def test_images_are_flattened_row_by_row(file):
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.savez(file, X=images)
    np.testing.assert_array_equal(read_npz(file).X, images.reshape(2, 12), strict=True)


@pytest.mark.parametrize("shape", [(), (4,), (0, 3), (3, 0)])
def test_shapes_that_hold_no_samples(file, shape):
    np.savez(file, X=np.zeros(shape))
    assert f"expected samples of shape (n_samples, n_features, ...), got shape {shape}" in message_of(file)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(file, bad):
    numbers = X.astype(np.float64)
    numbers[2, 1] = bad
    np.savez(file, X=numbers)
    assert "got NaN or infinity in sample 2" in message_of(file)


@pytest.mark.parametrize("dtype", ["u1", "i4", "u8", ">i2", "f4", "f8"])
def test_labels_become_int64(file, dtype):
    np.savez(file, X=X, y=Y.astype(dtype))
    np.testing.assert_array_equal(read_npz(file).y, Y.astype(np.int64), strict=True)


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", ">i4", "f4", "f8"])
def test_labels_may_be_a_column_and_of_any_type(file, dtype):
    labels = (Y % 2).astype(dtype)
    for form in (labels, labels[:, np.newaxis]):
        np.savez(file, X=X, y=form)
        np.testing.assert_array_equal(read_npz(file).y, Y % 2, strict=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1, 2]), "expected one label a sample, got 3 labels for 4 samples"),
        (np.zeros((4, 10)), "expected labels of shape (n_samples,), got shape (4, 10)"),
        (np.zeros((4, 1, 1)), "expected labels of shape (n_samples,), got shape (4, 1, 1)"),
        (np.array(["a", "b", "c", "d"]), "labels must hold real numbers; got text: encode labels with"),
        (np.array([1j, 0, 1, 2]), "labels must hold real numbers; got complex128"),
        (np.array([[0.5]] * 4), "expected labels that are integers, 0 or greater"),
        (np.array([0, -1, 2, 3]), "expected labels that are integers, 0 or greater"),
        (np.array([0, 0.5, 2, 3]), "expected labels that are integers, 0 or greater"),
        (np.array([0, np.nan, 2, 3]), "expected labels that are integers, 0 or greater"),
        (np.array([0, np.inf, 2, 3]), "expected labels that are integers, 0 or greater"),
        (np.array([0, 2**64 - 1, 2, 3], np.uint64), "expected labels that are integers, 0 or greater"),
    ],
)
def test_labels_that_are_refused(file, labels, message):
    np.savez(file, X=X, y=labels)
    assert message in message_of(file)


def test_no_known_array(file):
    np.savez(file, images=X, labels=Y)
    assert "called X (with y) or x_train (with y_train), found images, labels" in message_of(file)


def test_python_objects_are_not_unpickled(file):
    np.savez(file, X=np.array([[object()]]), allow_pickle=True)
    assert "cannot read the .npz archive: Object arrays cannot be loaded" in message_of(file)


@pytest.mark.parametrize("content", [b"", b"label,pixel0\n1,2\n", b"\x93NUMPY\x01\x00"])
def test_not_an_archive(file, content):
    file.write_bytes(content)
    assert "not an .npz archive" in message_of(file)


def test_an_archive_with_something_else_in_it(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X", "no array")
    assert "cannot read the .npz archive: the magic string is not correct" in message_of(file)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"


def write_member(file, header, content=bytes(24), version=(1, 0), **options):
    """Write an archive with one array X, its header in any words."""
    size = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr("X.npy", b"\x93NUMPY" + bytes(version) + size + header.encode("latin1") + content)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_version_and_method(file, version, method):
    write_member(file, HEADER, version=version, compression=method)
    np.testing.assert_array_equal(read_npz(file).X, np.zeros((2, 3), np.float32), strict=True)


def test_a_file_of_python_2_is_read_without_a_word(file):
    write_member(file, HEADER.replace("(2, 3)", "(2L, 3L)"))
    assert read_npz(file).X.shape == (2, 3)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("(2, 3)", "(1, 3)"),
        ("(2, 3)", "(3, 3)"),
        ("(2, 3)", "(-2, -3)"),
        ("(2, 3)", "(1e9, 3)"),
        ("(2, 3)", f"({2**62}, 4)"),
        ("(2, 3)", "(" * 300),
        ("(2, 3)", "-" * 3000 + "1"),
        ("(2, 3)", "(2, 3\0)"),
        ("(2, 3)", "__import__('os')"),
        ("'<f4'", "'|O'"),
        ("'<f4'", "'|V0'"),
        ("'<f4'", "[('a', '<f4', -1)]"),
        ("'<f4'", "'no type'"),
        ("{", "'"),
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_headers_that_lie_or_mean_nothing(file, part, other, version):
    write_member(file, HEADER.replace(part, other), version=version)
    assert "cannot read the .npz archive: " in message_of(file)


def test_a_version_to_come(file):
    write_member(file, HEADER, version=(4, 0))
    assert "we only support format version" in message_of(file)


def test_a_header_that_declares_terabytes_takes_no_memory(file):
    write_member(file, HEADER.replace("(2, 3)", f"({2**40}, 3)"))
    tracemalloc.start()
    try:
        assert "X.npy holds " in message_of(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_an_archive_that_unpacks_to_more_than_the_memory(file, monkeypatch):
    np.savez_compressed(file, X=np.zeros((1000, 1000), np.uint8))
    assert file.stat().st_size < 10_000
    monkeypatch.setattr(files, "memory_bytes", lambda: 1_000_000)
    assert "X.npy: the samples take 1,000,128 bytes, and this machine has 1,000,000 bytes" in message_of(file)


@pytest.mark.parametrize("comment", [b"", b"a comment"])
def test_a_damaged_directory_does_not_hide_the_labels(file, comment):
    """The length of a comment of X makes the entry of y a part of that comment."""
    np.savez(file, X=X, y=Y)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = comment
    content = file.read_bytes()
    entry = content.index(b"PK\1\2")
    length = content.index(b"PK\1\2", entry + 4) - entry
    y_length = content.rindex(b"PK\5\6") - entry - length
    file.write_bytes(content[: entry + 32] + y_length.to_bytes(2, "little") + content[entry + 34 :])
    with pytest.raises(ValueError, match=r"it is damaged: expected 2 members, found 1"):
        read_npz(file)


def test_members_that_are_counted_elsewhere(file):
    """Archives of more than 65,535 members, whose count does not fit in the last record."""
    np.savez(file, X=X, y=Y)
    content = file.read_bytes()
    place = content.rindex(b"PK\5\6")
    file.write_bytes(content[: place + 8] + 4 * b"\xff" + content[place + 12 :])
    np.testing.assert_array_equal(read_npz(file).y, Y, strict=True)


def test_names_that_no_terminal_should_be_sent(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a\x1b[31m\n.npy", b"")
    with pytest.raises(ValueError, match=r"found a\\x1b\[31m$") as caught:
        read_npz(file)
    assert str(caught.value).isprintable()


def samples_or_message(file):
    try:
        return read_npz(file)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_gives_the_same_samples_or_one_line(file, seed):
    rng = np.random.default_rng(seed)
    np.savez_compressed(file, X=X, y=Y)
    whole = file.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 4)):
            content[position] ^= 1 << rng.integers(0, 8)
        file.write_bytes(content)
        samples = samples_or_message(file)
        if isinstance(samples, str):
            assert samples.startswith(f"{file}: ")
            continue
        np.testing.assert_array_equal(samples.X, X.astype(np.uint8), strict=True)
        np.testing.assert_array_equal(samples.y, Y, strict=True)


def test_a_damaged_archive(file):
    np.savez(file, X=np.zeros((100, 100)))
    content = bytearray(file.read_bytes())
    content[5000] ^= 0xFF
    file.write_bytes(content)
    assert "cannot read the .npz archive: Bad CRC-32" in message_of(file)
    file.write_bytes(content[:-1000])
    assert "one cut short" in message_of(file)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_npz(tmp_path / "absent.npz")
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        read_npz(tmp_path)
