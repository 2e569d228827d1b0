"""Damaged files of data: npz, IDX, CSV, compressed or not, and the embedded MNIST."""

from __future__ import annotations

import ast
import csv
import functools
import gzip
import hashlib
import io
import lzma
import math
import re
import struct
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from fuzz_damage import OF_BYTES, OF_TABLES, OF_TEXT, Rng, damaged, rewrite_number
from fuzz_format import Format, plain

from fastfnn.datasets import load_mnist, mnist, read_dataset

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 2, 3) * 10
LABELS = np.array([3, 0, 2, 1])

LETTERS = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}


def formats() -> list[Format]:
    """Return the formats of data."""
    bytes_damage = functools.partial(_damaged, OF_BYTES)
    tables_damage = functools.partial(_damaged, OF_TABLES)
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    both = {images: _idx(PIXELS), labels: _idx(LABELS.astype(np.uint8))}
    csv_files = tuple(text.encode() for text in CSV_FILES)
    return [
        Format("npz", _npz_files(), functools.partial(_damaged, (*OF_BYTES, *OF_TEXT)), "data.npz", _read),
        Format("npz members", _npz_files(), _members_damaged, "data.npz", _read, _right_npz),
        Format("idx", _idx_files(), bytes_damage, "digits", _read, _right_idx),
        Format("idx gzip", tuple(map(_gzip, _idx_files())), bytes_damage, "digits.gz", _read),
        Format("idx images", (both[images],), bytes_damage, images, _read, _right_images, both),
        Format("idx labels", (both[labels],), bytes_damage, labels, _read_images_of, _right_labels, both),
        Format("csv", csv_files[:2], tables_damage, "data.csv", _read, _right_csv),
        Format("csv headerless", csv_files[2:], tables_damage, "data.csv", _read_headerless, _right_headerless),
        Format("csv gzip", tuple(map(_gzip, csv_files[:2])), bytes_damage, "data.csv.gz", _read),
        Format("mnist", (_mnist_file(),), bytes_damage, "mnist.xz", _read_mnist),
        Format("mnist unpacked", (_mnist_file(),), _unpacked_damaged, "mnist.xz", _read_mnist),
    ]


CSV_FILES = (
    "label,a,b,c\n0,1,2,3\n1,0,255,17\n2,10,20,30\n",
    'x,"y, z",label,w\n0.5,-1e-3,1,3\n\n2.25,7,0,1e10\n 1 ,2,2.0, 4\n',
    "1,2,3\n4.5,6,7\n8,9,10\n",
    '"1",2\r\n3,"4"\r\n255,0\r\n',
)


def _damaged(damages: Any, rng: Rng, content: bytes, other: bytes) -> bytes:
    return damaged(rng, damages, content, other)


def _read(path: Path, **options: Any) -> Any:
    data = read_dataset(path, **options)
    return plain(data.X), plain(data.y), data.columns


_read_headerless = functools.partial(_read, header=False)


def _read_images_of(labels: Path) -> Any:
    return _read(labels.with_name(labels.name.replace("labels", "images").replace("idx1", "idx3")))


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _right(X: np.ndarray, y: np.ndarray | None) -> Any:
    """Return what these arrays are as a data set."""
    native = X.dtype.newbyteorder("=")
    kept = native in (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))
    samples = X.astype(native if kept else np.uint8).reshape(len(X), -1)
    assert samples.size > 0
    assert (samples == X.reshape(len(X), -1)).all()
    assert np.isfinite(samples).all()
    if y is None:
        return plain(samples), None, None
    assert y.shape == (len(X),)
    assert all(int(label) == label >= 0 for label in y.tolist())
    return plain(samples), plain(np.array([int(label) for label in y.tolist()], np.int64)), None


def _npz_files() -> tuple[bytes, ...]:
    rng = np.random.default_rng(0)
    return (
        _npz(X=PIXELS, y=LABELS),
        _npz(zipfile.ZIP_DEFLATED, x_train=rng.standard_normal((6, 3)).astype(">f4"), y_train=np.arange(6.0)),
        _npz(X=np.asfortranarray(rng.standard_normal((5, 2))), others=LABELS),
        _npz(X=np.arange(12).reshape(3, 4), y=np.zeros(3, np.int8)),
    )


def _npz(compression: int = zipfile.ZIP_STORED, **arrays: np.ndarray) -> bytes:
    members = {}
    for number, (name, array) in enumerate(arrays.items()):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, version=(1 + number % 2, 0))
        members[f"{name}.npy"] = stream.getvalue()
    return _zip(members, compression)


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def _unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _members_damaged(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Damage what is in an archive, mostly headers, and write it with right checksums."""
    members, others = _unzip(content), list(_unzip(other).values())
    name = list(members)[int(rng.integers(len(members)))]
    member, header = members[name], members[name].index(b"\n") + 1
    if rng.integers(4):
        members[name] = damaged(rng, (*OF_TEXT, rewrite_number), member[:header], others[0]) + member[header:]
    else:
        members[name] = damaged(rng, OF_BYTES, member, others[0])
    return _zip(members)


def _right_npz(content: bytes) -> Any:
    arrays = {name.removesuffix(".npy"): member for name, member in _unzip(content).items()}
    X, y = ("X", "y") if "X" in arrays else ("x_train", "y_train")
    return _right(_right_npy(arrays[X]), _right_npy(arrays[y]) if y in arrays else None)


def _right_npy(content: bytes) -> np.ndarray:
    assert content[:6] == b"\x93NUMPY"
    size = 2 if content[6] == 1 else 4
    start = 8 + size + int.from_bytes(content[8 : 8 + size], "little")
    text = content[8 + size : start].decode("utf-8" if content[6] == 3 else "latin-1")
    header = ast.literal_eval(re.sub(r"(\d)L", r"\1", text).strip())
    numbers = np.frombuffer(content[start:], np.dtype(header["descr"]))
    return numbers.reshape(header["shape"], order="F" if header["fortran_order"] else "C")


def _idx(array: np.ndarray) -> bytes:
    code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[array.dtype.str[1:]]
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()


def _idx_files() -> tuple[bytes, ...]:
    return tuple(map(_idx, (PIXELS, PIXELS.astype(np.int16), np.linspace(-1, 1, 12).reshape(6, 2), PIXELS / 7)))


def _right_numbers(content: bytes) -> np.ndarray:
    zeros, code, n_dimensions = struct.unpack(">HBB", content[:4])
    assert zeros == 0
    start = 4 + 4 * n_dimensions
    shape = struct.unpack(f">{n_dimensions}I", content[4:start])
    numbers = struct.unpack(f">{math.prod(shape)}{LETTERS[code]}", content[start:])
    return np.array(numbers, np.dtype(LETTERS[code])).reshape(shape)


def _right_idx(content: bytes) -> Any:
    return _right(_right_numbers(content), None)


def _right_images(content: bytes) -> Any:
    return _right(_right_numbers(content), LABELS)


def _right_labels(content: bytes) -> Any:
    return _right(PIXELS, _right_numbers(content))


def _right_csv(content: bytes) -> Any:
    names, *rows = _rows(content)
    return _right_table(names, rows, tuple(name for name in names if name != "label"))


def _right_headerless(content: bytes) -> Any:
    rows = _rows(content)
    return _right_table([str(number) for number, _ in enumerate(rows[0], 1)], rows, None)


def _rows(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8-sig", "replace")
    rows = [[field.strip() for field in row] for row in csv.reader(io.StringIO(text, newline=""))]
    return [row for row in rows if row not in ([], [""])]


def _right_table(names: list[str], rows: list[list[str]], columns: Any) -> Any:
    features = [[field for name, field in zip(names, row, strict=True) if name != "label"] for row in rows]
    labels = [float(row[names.index("label")]) for row in rows] if "label" in names else None
    with np.errstate(under="ignore"):
        X = np.array([[np.float32(float(field)) for field in row] for row in features])
    are_bytes = all(re.fullmatch(r"\+?[0-9]+", field) and int(field) <= 255 for row in features for field in row)
    return *_right(X.astype(np.uint8) if are_bytes else X, None if labels is None else np.array(labels))[:2], columns


N_IMAGES = 20


def _mnist_images() -> bytes:
    return np.random.default_rng(1).integers(0, 9, N_IMAGES * (mnist.N_PIXELS + 1), np.uint8).tobytes()


def _mnist_file() -> bytes:
    return lzma.compress(_mnist_images(), check=lzma.CHECK_CRC32)


def _unpacked_damaged(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Damage what is compressed, and compress it with right checksums."""
    return lzma.compress(damaged(rng, OF_BYTES, lzma.decompress(content), lzma.decompress(other)))


def _read_mnist(path: Path) -> Any:
    digest = hashlib.sha256(_mnist_images()).hexdigest()
    sizes = {"N_IMAGES": N_IMAGES, "N_TRAIN": {"kaggle": 12, "original": 15}}
    with mock.patch.multiple(mnist, EMBEDDED=path, SHA256=digest, **sizes):
        return [(plain(part.X), plain(part.y)) for part in load_mnist()]
