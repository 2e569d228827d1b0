"""The `config.toml` of a run, with which the run can be repeated."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from fastfnn.datasets.files import require_file
from fastfnn.files.atomic import write_and_rename
from fastfnn.files.described import in_brief
from fastfnn.recipes.settings import Settings

HEADING = "# Runs this training again: fastfnn train --config config.toml\n"


def write_config(path: str | os.PathLike[str], settings: Settings) -> None:
    """Write a TOML file that `read_config` reads; values of None are left out.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    values = {name: value for name, value in dataclasses.asdict(settings).items() if value is not None}
    lines = [f"{name} = {_toml(value)}\n" for name, value in values.items()]
    write_and_rename(path, "".join([HEADING, *lines]).encode("utf-8"))


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the settings in a TOML file.

    Raises
    ------
    ValueError
        If the file is not TOML, or names an unknown setting.
    OSError
        If the file cannot be read.
    """
    require_file(path)
    try:
        config = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is no TOML file: {in_brief(str(error))}") from error
    known = [field.name for field in dataclasses.fields(Settings)]
    for name in config:
        if name not in known:
            unknown = in_brief(repr(name))
            raise ValueError(f"{os.fspath(path)}: {unknown} is no setting; the settings are {', '.join(known)}")
        if _holds_wide_number(config[name]):
            raise ValueError(f"{os.fspath(path)}: {name} has more than 64 bits")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


def _holds_wide_number(value: Any) -> bool:
    """Tell whether a value holds a whole number beyond 64 bits, which Python may refuse to print."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(map(_holds_wide_number, value))
    return isinstance(value, int) and abs(value) >= 2**63


def _toml(value: str | float | tuple[int, ...]) -> str:
    """Write a value as JSON, which TOML reads alike except for one control character."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
