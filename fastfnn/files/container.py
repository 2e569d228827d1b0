"""Safetensors files of networks: the parameters as tensors, the architecture in the metadata.

The metadata also hold a SHA-256 of architecture and tensors. A file with a single wrong bit is rejected.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fastfnn.files.atomic import write_and_rename

# The metadata entry that holds the architecture, and the version of its format.
ENTRY = "fastfnn"
FORMAT = 2


def write_model(path: str | os.PathLike[str], architecture: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Write a model file beside `path` and rename it: an interruption leaves either the old or the new file.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    # A single entry: the order of several is not fixed, and equal networks should give equal files.
    described = {"format": FORMAT, **architecture}
    content = save(tensors, {ENTRY: json.dumps(described | {"sha256": digest_of(described, tensors)})})
    write_and_rename(path, lambda beside: beside.write_bytes(content))


def require_finite(parameters: dict[str, NDArray[Any]]) -> None:
    """Raise ValueError if a parameter holds NaN or inf: it must not overwrite a better one."""
    for name, parameter in parameters.items():
        if not np.isfinite(parameter).all():
            raise ValueError(f"{name} holds NaN or inf: the network is not saved; train it with smaller steps")


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the architecture and the tensors of a model file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, or not a fastfnn model.
    """
    with opened(path) as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a mapping
    if ENTRY not in metadata:
        raise ValueError(f"{os.fspath(path)} is no fastfnn model: expected {ENTRY!r} in its metadata; got {metadata}")
    try:
        architecture = json.loads(metadata[ENTRY])
        version = architecture["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: its architecture cannot be read ({error})") from error
    if version != FORMAT:
        raise ValueError(f"{os.fspath(path)} is of format {version!r}; this version of fastfnn reads format {FORMAT}")
    if architecture.pop("sha256", None) != digest_of(architecture, tensors):
        raise ValueError(f"{os.fspath(path)} is damaged: its content is not what was written (SHA-256 differs)")
    return architecture, tensors


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a safetensors file for reading.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file, or a part of it, cannot be read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model file {os.fspath(path)}")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            yield file
    except (SafetensorError, TypeError, AttributeError) as error:  # the last two for dtypes that NumPy lacks
        raise ValueError(f"{os.fspath(path)} is no readable model file, or is truncated: {error}") from error


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
        raise ValueError(f"{name} is of another architecture: expected {sorted(parameters)}; got {sorted(tensors)}")
    for key, parameter in parameters.items():
        tensor = tensors[key]
        if (tensor.shape, tensor.dtype) != (parameter.shape, parameter.dtype):
            raise ValueError(
                f"{name} is of another architecture: {key} should be {parameter.dtype} {parameter.shape}; "
                f"got {tensor.dtype} {tensor.shape}"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} is damaged: {key} holds NaN or inf")
