"""Formats of files, and what a damaged file of one may lead to: a right result, or a message of one line."""

from __future__ import annotations

import re
import signal
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fuzz_damage import Damage

# What the command line shows in one line; a MemoryError, which it shows too, says that a file was not checked first.
REFUSALS = (ValueError, TypeError, OSError, ImportError)

LONGEST_MESSAGE = 2000
LONGEST_SECONDS = 60


class Format(NamedTuple):
    """Valid contents of files of one format, how they are damaged and read, and what is right.

    `right` returns what a damaged content means; it is None for formats whose checksums let nothing through but what
    was written. `read` returns numbers, texts, bytes, tuples, lists and dicts. Damaged or not, the file has the name
    `file`, and others lie `beside` it. One of `every` turns damages a file of this format.
    """

    name: str
    contents: tuple[bytes, ...]
    damage: Damage
    file: str
    read: Callable[[Path], Any]
    right: Callable[[bytes], Any] | None = None
    beside: Mapping[str, bytes] = {}
    every: int = 1


class Outcome(NamedTuple):
    """What a damaged file led to: it was accepted or not, and the fault of that, if there is one."""

    content: bytes
    accepted: bool
    fault: str | None


class HangingError(BaseException):
    """A file is being read for longer than any may take; no reader catches this."""


class Subject:
    """A format whose files are written into a folder, damaged and read."""

    def __init__(self, of: Format, folder: Path) -> None:
        self.format = of
        self._path = folder / of.file
        for name, content in of.beside.items():
            (folder / name).write_bytes(content)
        self._originals = [self._read(content) for content in of.contents]

    def outcome(self, seed: int, number: int) -> Outcome:
        """Return what comes of the damage of this number."""
        rng = np.random.default_rng([seed, zlib.crc32(self.format.name.encode()), number])
        one, other = rng.integers(0, len(self.format.contents), 2)
        content = self.format.damage(rng, self.format.contents[one], self.format.contents[other])
        return self._examined(content, [self._originals[one], self._originals[other]])

    def _examined(self, content: bytes, originals: list[Any]) -> Outcome:
        try:
            with time_limit():
                result = self._read(content)
        except REFUSALS as error:
            return Outcome(content, False, fault_of_message(error, self._path.name))
        except (Exception, HangingError):
            return Outcome(content, False, traceback.format_exc())
        return Outcome(content, True, self._fault_of_result(result, content, originals))

    def _read(self, content: bytes) -> Any:
        self._path.write_bytes(content)
        return self.format.read(self._path)

    def _fault_of_result(self, result: Any, content: bytes, originals: list[Any]) -> str | None:
        try:
            right = originals if self.format.right is None else [self.format.right(content)]
        except Exception:
            return f"accepted as {result!r:.1000}, which a plain parser refuses: {traceback.format_exc()}"
        differences = [difference(result, each) for each in right]
        return None if None in differences else f"another result{differences[0]}"


def fault_of_message(error: BaseException, name: str) -> str | None:
    """Return what is wrong with the message of a refusal: one line of readable characters that names the file."""
    message = str(error)
    if isinstance(error, UnicodeError):
        fault = "the error of a codec"
    elif name not in message:
        fault = f"no {name} in it"
    elif not message.isprintable():
        fault = "characters that cannot be printed, or several lines"
    elif len(message) > LONGEST_MESSAGE:
        fault = f"{len(message):,} characters"
    else:
        return None
    trace = "".join(traceback.format_exception(error))
    return f"{fault}: {message[:LONGEST_MESSAGE]!r}\n{trace[-5000:]}"


def difference(result: Any, right: Any) -> str | None:
    """Return the first difference and where it is; a number may be an int or a float, but not a flag."""
    if isinstance(result, dict) and isinstance(right, dict) and result.keys() == right.keys():
        return _first_difference({key: (result[key], right[key]) for key in result})
    is_list = isinstance(result, (list, tuple)) and isinstance(right, (list, tuple))
    if is_list and len(result) == len(right):
        return _first_difference(dict(enumerate(zip(result, right, strict=True))))
    return None if _is_same(result, right) else f": {result!r:.1000}, expected {right!r:.1000}"


def _is_same(result: Any, right: Any) -> bool:
    if isinstance(result, bool) or isinstance(right, bool):
        return result is right
    if isinstance(result, float) and isinstance(right, int):
        return abs(right) < 2**1023 and result == float(right)
    return bool(result == right) or (result != result and right != right)


def _first_difference(pairs: Mapping[Any, tuple[Any, Any]]) -> str | None:
    for key, (result, right) in pairs.items():
        found = difference(result, right)
        if found is not None:
            return f"[{key!r}]{found}"
    return None


def plain(array: np.ndarray | None) -> tuple[str, tuple[int, ...], bytes] | None:
    """Return type, shape and bytes of an array, to compare them."""
    return None if array is None else (array.dtype.str, array.shape, array.tobytes())


@contextmanager
def time_limit() -> Iterator[None]:
    """End a `with` block that takes longer than any should, where the system has alarms."""

    def stop(number: int, frame: object) -> None:
        raise HangingError(f"still reading after {LONGEST_SECONDS} seconds")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def safe_name(text: str) -> str:
    """Return a text as a part of a file name."""
    return re.sub(r"\W+", "-", text)
