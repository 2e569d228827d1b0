"""Values described by a file: JSON parsed strictly, and checks of what it holds before anything is built from it.

A check takes a name and a value. It returns the value, or raises a ValueError whose message begins with the name. The
functions of `fastfnn._checks` are checks as well.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastfnn._checks import printable, shown

Check = Callable[[str, Any], Any]

# Errors that the content of a file can cause. Others are bugs and keep their class.
FAULTS = (ValueError, TypeError, OverflowError, RecursionError, MemoryError)

# Largest number of characters of a reason, which may quote the file.
LONGEST_REASON = 400


@contextmanager
def faults_naming(path: str | os.PathLike[str], says: str) -> Iterator[None]:
    """Turn each error that a file's content causes into a ValueError of one line: the path, `says`, the reason."""
    try:
        yield
    except FAULTS as error:
        reason = "it needs more memory than there is" if isinstance(error, MemoryError) else in_brief(str(error))
        raise ValueError(f"{os.fspath(path)} {says}: {reason}") from error


def in_brief(text: str, longest: int = LONGEST_REASON) -> str:
    """Return a text on one line, of printable characters, with its middle left out if it is long."""
    line = printable(" ".join(text.split()))
    half = longest // 2
    return line if len(line) <= longest else f"{line[:half]} ... {line[-half:]}"


def reason_of(error: BaseException) -> str:
    """Return the message of an error, without the number of an error of the system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def is_same(value: Any, described: Any) -> bool:
    """Tell whether values are equal, as those of JSON are: true is no number."""
    if isinstance(value, dict) and isinstance(described, dict):
        return value.keys() == described.keys() and all(is_same(value[key], described[key]) for key in value)
    if isinstance(value, list) and isinstance(described, list):
        return len(value) == len(described) and all(map(is_same, value, described))
    return isinstance(value, bool) == isinstance(described, bool) and bool(value == described)


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, or an object names a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None


def check_fields(
    name: str, value: Any, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None
) -> dict[str, Any]:
    """Return the fields of an object, each by its check; raise ValueError for missing, unknown and wrong ones."""
    fields = check_object(name, value)
    checks = {**required, **(optional or {})}
    for key in required:
        if key not in fields:
            raise ValueError(f"{name} must have the field {key!r}; got {_listed(fields)}")
    for key in fields:
        if key not in checks:
            raise ValueError(f"{name} has the unknown field {key!r}; known are {_listed(checks)}")
    return {key: checks[key](f"{name}.{key}", field) for key, field in fields.items()}


def check_object(name: str, value: Any) -> dict[str, Any]:
    """Return an object of JSON, whose fields are not checked."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object; got {type(value).__name__}")
    return value


def check_text(name: str, value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text; got {value!r}")
    return value


def check_finite_number(name: str, value: Any) -> float:
    """Return a finite number of either sign, as it is."""
    if not math.isfinite(check_number(name, value)):
        raise ValueError(f"{name} must be a finite number; got {value!r}")
    return value  # type: ignore[no-any-return]


def check_number(name: str, value: Any) -> float:
    """Return a number that a float can hold, as it is; NaN and inf are numbers too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number; got {value!r}")
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a number that a float can hold; got {shown(value)}") from None
    return value


def one_of(choices: Collection[str]) -> Check:
    """Return the check for one of several texts."""

    def check(name: str, value: Any) -> str:
        if check_text(name, value) not in choices:
            raise ValueError(f"{name} must be one of {_listed(choices)}; got {value!r}")
        return str(value)

    return check


def list_of(check: Check, length: int | None = None) -> Check:
    """Return the check for a list, each element by `check`, of any length or the given one."""

    def check_all(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or length not in (None, len(value)):
            wanted = "a list" if length is None else f"a list of {length}"
            got = f"{len(value)}" if isinstance(value, list) else type(value).__name__
            raise ValueError(f"{name} must be {wanted}; got {got}")
        return [check(f"{name}[{i}]", element) for i, element in enumerate(value)]

    return check_all


def values_of(check: Check) -> Check:
    """Return the check for an object of any keys, each value by `check`."""

    def check_all(name: str, value: Any) -> dict[str, Any]:
        return {key: check(f"{name}[{key!r}]", each) for key, each in check_object(name, value).items()}

    return check_all


def none_or(check: Check) -> Check:
    """Return the check for None, or a value by `check`."""
    return lambda name, value: None if value is None else check(name, value)


def fields_of(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Return `check_fields` for these fields."""
    return lambda name, value: check_fields(name, value, required, optional)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"its JSON has the field {name!r} twice")
        found[name] = value
    return found


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
