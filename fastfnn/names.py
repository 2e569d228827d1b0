"""What is said of a name that nothing has."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any


def unknown_name(kind: str, name: Any, known: Collection[str]) -> ValueError:
    """Return the error that lists the known names, and the nearest of them first."""
    near = difflib.get_close_matches(name.lower(), known, n=1) if isinstance(name, str) else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ValueError(f"unknown {kind} {name!r}: {hint}{kind} must be one of {', '.join(known)}")
