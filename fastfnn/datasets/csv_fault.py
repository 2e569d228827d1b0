"""Find out what is wrong with CSV lines that NumPy rejected, in a slow but exact second pass."""

import math
import reprlib
from collections.abc import Iterable

import numpy as np

from fastfnn.datasets.conversion import LARGEST_LABEL
from fastfnn.datasets.csv_header import NUMBER, Header, split_line


def first_fault(numbered_lines: Iterable[tuple[int, str]], header: Header) -> str | None:
    """Describe the first faulty line, with its number; None when there is none."""
    for number, line in numbered_lines:
        fault = _line_fault(line, header)
        if fault is not None:
            return f"line {number}: {fault}"
    return None


def _line_fault(line: str, header: Header) -> str | None:
    try:
        fields = split_line(line)
    except ValueError as error:
        return str(error)
    if len(fields) != len(header.names):
        return f"found {len(fields)} fields, the header has {len(header.names)}"
    features = set(header.feature_columns)
    for column, (name, field) in enumerate(zip(header.names, fields, strict=True)):
        fault = None
        if column == header.label_column:
            fault = _label_fault(field)
        elif column in features:
            fault = _feature_fault(field)
        if fault is not None:
            return f"column {reprlib.repr(name)}: {fault}"
    return None


def _feature_fault(field: str) -> str | None:
    fault = _number_fault(field)
    if fault is not None:
        return fault
    with np.errstate(over="ignore"):
        fits = np.isfinite(np.float32(field))
    return None if fits else f"{reprlib.repr(field)} is beyond the range of float32; scale the column"


def _label_fault(field: str) -> str | None:
    fault = _number_fault(field)
    if fault is not None:
        return fault
    value = float(field)
    if value < 0:
        return f"the label {reprlib.repr(field)} is negative; number the classes 0, 1, ..."
    if value > LARGEST_LABEL or not value.is_integer():
        return f"the label {reprlib.repr(field)} is not an integer up to 2**53; number the classes 0, 1, ..."
    return None


def _number_fault(field: str) -> str | None:
    if field == "":
        return "the field is empty; expected a number"
    if NUMBER.fullmatch(field):
        return None
    if _is_written_nan_or_infinity(field):
        return f"expected a finite number, got {reprlib.repr(field)}"
    return f"expected a number, got {reprlib.repr(field)}"


def _is_written_nan_or_infinity(field: str) -> bool:
    try:
        return not math.isfinite(float(field))
    except ValueError:
        return False
