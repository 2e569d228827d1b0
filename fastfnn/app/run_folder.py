"""The files of a run: each is written under another name and renamed, so it is complete or absent."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import is_whole
from fastfnn.files.atomic import check_writable, remove_file, write_and_rename
from fastfnn.files.described import faults_naming, parse_json, reason_of
from fastfnn.recipes.spiral import REGIONS

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

# Files that show that a folder holds a run, and pictures, which a training that failed early may have left.
RESULTS = (MODEL, CHECKPOINT, HISTORY, CONFIG, SUBMISSION)
PICTURES = (SAMPLES, CURVES, CONFUSION, GRID, REGIONS)

DOTS_PER_INCH = 150


def require_free(folder: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Check that a new run may write its files into a folder.

    Parameters
    ----------
    folder : Path
        The folder, which need not exist.
    inputs : iterable of Path
        Files that the run reads.
    overwrite : bool
        Whether the files of an earlier run may be replaced.

    Raises
    ------
    ValueError
        If a file that the run would write is one of its inputs, or belongs to another run.
    """
    for name in (*RESULTS, *PICTURES):
        require_no_input(folder / name, inputs)
    found = [name for name in RESULTS if (folder / name).exists()]
    if found and not overwrite:
        files = ", ".join(found)
        raise ValueError(
            f"the folder {folder} holds a run ({files}): replace it with --overwrite, or choose another --out"
        )


def require_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raise ValueError if a file that would be written is one of the inputs, by whatever name or link."""
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise ValueError(f"{path} is the same file as the input {source}: choose another --out")


@contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Create a folder for a `with` block, in which a run's files can be written; what stays empty is removed again.

    Raises
    ------
    OSError
        If files cannot be written into it, or one of a run's files cannot be replaced.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
            _try_to_write_in(path)
        except OSError as error:
            reason = f"cannot write into the folder {path} ({error.strerror}): choose another --out"
            raise type(error)(reason) from error
        for name in (*RESULTS, *PICTURES):
            if os.path.lexists(path / name):
                require_writable(path / name)
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # it is not empty, or was never made
                folder.rmdir()


def remove_old(folder: Path) -> None:
    """Remove the files of an earlier run, except its settings, which the new run is to replace at once."""
    for name in (*RESULTS, *PICTURES):
        if name != CONFIG:
            remove_file(folder / name)


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
    with faults_naming(path, "is damaged: it is not JSON, line by line"):
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        reports = [parse_json(line) for line in lines if len(lines) > 1 or line]
        json.dumps(reports, allow_nan=False)  # they will be written again
    for number, report in enumerate(reports, start=1):
        if not _is_report(report):
            raise ValueError(f"{path} is damaged: line {number} is no report of an iteration")
    return reports


def _is_report(report: Any) -> bool:
    """Tell whether a report holds what the curves and later reports are made of."""
    return (
        isinstance(report, dict)
        and is_whole(report.get("iteration"))
        and all(_is_finite(report.get(name)) for name in ("iteration", "loss", "accuracy", "seconds"))
    )


def _is_finite(value: Any) -> bool:
    return (isinstance(value, float) and math.isfinite(value)) or (is_whole(value) and abs(value) <= sys.maxsize)


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


def write_all(writes: Iterable[Callable[[], object]]) -> None:
    """Write several files: all that can be written.

    Raises
    ------
    OSError
        If some could not be written; the message names all of them.
    """
    failures = []
    for write in writes:
        try:
            write()
        except OSError as error:
            failures.append(error)
    if failures:
        raise OSError("; ".join(map(reason_of, failures))) from failures[0]


def _try_to_write_in(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_and_rename(path, "".join(f"{line}\n" for line in lines).encode("utf-8"))
