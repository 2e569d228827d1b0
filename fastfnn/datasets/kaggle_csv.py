"""CSV files in the format of Kaggle's digit recogniser: a header, a label column, one sample per line."""

import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.conversion import are_labels
from fastfnn.datasets.csv_fault import first_fault
from fastfnn.datasets.csv_header import Header, parse_header
from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import ByteStream, PathLike, open_plain_or_gzip

# Bytes of text in memory at a time, beside the arrays parsed from it.
BLOCK_BYTES = 8 << 20

NumberedLines = list[tuple[int, str]]


def read_csv(path: PathLike, label: str = "label", require_label: bool = False) -> Dataset:
    """Read a CSV file of numbers, such as train.csv and test.csv of Kaggle's digit recogniser.

    Parameters
    ----------
    path : str or path-like
        File in UTF-8: a header line, then one sample per line, with commas between the fields. Blank lines are
        skipped. The file may be gzip-compressed.
    label : str
        Name of the column with the labels, in any position. All other columns are features, in file order.
        Without a column of this name the samples are unlabelled.
    require_label : bool
        Whether to reject a file without labels.

    Returns
    -------
    Dataset
        X of shape (n_samples, n_features): uint8 when all features are written as integers from 0 to 255,
        otherwise float32. y of shape (n_samples,), int64, or None.

    Raises
    ------
    ValueError
        When the file is empty, has no header or nothing below it, lacks a required label, or has an invalid
        line. The message names the file, the line (the first line is 1) and the column.
    OSError
        When the file is missing or cannot be opened.
    """
    with open_plain_or_gzip(path) as stream, _as_text(stream) as file:
        number, line = _first_written_line(file, path)
        try:
            header = parse_header(line, label, require_label)
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        samples = [_parse_block(block, header, path) for block in _blocks(file, number + 1)]
    if not samples:
        raise ValueError(f"{path}: there is a header but no line of numbers below it")
    X = np.concatenate([features for features, _ in samples])
    if header.label_column is None:
        return Dataset(X)
    return Dataset(X, np.concatenate([labels for _, labels in samples]).astype(np.int64))


def _as_text(stream: ByteStream) -> io.TextIOWrapper:
    """Decode UTF-8; invalid bytes become a character that is reported like any other non-number."""
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")


def _first_written_line(file: io.TextIOWrapper, path: PathLike) -> tuple[int, str]:
    for number, line in enumerate(file, start=1):
        if not line.isspace():
            return number, line
    raise ValueError(f"{path}: the file is empty; expected a header line and numbers below it")


def _blocks(file: io.TextIOWrapper, number: int) -> Iterator[NumberedLines]:
    """Yield the remaining lines in blocks, without blank lines, numbered from `number`."""
    while lines := file.readlines(BLOCK_BYTES):
        block = [(n, line) for n, line in enumerate(lines, start=number) if not line.isspace()]
        if block:
            yield block
        number += len(lines)


def _parse_block(
    block: NumberedLines, header: Header, path: PathLike
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Parse features, uint8 or float32, and labels, empty without a label column."""
    lines = [line for _, line in block]
    try:
        _require_fields(lines, len(header.names))
        return _parse_features(lines, header), _parse_labels(lines, header)
    except ValueError as error:
        fault = first_fault(block, header) or f"lines {block[0][0]} to {block[-1][0]}: {error}"
        raise ValueError(f"{path}: {fault}") from error


def _require_fields(lines: list[str], n_fields: int) -> None:
    """Reject a line with too many or too few fields: `numpy.loadtxt` accepts it when given `usecols`."""
    if any(line.count(",") != n_fields - 1 for line in lines):
        raise ValueError(f"expected {n_fields} fields in every line")


def _parse_features(lines: list[str], header: Header) -> npt.NDArray[Any]:
    try:
        with warnings.catch_warnings():
            # NumPy 2.0 warns that "1.5" is not an integer, and reads it as 1.
            warnings.simplefilter("error", DeprecationWarning)
            return _load_columns(lines, header.feature_columns, np.uint8)
    except ValueError:
        numbers = _load_columns(lines, header.feature_columns, np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("expected finite numbers within the range of float32")
    return numbers


def _parse_labels(lines: list[str], header: Header) -> npt.NDArray[np.float64]:
    if header.label_column is None:
        return np.empty(0)
    labels = _load_columns(lines, [header.label_column], np.float64)[:, 0]
    if not are_labels(labels):
        raise ValueError("expected labels that are integers, 0 or greater")
    return labels


def _load_columns(lines: list[str], columns: list[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.loadtxt(lines, dtype, comments=None, delimiter=",", usecols=columns, ndmin=2, quotechar='"')
