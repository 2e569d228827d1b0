"""When a result counts as right: the one table of tolerances, and the comparison that uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Largest error of a result, as a share of its largest number. The tests look at last bits; an entry must only
# have done the work it is timed for.
TOLERANCES = {"float32": 1e-4, "float64": 1e-11}

# Of the first change of the parameters, which loses digits when it is added to them.
FIRST_STEP_TOLERANCE = 1e-3

# Of parameters after many steps, as a share of what the steps changed: roundings of single precision add up.
TRAINING_TOLERANCE = 1e-2

# Of the mean loss of the first epoch of such a training.
LOSS_TOLERANCES = {"float32": TRAINING_TOLERANCE, "float64": 1e-9}


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Check an array or a number against what the reference computed in float64.

    Parameters
    ----------
    actual : array_like
        The result, of any library that NumPy can read.
    expected : array_like
        What it should be.
    tolerance : float
        Largest error, as a share of the largest number expected.

    Raises
    ------
    AssertionError
        If the shape differs, or an element lies further away or is NaN.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"expected shape {expected.shape}; got {actual.shape}")
    error = float(np.max(np.abs(actual - expected)))
    allowed = tolerance * float(np.max(np.abs(expected)))
    if not error <= allowed:
        raise AssertionError(f"the largest error is {error:.3g}; {allowed:.3g} is allowed")


def assert_changed_alike(
    actual: list[NDArray[Any]], expected: list[NDArray[Any]], start: list[NDArray[Any]], tolerance: float
) -> None:
    """Check trained parameters by how far they moved from their common start.

    Parameters
    ----------
    actual, expected, start : lists of ndarray
        Parameters after the training that is checked, after the reference's, and before both.
    tolerance : float
        Largest error, as a share of the largest change expected.
    """
    for after, wanted, before in zip(actual, expected, start, strict=True):
        assert_close(np.asarray(after, np.float64) - before, wanted - before, tolerance)
