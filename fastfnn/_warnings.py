"""Warnings of a training run, shown at the line of the user's program that started it."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep


class TrainingWarning(UserWarning):
    """A training run was interrupted, its loss became infinite or NaN, or a checkpoint could not be written."""


TrainingWarning.__module__ = "fastfnn"


def warn(message: str) -> None:
    """Issue a `TrainingWarning` that points at the caller of the package."""
    depth, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, TrainingWarning, stacklevel=depth)
