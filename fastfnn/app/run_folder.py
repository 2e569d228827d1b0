"""The files of a run: each is written under another name and renamed, so it is complete or absent."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.files.atomic import check_writable, write_and_rename

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL = "model.safetensors"
HISTORY = "history.jsonl"
CONFIG = "config.toml"
SUBMISSION = "submission.csv"
SAMPLES = "samples.png"
CURVES = "curves.png"
CONFUSION = "confusion.png"
GRID = "grid.png"
CHECKPOINT = "checkpoint.safetensors"

DOTS_PER_INCH = 150


def make_folder(path: Path) -> None:
    """Create a folder if it is missing, and check that files can be written into it.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _try_to_write_in(path)
    except OSError as error:
        raise type(error)(f"cannot write into the folder {path} ({error.strerror}): choose another --out") from error


def require_writable(path: Path) -> None:
    """Check that a file can be written at `path`, without changing an existing one.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    try:
        check_writable(path)
    except OSError as error:
        raise type(error)(error.errno, f"{error.strerror}: choose another --out") from None


def write_history(path: Path, reports: Iterable[Mapping[str, Any]]) -> None:
    """Write one line of JSON for each report.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    _write_lines(path, (json.dumps(report, allow_nan=False) for report in reports))


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the reports written by `write_history`.

    Raises
    ------
    OSError, ValueError
        If they cannot be read.
    """
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_submission(path: Path, labels: NDArray[np.int64]) -> None:
    """Write predicted labels in Kaggle's format: `ImageId,Label`, with images counted from 1.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    _write_lines(path, ["ImageId,Label", *(f"{i},{label}" for i, label in enumerate(labels, start=1))])


def write_figure(path: Path, figure: Figure) -> None:
    """Write a picture as PNG.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
    write_and_rename(path, picture.getvalue())


def _try_to_write_in(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_and_rename(path, "".join(f"{line}\n" for line in lines).encode("utf-8"))
