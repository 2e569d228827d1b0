import errno
import json
import os
import re

import numpy as np
import pytest
from networks import truncations
from safetensors.numpy import load_file, save_file

from fastfnn.files.tensor_file import DTYPES, LARGEST_HEADER, Entry, opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def read(path):
    with opened(path) as file:
        return file.metadata, {name: file.read(name) for name in file.entries}


def refused(path):
    """Return the message with which the file is refused, on one line."""
    with pytest.raises(ValueError, match=re.escape(f"{path} is no readable model file, or is truncated: ")) as caught:
        read(path)
    assert type(caught.value) is ValueError
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


def write(path, header, content=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + content)


@pytest.mark.parametrize("dtype", sorted({dtype.name for dtype in DTYPES.values()}))
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 7), (2, 3, 4)])
def test_what_the_library_writes_is_read_as_the_library_reads_it(dtype, shape, path):
    rng = np.random.default_rng(0)
    tensors = {name: rng.integers(0, 2, shape).astype(dtype) for name in ("b", "a", "ü")}
    save_file(tensors, path, {"x": "y", "ü": ""})
    metadata, found = read(path)
    expected = load_file(path)
    assert metadata == {"x": "y", "ü": ""}
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert (tensor.dtype, tensor.shape) == (expected[name].dtype, expected[name].shape)
        assert tensor.tobytes() == expected[name].tobytes() == tensors[name].tobytes()
        assert tensor.flags.writeable
        assert tensor.flags.c_contiguous


def test_entries_are_known_before_a_tensor_is_read(path):
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(2)}, path)
    with opened(path) as file:
        assert dict(file.entries) == {"b": Entry("F64", (2,), 0, 16), "a": Entry("F32", (2, 3), 16, 40)}
        assert file.metadata == {}


def entry(dtype="F32", shape=(2,), data_offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}


def test_the_handmade_file_is_good(path):
    write(path, {"a": entry()}, b"\0" * 8)
    assert read(path)[1]["a"].tolist() == [0, 0]


HUGE = 10**25
WRONG_HEADERS = {
    "a list": [],
    "null": None,
    "a number": 1,
    "a tensor of no form": {"a": 1},
    "a tensor that is null": {"a": None},
    "no dtype": {"a": {"shape": [2], "data_offsets": [0, 8]}},
    "no shape": {"a": {"dtype": "F32", "data_offsets": [0, 8]}},
    "no place": {"a": {"dtype": "F32", "shape": [2]}},
    "one more field": {"a": entry(scale=1)},
    "dtype null": {"a": entry(dtype=None)},
    "dtype a list": {"a": entry(dtype=["F32"])},
    "shape null": {"a": entry(shape=None)},
    "shape a number": {"a": entry(shape=2)},
    "shape of floats": {"a": entry(shape=[2.0])},
    "shape of booleans": {"a": entry(shape=[2, True])},
    "a negative shape": {"a": entry(shape=[-1, -2])},
    "a shape larger than the file": {"a": entry(shape=[3])},
    "a shape smaller than the file": {"a": entry(shape=[1])},
    "a shape of any memory": {"a": entry(shape=[HUGE])},
    "a shape that has no number": {"a": entry(shape=[2**48, 0, 2**48], data_offsets=[0, 0]), "b": entry()},
    "a huge shape without bytes": {"a": entry(shape=[0, HUGE], data_offsets=[0, 0]), "b": entry()},
    "too many dimensions": {"a": entry(shape=[1] * 65 + [2])},
    "very many dimensions": {"a": entry(shape=[2**48] * 100_000)},
    "places null": {"a": entry(data_offsets=None)},
    "one place": {"a": entry(data_offsets=[8])},
    "three places": {"a": entry(data_offsets=[0, 4, 8])},
    "places of floats": {"a": entry(data_offsets=[0.0, 8.0])},
    "negative places": {"a": entry(data_offsets=[-8, 0])},
    "places the other way round": {"a": entry(data_offsets=[8, 0])},
    "places behind the end": {"a": entry(data_offsets=[8, 16])},
    "a place of any memory": {"a": entry(data_offsets=[0, HUGE])},
    "places that are empty": {"a": entry(data_offsets=[0, 0])},
    "two at one place": {"a": entry(), "b": entry()},
    "two that overlap": {"a": entry(), "b": entry(shape=[1], data_offsets=[4, 8])},
    "a gap": {"a": entry(shape=[1], data_offsets=[4, 8])},
    "bytes of nobody": {"a": entry(shape=[1], data_offsets=[0, 4])},
    "no tensors": {},
    "metadata null": {"__metadata__": None, "a": entry()},
    "metadata a list": {"__metadata__": ["x"], "a": entry()},
    "metadata of numbers": {"__metadata__": {"x": 1}, "a": entry()},
    "metadata of objects": {"__metadata__": {"x": {}}, "a": entry()},
    "a name twice": b'{"a": ' + json.dumps(entry()).encode() + b', "a": ' + json.dumps(entry()).encode() + b"}",
    "a field twice": b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
    "NaN": b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}',
    "inf": b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 8]}}',
    "a number of many digits": b'{"a": {"dtype": "F32", "shape": [' + b"1" * 5000 + b'], "data_offsets": [0, 8]}}',
    "too deep": b"[" * 100_000,
    "too deep in a shape": b'{"a": {"shape": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "not UTF-8": b'{"\xff": 1}',
    "UTF-16": json.dumps({"a": entry()}).encode("utf-16"),
    "two values": json.dumps({"a": entry()}).encode() + b"{}",
    "a long name": {"x" * 10**6: 1},
    "a name of lines": {"a\nb": 1},
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_headers_that_cannot_be(name, path):
    write(path, WRONG_HEADERS[name], b"\0" * 8)
    refused(path)


def test_very_many_dimensions_are_not_multiplied(path):
    write(path, WRONG_HEADERS["very many dimensions"], b"\0" * 8)
    assert refused(path).endswith("'a' has 100000 dimensions; NumPy has at most 64")


def test_a_type_that_numpy_has_not_is_refused_when_it_is_read(path):
    write(path, {"a": entry("BF16", (4,)), "b": entry("F32", (1,), (8, 12))}, b"\0" * 12)
    with opened(path) as file:
        assert file.entries["a"] == Entry("BF16", (4,), 0, 8)
        assert file.read("b").tolist() == [0]
        with pytest.raises(ValueError, match="'a' is of the type 'BF16', which NumPy does not have"):
            file.read("a")


@pytest.mark.parametrize("length", [0, 1, 10**6, LARGEST_HEADER + 1, 2**63, 2**64 - 1])
def test_lengths_of_the_header_that_are_wrong(length, path):
    write(path, {"a": entry()}, b"\0" * 8, length)
    refused(path)


def test_a_huge_header_is_not_read(path):
    write(path, b"", length=LARGEST_HEADER + 1)
    os.truncate(path, 2 * LARGEST_HEADER)  # a sparse file, which takes no place
    assert f"announce a header of {LARGEST_HEADER + 1} bytes" in refused(path)


def test_more_than_the_memory(path, monkeypatch):
    def full(*args):
        raise MemoryError

    save_file({"a": np.ones(3)}, path)
    monkeypatch.setattr(np, "empty", full)
    assert refused(path).endswith("it needs more memory than there is")


def test_truncation_at_any_byte(path):
    save_file({"a": np.ones((2, 3), np.float32)}, path, {"x": "y"})
    for _ in truncations(path):
        refused(path)


def test_a_file_that_is_cut_while_it_is_read(path):
    save_file({"a": np.ones(10**6)}, path)
    with opened(path) as file:
        os.truncate(path, 4096)
        with pytest.raises(ValueError, match="or is truncated: it ends inside 'a'"):
            file.read("a")


def test_a_disk_that_fails_while_a_file_is_read(path):
    save_file({"a": np.ones(3)}, path)
    message = re.escape(f"[Errno {errno.EIO}] cannot read the file {path} (Input/output error)")
    with pytest.raises(OSError, match=f"^{message}$"), opened(path):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.skipif(os.name != "posix", reason="an open file that is replaced")
def test_a_file_that_is_replaced_while_it_is_read(path):
    save_file({"a": np.zeros(3), "b": np.zeros(3)}, path)
    with opened(path) as file:
        zeros = file.read("a")
        save_file({"a": np.ones(3), "b": np.ones(3)}, path.with_name("other"))
        os.replace(path.with_name("other"), path)
        assert (zeros == file.read("b")).all()


def read_or_refused(path):
    try:
        return read(path)[1], None
    except ValueError as error:
        return None, error


def test_random_damage_gives_tensors_of_some_kind_or_one_error(path):
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(2)}, path, {"x": "y"})
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(2000):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[position] = rng.choice([*b'{}[]":,0123456789-eE.', rng.integers(256)])
        with path.open("r+b") as file:  # in place: file systems wait for the disk where a file is emptied first
            file.write(damaged)
        tensors, error = read_or_refused(path)
        if tensors is None:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert sum(tensor.nbytes for tensor in tensors.values()) == 40


def test_what_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "absent" / "far"):
        with pytest.raises(FileNotFoundError, match=re.escape(f"there is no model file {path}")):
            read(path)
