"""Safetensors files of networks: the parameters as tensors, the architecture in the metadata.

The metadata also hold a SHA-256 of architecture and tensors. A file with a single wrong bit is rejected.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fastfnn.files.atomic import write_and_rename
from fastfnn.files.described import check_object, check_text, faults_naming, in_brief, parse_json
from fastfnn.files.tensor_file import LARGEST_HEADER, LENGTH_BYTES, opened

# The metadata entry that holds the architecture, and the version of its format.
ENTRY = "fastfnn"
FORMAT = 2


def write_model(path: str | os.PathLike[str], architecture: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Write a model file whole; see `fastfnn.files.atomic.write_and_rename`.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If a tensor holds NaN or inf, or the architecture is longer than readers of such files accept.
    """
    # Copied once: another thread may change the tensors, but neither after they were checked nor between digest and
    # file.
    tensors = {name: np.array(tensor) for name, tensor in tensors.items()}
    require_finite(tensors)
    # A single entry: the order of several is not fixed, and equal networks should give equal files.
    described = {"format": FORMAT, **architecture}
    content = save(tensors, {ENTRY: json.dumps(described | {"sha256": digest_of(described, tensors)})})
    header = int.from_bytes(content[:LENGTH_BYTES], "little")
    if header > LARGEST_HEADER:
        raise ValueError(
            f"{os.fspath(path)} would need a header of {header:,} bytes; a safetensors file has up to "
            f"{LARGEST_HEADER:,}: save fewer layers, or a shorter history"
        )
    write_and_rename(path, content)


def require_finite(parameters: dict[str, NDArray[Any]]) -> None:
    """Raise ValueError if a parameter holds NaN or inf: it must not overwrite a better one."""
    for name, parameter in parameters.items():
        if not np.isfinite(parameter).all():
            raise ValueError(f"{name} holds NaN or inf: the network is not saved; train it with smaller steps")


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the architecture and the tensors of a model file.

    The digest tells that they are what was written, by whatever program: what they describe is still to be checked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read.
    ValueError
        If the file is truncated, damaged, or not a fastfnn model.
    """
    name = os.fspath(path)
    with opened(path) as file:
        architecture = _architecture_in(file.metadata, name)
        tensors = {key: file.read(key) for key in file.entries}
    with faults_naming(path, "is damaged"):
        if check_text("sha256", architecture.pop("sha256", None)) != digest_of(architecture, tensors):
            raise ValueError("its content is not what was written (SHA-256 differs)")
    del architecture["format"]
    return architecture, tensors


def _architecture_in(metadata: dict[str, str], name: str) -> dict[str, Any]:
    """Return the architecture, of this version's format."""
    if metadata.keys() != {ENTRY}:
        got = in_brief(repr(metadata))
        raise ValueError(f"{name} is no fastfnn model: expected {ENTRY!r} alone in its metadata; got {got}")
    with faults_naming(name, "is damaged: its architecture cannot be read"):
        architecture = check_object("it", parse_json(metadata[ENTRY]))
        if "format" not in architecture:
            raise ValueError("it has no field 'format'")
    version = architecture["format"]
    if version != FORMAT:
        got = in_brief(repr(version))
        raise ValueError(f"{name} is of format {got}; this version of fastfnn reads format {FORMAT}")
    return architecture


def digest_of(architecture: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of an architecture and of its tensors' names, dtypes, shapes and bytes."""
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape} ".encode())
        digest.update(tensor.data.cast("B") if tensor.size else b"")
    return digest.hexdigest()


def fill(parameters: dict[str, NDArray[Any]], tensors: dict[str, NDArray[Any]], path: str | os.PathLike[str]) -> None:
    """Copy tensors into the parameters of the same names, all of them or none; see `check_tensors`."""
    check_tensors(parameters, tensors, path)
    for key, parameter in parameters.items():
        parameter[...] = tensors[key]


def check_tensors(
    parameters: dict[str, NDArray[Any]], tensors: dict[str, NDArray[Any]], path: str | os.PathLike[str]
) -> None:
    """Check that tensors can become the parameters of a network.

    Raises
    ------
    ValueError
        If names, shapes or dtypes differ, or a tensor holds NaN or inf.
    """
    name = os.fspath(path)
    if parameters.keys() != tensors.keys():
        expected, got = in_brief(repr(sorted(parameters))), in_brief(repr(sorted(tensors)))
        raise ValueError(f"{name} is of another architecture: expected {expected}; got {got}")
    for key, parameter in parameters.items():
        tensor = tensors[key]
        if (tensor.shape, tensor.dtype) != (parameter.shape, parameter.dtype):
            raise ValueError(
                f"{name} is of another architecture: {key} should be {parameter.dtype} {parameter.shape}; "
                f"got {tensor.dtype} {tensor.shape}"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} is damaged: {key} holds NaN or inf")
