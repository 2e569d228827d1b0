"""The one check of numbers that count something: epochs, samples, epochs to wait."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_count(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 up; got {value!r}")
