"""Random damage to the contents of files: to bytes, to lines of text, and to trees of JSON."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Rng = np.random.Generator

# Returns a damaged copy of the first content; the second is another valid one of the same format.
Damage = Callable[[Rng, bytes, bytes], bytes]

INTEGERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, -1)
NUMBERS = (
    *(str(number) for number in INTEGERS),
    *("-0", "+1", "007", "1e5", "1.5", ".5", "5.", "1e999", "-1e999", "1e-999", "3.5e38", "nan", "inf", "-Infinity"),
    *("NaN", "true", "0x10", "1_0", "1d3", "--1", "٣", "½", "9" * 30, "9" * 5000, "1e", "''", "[]", "{}"),
)
TEXTS = (
    *(b"\0", b"\n", b"\r", b"\r\n", b"\n\n", b"\t", b" ", b",", b",,", b'"', b"'", b'""', b"#", b"=", b"[", b"{"),
    *(b"]", b"}", b"\\", b"\x0b", b"\x0c", b"\x1b[31m", b"\x1c", b"\x7f", b"\x85", b"\xff", b"\xef\xbb\xbf", b"\x1a"),
    *("\u2028 \u00a0 \u202e é 漢 😀".encode().split(b" ")),
    *("é".encode("utf-16"), b"\xed\xa0\x80", b"\\ud800", b"[" * 20_000, b'{"a":' * 20_000, b"x" * 5000),
)
VALUES = (
    *(None, True, False, -1, 0, 1, 2, 3, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**400, 10**4000),
    *(-0.0, 0.5, 1e-320, 1e39, 1e308, float("nan"), float("inf"), "", "x", "1", "\x1b[31m\n", "\ud800", "NaN"),
    *([], {}, [1, 2], [[]], {"a": 1}, "x" * 10_000, list(range(1000))),
)


def flip_bit(rng: Rng, content: bytes, other: bytes) -> bytes:
    place = _place(rng, content)
    return _replaced(content, place, 1, bytes([content[place] ^ 1 << int(rng.integers(8))]) if content else b"")


def replace_byte(rng: Rng, content: bytes, other: bytes) -> bytes:
    return _replaced(content, _place(rng, content), 1, rng.bytes(1))


def truncate(rng: Rng, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)]


def extend(rng: Rng, content: bytes, other: bytes) -> bytes:
    return content + _pick(rng, (rng.bytes(rng.integers(1, 40)), b"\0", b"\n", content, other))


def delete(rng: Rng, content: bytes, other: bytes) -> bytes:
    start, end = _slice(rng, content)
    return content[:start] + content[end:]


def duplicate(rng: Rng, content: bytes, other: bytes) -> bytes:
    start, end = _slice(rng, content)
    return content[:end] + content[start:]


def swap(rng: Rng, content: bytes, other: bytes) -> bytes:
    a, b, c, d = sorted(rng.integers(0, len(content) + 1, 4).tolist())
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def splice(rng: Rng, content: bytes, other: bytes) -> bytes:
    at = _place(rng, content)
    beside = at if rng.integers(2) else _place(rng, other)
    return content[:at] + other[beside:]


def fill(rng: Rng, content: bytes, other: bytes) -> bytes:
    start, end = _slice(rng, content)
    return _replaced(content, start, end - start, _pick(rng, (b"\0", b"\xff")) * (end - start))


def write_integer(rng: Rng, content: bytes, other: bytes) -> bytes:
    size = int(rng.choice([1, 2, 4, 8]))
    number = _pick(rng, INTEGERS) % 2 ** (8 * size)
    order = _pick(rng, ("little", "big"))
    return _replaced(content, _place(rng, content), size, number.to_bytes(size, order))


def write_integer_in_front(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Most headers with sizes are among the first bytes."""
    return write_integer(rng, content[:32], other) + content[32:]


def rewrite_number(rng: Rng, content: bytes, other: bytes) -> bytes:
    numbers = list(re.finditer(rb"[-+]?[0-9][0-9.]*", content))
    if not numbers:
        return content
    start, end = _pick(rng, numbers).span()
    return content[:start] + _pick(rng, NUMBERS).encode() + content[end:]


def insert_text(rng: Rng, content: bytes, other: bytes) -> bytes:
    return _replaced(content, _place(rng, content), int(rng.integers(2)), _pick(rng, TEXTS))


def rewrite_word(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Put one word of the file, or of another, in the place of one: keys are doubled, values change type."""
    words = list(re.finditer(rb'"[^"\n]*"|\w+', content))
    if not words:
        return content
    start, end = _pick(rng, words).span()
    known = re.findall(rb'"[^"\n]*"|\w+', content + b"\n" + other)
    return content[:start] + _pick(rng, known) + content[end:]


def damage_lines(rng: Rng, content: bytes, other: bytes) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    i, j = rng.integers(0, len(lines), 2).tolist()
    kind = int(rng.integers(6))
    if kind == 0:
        lines.pop(i)
    elif kind == 1:
        lines.insert(i, lines[j])
    elif kind == 2:
        lines.insert(i, b"\n")
    elif kind == 3:
        lines.insert(i, _pick(rng, other.splitlines(keepends=True) or [b""]))
    elif kind == 4:
        lines[i] = lines[i].rstrip() + _pick(rng, (b"\r", b"\r\n", b"\x0b", b"\x85", b" \n", b""))
    else:
        lines[i] = b" " + lines[i]
    return b"".join(lines)


def damage_fields(rng: Rng, content: bytes, other: bytes) -> bytes:
    lines = content.split(b"\n")
    i = int(rng.integers(len(lines)))
    fields = lines[i].split(b",")
    j, k = rng.integers(0, len(fields), 2)
    kind = int(rng.integers(6))
    if kind == 0:
        fields[j], fields[k] = fields[k], fields[j]
    elif kind == 1:
        fields.pop(j)
    elif kind == 2:
        fields.insert(j, fields[k])
    elif kind == 3:
        fields[j] = b'"' + fields[j] + b'"'
    elif kind == 4:
        fields[j] = b" " + fields[j] + b"\t"
    else:
        fields[j] = b""
    lines[i] = b",".join(fields)
    return b"\n".join(lines)


def encode(rng: Rng, content: bytes, other: bytes) -> bytes:
    encoding = _pick(rng, ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"))
    return content.decode("utf-8", "replace").encode(encoding, "replace")


OF_BYTES: tuple[Damage, ...] = (
    flip_bit, replace_byte, truncate, extend, delete, duplicate, swap, splice, fill, write_integer,
    write_integer_in_front,
)  # fmt: skip
OF_TEXT: tuple[Damage, ...] = (
    *OF_BYTES, *2 * (rewrite_number, insert_text, rewrite_word, damage_lines),
)  # fmt: skip
OF_TABLES: tuple[Damage, ...] = (*OF_TEXT, *2 * (damage_fields,), encode)


def damaged(rng: Rng, damages: Sequence[Damage], content: bytes, other: bytes) -> bytes:
    """Return a content with one to three damages."""
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        content = _pick(rng, damages)(rng, content, other)
    return content


def damaged_tree(rng: Rng, tree: Any) -> Any:
    """Return a copy of an object of JSON with one or two values removed, renamed, replaced, repeated or exchanged."""
    tree = copy.deepcopy(tree)
    for _ in range(int(rng.choice([1, 1, 2]))):
        places = list(_places(tree))
        if places:
            _damage_at(rng, *_pick(rng, places), places)
    return tree


def _damage_at(rng: Rng, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    kind = int(rng.integers(7))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[_pick(rng, (key + "x", key.upper(), "", "type", "weights"))] = holder.pop(key)
    elif kind == 2:
        from_holder, from_key = _pick(rng, places)
        holder[key] = copy.deepcopy(from_holder[from_key])
    elif kind == 3:
        _change_type(holder, key)
    elif kind == 4 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 5 and isinstance(holder, dict):
        holder[_pick(rng, ("x", "seed", "name", "__class__"))] = copy.deepcopy(holder[key])
    else:
        holder[key] = copy.deepcopy(_pick(rng, VALUES))


def _change_type(holder: Any, key: Any) -> None:
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = int(value)
    elif isinstance(value, (int, float)):
        holder[key] = str(value) if value else False
    elif isinstance(value, dict):
        holder[key] = list(value)
    elif isinstance(value, list):
        holder[key] = {str(i): each for i, each in enumerate(value)}
    else:
        holder[key] = [value]


def _places(tree: Any) -> Any:
    """Yield each value of a tree by its holder and its key or index."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _pick(rng: Rng, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _place(rng: Rng, content: bytes) -> int:
    return int(rng.integers(max(len(content), 1)))


def _slice(rng: Rng, content: bytes) -> tuple[int, int]:
    start = _place(rng, content)
    return start, min(len(content), start + int(2 ** rng.uniform(0, 8)))


def _replaced(content: bytes, start: int, length: int, by: bytes) -> bytes:
    return content[:start] + by + content[start + length :]
