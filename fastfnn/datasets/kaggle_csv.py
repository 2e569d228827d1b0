"""CSV files in the format of Kaggle's digit recogniser: a header, a label column, one sample per line."""

import csv
import io
import itertools
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.conversion import are_labels
from fastfnn.datasets.csv_fault import first_fault
from fastfnn.datasets.csv_header import Choice, Header, numbered_columns, parse_header
from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import ByteStream, PathLike, open_plain_or_gzip, require_memory

# Bytes of text in memory at a time, beside the arrays parsed from it.
BLOCK_BYTES = 1 << 20

# Characters of the longest line. A file without line ends has a longer one, and so may a small compressed file.
LONGEST_LINE = 64 << 20

NumberedLines = list[tuple[int, str]]


def read_csv(
    path: PathLike,
    label: str = "label",
    require_label: bool = False,
    *,
    drop: Collection[str] = (),
    header: bool = True,
    columns: Sequence[str] | None = None,
) -> Dataset:
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
    drop : collection of str
        Names of columns to leave out. They may hold any text.
    header : bool
        Whether the first line holds the names of the columns. Without a header the columns are called "1", "2", ...
    columns : sequence of str, optional
        Names of the features in the order wanted, such as `network.data_form.columns`. The file must have these
        features, in any order, and no others. Ignored without a header.

    Returns
    -------
    Dataset
        X of shape (n_samples, n_features): uint8 when all features are written as integers from 0 to 255,
        otherwise float32. y of shape (n_samples,), int64, or None. `columns` holds the names of the features, or
        None without a header.

    Raises
    ------
    ValueError
        When the file is empty, has no header or nothing below it, lacks a required label or a column, or has an
        invalid line. The message names the file, the line (the first line is 1) and the column.
    TypeError
        When `label` is no text, or `drop` or `columns` is no list of texts.
    OSError
        When the file is missing or cannot be opened.
    """
    choice = Choice(label, require_label, drop, columns)
    with open_plain_or_gzip(path) as stream, _as_text(stream) as file:
        blocks = _blocks(file, path)
        first = next(blocks, None)
        if first is None:
            raise ValueError(f"{path}: the file is empty; expected a header line and numbers below it")
        number, line = first[0]
        try:
            chosen = parse_header(line, choice) if header else numbered_columns(line, choice)
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        samples = _parse_all(itertools.chain([first[1:] if header else first], blocks), chosen, path)
    if not samples:
        raise ValueError(f"{path}: there is a header but no line of numbers below it")
    X = np.concatenate([features for features, _ in samples])
    names = chosen.feature_names if header else None
    if chosen.label_column is None:
        return Dataset(X, columns=names)
    return Dataset(X, np.concatenate([labels for _, labels in samples]).astype(np.int64), names)


def _as_text(stream: ByteStream) -> io.TextIOWrapper:
    """Decode UTF-8; invalid bytes become a character that is reported like any other non-number."""
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")


def _blocks(file: io.TextIOWrapper, path: PathLike) -> Iterator[NumberedLines]:
    """Yield the lines that are not blank in blocks, with their numbers from 1."""
    number = 1
    while text := file.read(BLOCK_BYTES):
        end = file.readline(LONGEST_LINE)
        lines = text.split("\n")
        lines[-1] += end.removesuffix("\n")
        if len(end) == LONGEST_LINE and not end.endswith("\n"):
            raise ValueError(
                f"{path}: line {number + len(lines) - 1} is longer than {LONGEST_LINE:,} characters; expected one "
                f"sample per line"
            )
        block = [(n, line) for n, line in enumerate(lines, start=number) if line and not line.isspace()]
        if block:
            yield block
        number += len(lines)


def _parse_all(
    blocks: Iterator[NumberedLines], header: Header, path: PathLike
) -> list[tuple[npt.NDArray[Any], npt.NDArray[np.float64]]]:
    samples, n_bytes = [], 0
    for block in filter(None, blocks):
        samples.append(_parse_block(block, header, path))
        n_bytes += sum(array.nbytes for array in samples[-1])
        require_memory(n_bytes, path)
    return samples


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
    """Reject a line with too many or too few fields, or with an open quote: `numpy.loadtxt` accepts both."""
    counts = _count_fields(lines)
    if len(counts) != len(lines) or any(count != n_fields for count in counts):
        raise ValueError(f"expected {n_fields} fields in every line")


def _count_fields(lines: list[str]) -> list[int]:
    """Return the number of fields of each record; an open quote joins lines to one record, or is an error."""
    if not any('"' in line for line in lines):
        return [line.count(",") + 1 for line in lines]
    try:
        return [len(record) for record in csv.reader(lines, strict=True)]
    except csv.Error as error:
        raise ValueError(f"cannot be split into fields: {error}") from error


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
