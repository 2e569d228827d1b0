"""Checks of numbers, names and dtypes passed by users, each defined once so that all messages agree."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

FLOAT_DTYPES = ("float32", "float64")


def check_count(name: str, value: Any) -> int:
    """Return a whole number from 1 up; raise ValueError for anything else."""
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 up; got {value!r}")
    return int(value)


def check_optional_count(name: str, value: Any) -> int | None:
    """Return None or a whole number from 1 up; raise ValueError for anything else."""
    if value is None:
        return None
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name} must be None or a whole number from 1 up; got {value!r}")
    return int(value)


def check_whole(name: str, value: Any, least: int, largest: int, meaning: str = "") -> int:
    """Return a whole number from `least` to `largest`; raise ValueError, with the bound's meaning, for others."""
    if not is_whole(value) or not least <= value <= largest:
        raise ValueError(f"{name} must be a whole number from {least} to {largest}{meaning}; got {value!r}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """Return a finite number above 0; raise ValueError for anything else."""
    number = _as_float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be a finite number above 0; got {shown(value)}")
    return number


def check_optional_positive(name: str, value: Any) -> float | None:
    """Return None or a finite number above 0; raise ValueError for anything else."""
    if value is None:
        return None
    number = _as_float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be None or a finite number above 0; got {shown(value)}")
    return number


def check_non_negative(name: str, value: Any) -> float:
    """Return a finite number from 0 up; raise ValueError for anything else."""
    number = _as_float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number from 0 up; got {shown(value)}")
    return number


def check_share(name: str, value: Any) -> float:
    """Return a number from 0 to below 1; raise ValueError for anything else."""
    number = _as_float(value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must lie from 0 to below 1; got {shown(value)}")
    return number


def check_fraction(name: str, value: Any) -> float:
    """Return a number from 0 to 1; raise ValueError for anything else."""
    number = _as_float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must lie from 0 to 1; got {shown(value)}")
    return number


def check_part(name: str, value: Any) -> float:
    """Return a number above 0 and below 1; raise ValueError for anything else."""
    number = _as_float(value)
    if not 0 < number < 1:
        raise ValueError(f"{name} must be a share above 0 and below 1; got {shown(value)}")
    return number


def check_scale(name: str, value: Any, dtype: np.dtype[Any]) -> float:
    """Return a finite nonzero number that `dtype` can hold; raise ValueError for anything else."""
    number = _as_float(value)
    if number == 0 or not held(number, dtype):
        raise ValueError(f"{name} must be a finite number other than 0 in {dtype}; got {shown(value)}")
    return number


def check_held(owner: str, numbers: Mapping[str, float], dtype: np.dtype[Any], below: float = math.inf) -> None:
    """Raise ValueError for a number that `dtype` rounds to 0, or up to a bound.

    Parameters
    ----------
    owner : str
        Prefix of the names in messages: what takes the numbers.
    numbers : mapping of str to float
        Numbers by name; finite ones, except for those of a user's own.
    dtype : dtype
        dtype of the network.
    below : float
        Bound that no number may reach in `dtype`.
    """
    for name, number in numbers.items():
        if not (held(number, dtype) and _rounded(number, dtype) < below):
            raise ValueError(
                f"{owner}{name} must be a number that {dtype} can hold; got {shown(number)}, which becomes "
                f"{_rounded(number, dtype)}: take another, or a network with dtype='float64'"
            )


def held(number: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether a number stays finite in `dtype`, and nonzero if it is."""
    rounded = _rounded(number, dtype)
    return math.isfinite(rounded) and (rounded != 0) == (number != 0)


def _rounded(number: float, dtype: np.dtype[Any]) -> float:
    with np.errstate(over="ignore", under="ignore"):
        return float(dtype.type(float(number)))


def check_flag(name: str, value: Any) -> bool:
    """Return True or False; raise ValueError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be true or false; got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise ValueError unless `value` is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def unknown_name(kind: str, name: Any, known: Collection[str]) -> ValueError:
    """Return the error for an unknown name, suggesting the closest known one."""
    near = difflib.get_close_matches(name.lower(), known, n=1) if isinstance(name, str) else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ValueError(f"unknown {kind} {name!r}: {hint}{kind} must be one of {', '.join(known)}")


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 from any form that NumPy accepts as a dtype; raise ValueError for anything else."""
    try:
        known = np.dtype(dtype)
    except (TypeError, SyntaxError):
        known = np.dtype(object)
    if dtype is None or known not in (np.float32, np.float64):
        given = dtype if dtype is None or known.hasobject else known
        raise ValueError(f"dtype must be float32 or float64; got {given}")
    return known


def is_whole(value: Any) -> bool:
    """Tell whether a value is a Python or NumPy integer, and not a boolean."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return `str` of a number and `repr` of anything else."""
    return str(value) if isinstance(value, (int, float, np.number)) else repr(value)


def printable(text: str) -> str:
    """Return a text with escapes in place of line ends and of other characters that no terminal should be sent."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _as_float(value: Any) -> float:
    """Convert a number to float, and anything else, booleans and texts included, to NaN, which fails every check."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
