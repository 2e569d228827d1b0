"""The header line of a CSV file: the names of its columns, and the positions of label and features."""

import csv
import re
import reprlib
import textwrap
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastfnn._checks import printable

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Choice:
    """Columns that a user wants from a CSV file, as in `fastfnn.datasets.read_csv`."""

    label: str
    require_label: bool
    drop: Collection[str]
    columns: Sequence[str] | None

    def __post_init__(self) -> None:
        if not isinstance(self.label, str):
            raise TypeError(f"label must be the name of a column; got {self.label!r}")
        for name, value in (("drop", self.drop), ("columns", self.columns or ())):
            if isinstance(value, str) or not all(isinstance(column, str) for column in value):
                raise TypeError(f"{name} must be a list of names of columns; got {value!r}")


class Header(NamedTuple):
    """The columns of a CSV file, in file order, and the positions of those that are read."""

    names: list[str]
    label_column: int | None
    feature_columns: list[int]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order in which they are read."""
        return tuple(self.names[column] for column in self.feature_columns)


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


def parse_header(line: str, choice: Choice) -> Header:
    """Parse the header line.

    Raises
    ------
    ValueError
        When the line holds only numbers, a column has no name, two have the same, a required label or a column to
        drop is missing, there is no feature column, or the features are not those of `choice.columns`.
    """
    names = split_line(line)
    if all(NUMBER.fullmatch(name) for name in names):
        raise ValueError(
            "there is no header: expected the names of the columns, got only numbers; add them, or read the file "
            "without a header (--no-header, header=False)"
        )
    return _chosen(names, choice, choice.columns)


def numbered_columns(line: str, choice: Choice) -> Header:
    """Name the columns of a file without a header 1, 2, 3, ...; `line` is its first one.

    Raises
    ------
    ValueError
        As for `parse_header`. The names in `choice.columns` are not compared with these numbers.
    """
    return _chosen([str(number) for number in range(1, len(split_line(line)) + 1)], choice, None)


def _chosen(names: list[str], choice: Choice, columns: Sequence[str] | None) -> Header:
    if choice.require_label and choice.label not in names:
        raise ValueError(f"expected a column {choice.label!r} with the labels, found {shortened(names)}")
    places = {name: place for place, name in enumerate(names) if name not in choice.drop}
    if "" in places:
        raise ValueError(f'column {names.index("") + 1} has no name; name it, or leave it out (--drop "", drop=[""])')
    _require_distinct([name for name in names if name not in choice.drop])
    label_column = places.pop(choice.label, None)
    if columns is None:
        _require_dropped(names, choice)
        columns = list(places)
    elif places.keys() != set(columns):
        raise ValueError(_other_columns(columns, list(places)))
    if not columns:
        raise ValueError(f"expected columns of features beside {choice.label!r}, found none")
    return Header(names, label_column, [places[name] for name in columns])


def _require_distinct(names: list[str]) -> None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ValueError(f"expected one column {reprlib.repr(name)}, found {count}; keep one of them")


def _require_dropped(names: list[str], choice: Choice) -> None:
    for name in choice.drop:
        if name == choice.label:
            raise ValueError(f"the column {name!r} cannot be both the label and dropped")
        if name not in names:
            raise ValueError(f"there is no column {name!r} to drop, found {shortened(names)}")


def _other_columns(expected: Sequence[str], found: Sequence[str]) -> str:
    """Describe how the columns of a file differ from those of the training."""
    missing = [name for name in expected if name not in set(found)]
    additional = [name for name in found if name not in set(expected)]
    differences = [
        f"{what} {shortened(names)}" for what, names in (("lacks", missing), ("adds", additional)) if names
    ]
    return (
        f"expected the columns of the training, {shortened(expected)}; found {shortened(found)}: the file "
        f"{' and '.join(differences)}; rename them, or leave columns out (--drop, --label)"
    )


def shortened(names: Sequence[str]) -> str:
    """Return the number of columns and the first of their names."""
    listed = printable(textwrap.shorten(", ".join(names), width=60, placeholder=" ..."))
    return f"{len(names)} column{'' if len(names) == 1 else 's'}{': ' if names else ''}{listed}"
