"""Initializers: the first values of a layer's weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_non_negative

Initializer: TypeAlias = "Callable[[np.random.Generator, int, int], NDArray[Any]]"


def normal(standard_deviation: float) -> Initializer:
    """Draw from N(0, standard_deviation**2).

    Parameters
    ----------
    standard_deviation : float
        Standard deviation of every weight, whatever the layer's size.

    Returns
    -------
    callable
        (rng, n_inputs, n_outputs) -> ndarray of float64, shape (n_inputs, n_outputs).

    Raises
    ------
    ValueError
        If `standard_deviation` is negative or not finite.
    """
    return partial(_draw_normal, check_non_negative("standard_deviation", standard_deviation))


def _draw_normal(standard_deviation: float, rng: np.random.Generator, n_inputs: int, n_outputs: int) -> NDArray[Any]:
    return standard_deviation * rng.standard_normal((n_inputs, n_outputs))


def he(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> NDArray[Any]:
    """Draw from N(0, 2 / n_inputs), which keeps the variance through relu layers (He et al., arXiv 1502.01852)."""
    return math.sqrt(2 / n_inputs) * rng.standard_normal((n_inputs, n_outputs))


def glorot(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> NDArray[Any]:
    """Draw uniformly from +-sqrt(6 / (n_inputs + n_outputs)) (Glorot & Bengio, AISTATS 2010)."""
    limit = math.sqrt(6 / (n_inputs + n_outputs))
    return rng.uniform(-limit, limit, (n_inputs, n_outputs))


def zeros(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> NDArray[Any]:
    """Return zeros, for weights that are set before training."""
    return np.zeros((n_inputs, n_outputs))
