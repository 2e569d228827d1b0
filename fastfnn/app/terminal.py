"""The program's standard streams: pipes and terminals that are closed, and characters that they do not have."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TextIO

from rich.console import Console
from rich.status import Status

# A pipe without a reader, and a terminal that was closed.
GONE = (errno.EPIPE, errno.EIO)

# Name of the way in which characters are written that an encoding lacks.
PLAIN = "fastfnn.plain"

# The only one among them in Rich's output, at the end of texts that are cut.
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class LossyFile(io.FileIO):
    """A standard stream that never fails: what cannot be written is dropped.

    Attributes
    ----------
    failure : OSError or None
        Last failure other than the want of a reader, such as a full disk.
    """

    failure: OSError | None = None

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Write bytes, and return how many were written or dropped."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                self.failure = error
            return len(data)


def prepare_streams() -> None:
    """Replace standard output and standard error by streams that never fail for want of a reader or a character.

    `fastfnn train ... | head -1` thus trains to the end. Characters that a stream's encoding lacks are written as
    escapes. `require_written` tells of other failures when the command has done its work.
    """
    codecs.register_error(PLAIN, _plain)
    _occupy_descriptors()
    for descriptor, name in enumerate(("stdout", "stderr"), start=1):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the program ends
        elif stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _lossy(stream, descriptor))


def require_written() -> None:
    """Raise OSError if a reader of standard output missed a part of it, because a disk was full for example."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, LossyFile) and raw.failure is not None:
        raise OSError(f"the output is incomplete: {raw.failure.strerror}")


def spinner(what: str, visible: bool = True) -> Status:
    """Return a spinner with a text; it turns in plain characters where the terminal has no others."""
    console = Console() if visible else Console(quiet=True)
    return console.status(what, spinner="line" if console.options.ascii_only else "dots")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return an escape for characters that an encoding lacks, and a full stop, as wide as itself, for an ellipsis."""
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] == ELLIPSIS:
        return ".", error.start + 1
    return codecs.backslashreplace_errors(error)


def _occupy_descriptors() -> None:
    """Open the null device as each standard stream that is closed, so that no other file takes its place."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def _lossy(stream: io.TextIOWrapper, descriptor: int) -> TextIO:
    raw: io.RawIOBase = LossyFile(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=PLAIN,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
