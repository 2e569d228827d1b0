import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fastfnn.datasets import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "some-idx3-ubyte"


def message_of(file, content):
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"IDX|gzip|take") as caught:
        read_idx(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message


def test_a_file_written_by_hand(file):
    file.write_bytes(bytes([0, 0, 0x0B, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 2, 1, 0, 255, 255, 128, 0, 0, 7]))
    array = read_idx(file)
    assert array.tolist() == [[1, 2, 256], [-1, -32768, 7]]
    assert array.dtype == np.int16


@given(
    st.sampled_from(sorted(CODES)).flatmap(
        lambda code: npst.arrays(code, npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    ),
    st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_round_trip_of_every_type(file, array, compressed):
    content = idx_bytes(array)
    file.write_bytes(gzip.compress(content) if compressed else content)
    back = read_idx(file)
    np.testing.assert_array_equal(back, array, strict=True)
    assert back.dtype.isnative
    assert back.flags.writeable


def test_content_larger_than_a_chunk(file):
    array = np.random.default_rng(1).integers(0, 256, (3, 1000, 1000), np.uint8)
    file.write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read_idx(file), array)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "nothing"),
        (b"\0\0\x08", "00 00 08"),
        (b"label,pixel0\n", "6c 61 62 65"),
        (b"\0\1\x08\1\0\0\0\0", "00 01 08 01"),
        (b"\0\0\x0a\1\0\0\0\0", "00 00 0a 01"),
        (b"\0\0\x08\0", "00 00 08 00"),
    ],
)
def test_not_an_idx_file(file, content, got):
    message = message_of(file, content)
    assert "not an IDX file" in message
    assert message.endswith(f"got {got}")


def test_truncated(file):
    content = idx_bytes(np.zeros((2, 3), np.float32))
    assert "expected 24 bytes after its header, got 23" in message_of(file, content[:-1])
    assert "expected 24 bytes after its header, got 0" in message_of(file, content[:12])
    assert "cut short in its header: expected 12 bytes, got 11" in message_of(file, content[:11])


def test_too_long(file):
    content = idx_bytes(np.zeros((2, 3), np.uint8))
    assert "too long: expected 6 bytes after its header, got more" in message_of(file, content + b"\0")
    assert "too long" in message_of(file, gzip.compress(content + bytes(5_000_000)))


def test_damaged_gzip(file):
    content = gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)))
    wrong_checksum = content[:-6] + bytes([content[-6] ^ 0xFF]) + content[-5:]
    wrong_block_type = content[:10] + b"\xff" + content[11:]
    for damaged in (content[:-1], content[:40], content[:5], wrong_checksum, wrong_block_type):
        assert "the gzip data are damaged" in message_of(file, damaged)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_lying_header_allocates_nothing(file, compress):
    content = compress(b"\0\0\x0e\3" + b"\xff" * 12 + bytes(64))
    tracemalloc.start()
    try:
        message = message_of(file, content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"the samples take {8 * (2**32 - 1) ** 3:,} bytes, and this machine has " in message
    assert peak < 4 << 20


def test_shapes_that_numpy_cannot_hold(file):
    assert "no array of the shape" in message_of(file, b"\0\0\x08\x46" + b"\0\0\0\1" * 70 + b"\0")
    assert "no array of the shape" in message_of(file, b"\0\0\x08\4" + bytes(4) + b"\xff" * 12)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        read_idx(tmp_path)
