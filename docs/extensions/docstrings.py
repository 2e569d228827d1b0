"""Docstrings are read as plain text: the formulas in them stay as they are written.

The asterisks of `y * (1 - y)` and the bars of `|g|**2` would be markup to Sphinx, "w." the beginning of a list, and
the lines of an indented formula would be joined to a paragraph. A table would be torn by the escapes in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

QUOTED = re.compile(r"(``.+?``|`.+?`)")
MARKUP = re.compile(r"[*|]|(?<![^ ])[a-z](?=\.$)")
SECTION = re.compile(r"-{3,}")
BEFORE_NUMPYDOC = 400


def setup(app: Sphinx) -> dict[str, Any]:
    """Have every docstring prepared before numpydoc takes it, and the fields of named tuples left out."""
    app.connect("autodoc-process-docstring", keep_formulas, priority=BEFORE_NUMPYDOC)
    app.connect("autodoc-skip-member", skip_field)
    return {"parallel_read_safe": True}


def keep_formulas(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make formulas and tables before the first section literal, and escape what would be markup elsewhere."""
    n_described = next((i for i, (_, below) in enumerate(pairwise(lines)) if SECTION.fullmatch(below)), len(lines))
    lines[:] = [*described(lines[:n_described]), *map(escaped, lines[n_described:])]


def described(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a description, those of formulas and tables as a block that Sphinx leaves as it is."""
    is_literal = False
    for before, line in pairwise(["", *lines]):
        if not before:
            is_literal = line.startswith((" ", "="))
            yield from ("::", "") if is_literal else ()
        yield f"    {line}" if is_literal else escaped(line)


def escaped(line: str) -> str:
    """Put a backslash before what would be markup, except between backticks and in examples."""
    if line.startswith((">>>", "...")):
        return line
    return "".join(part if part.startswith("`") else MARKUP.sub(r"\\\g<0>", part) for part in QUOTED.split(line))


def skip_field(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what Python itself says of a named tuple's field; the docstring of its class says more."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None
