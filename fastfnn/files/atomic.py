"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_and_rename(path: str | os.PathLike[str], write: Callable[[Path], Any]) -> None:
    """Let `write` create a file beside `path`, then rename it to `path`; a failure leaves no partial file."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part{target.suffix}")
    try:
        write(beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
