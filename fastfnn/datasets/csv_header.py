"""The header line of a CSV file: the names of its columns, and the position of the label."""

import csv
import re
import textwrap
from typing import NamedTuple

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Header(NamedTuple):
    """The columns of a CSV file, in file order."""

    names: list[str]
    label_column: int | None

    @property
    def feature_columns(self) -> list[int]:
        """The positions of all columns but the label."""
        return [column for column in range(len(self.names)) if column != self.label_column]


def split_line(line: str) -> list[str]:
    """Split a line at its commas, except within double quotes, and strip the fields.

    Raises
    ------
    ValueError
        When a quote is left open or closed in the middle of a field.
    """
    try:
        # A record is a line: a quote left open must not swallow the lines below it.
        return [field.strip() for field in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise ValueError(f"cannot be split into fields: {error}") from error


def parse_header(line: str, label: str, require_label: bool) -> Header:
    """Parse the header line.

    Raises
    ------
    ValueError
        When the line holds only numbers, a column has no name, the label occurs twice, a required label is
        missing, or there is no feature column.
    """
    names = split_line(line)
    if all(NUMBER.fullmatch(name) for name in names):
        raise ValueError("there is no header: expected the names of the columns, got only numbers; add them")
    if "" in names:
        raise ValueError(f"column {names.index('') + 1} has no name; name it or remove the column")
    if names.count(label) > 1:
        raise ValueError(f"expected one column {label!r}, found {names.count(label)}; keep one of them")
    if require_label and label not in names:
        raise ValueError(f"expected a column {label!r} with the labels, found {_shortened(names)}")
    if names == [label]:
        raise ValueError(f"expected columns of features beside {label!r}, found none")
    return Header(names, names.index(label) if label in names else None)


def _shortened(names: list[str]) -> str:
    listed = textwrap.shorten(", ".join(names), width=60, placeholder=" ...")
    return f"{len(names)} column{'s' if len(names) > 1 else ''}: {listed}"
