"""Pages of documentation: their blocks of code, and the commands they show."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

from typer.main import get_command

from fastfnn.app.cli import app

ROOT = Path(__file__).parent.parent

BLOCK = {
    ".md": r"^```{language}\n((?:.*\n)*?)^```$",
    ".rst": r"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)",
}


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's blocks, each behind as many empty lines as stand before it: tracebacks tell its lines."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(BLOCK[page.suffix].format(language=language), text, flags=re.MULTILINE)
    return ["\n" * text.count("\n", 0, match.start(1)) + textwrap.dedent(match[1]) for match in found]


def run_block(page: Path, block: str, names: dict[str, Any]) -> None:
    """Run a block of Python with the names that there are, to which it adds its own."""
    exec(compile(block, page, "exec"), names)


def commands(page: Path) -> list[str]:
    """Return the lines of a page's console blocks that call fastfnn."""
    lines = "".join(blocks(page, "console")).splitlines()
    return [line for line in lines if line.startswith("fastfnn ")]


def parse(command: str) -> dict[str, Any]:
    """Return the options of a command; one that the command line does not know ends the test."""
    _, name, *options = shlex.split(command, comments=True)
    return get_command(app).commands[name].make_context(name, options).params
