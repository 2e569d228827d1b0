"""Weights of samples and classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.inputs.arrays import as_numbers, is_column
from fastfnn.inputs.targets import Targets


def check_weights(name: str, weights: Any) -> NDArray[np.float64]:
    """Return weights as a vector in float64; a single column counts as one.

    Raises
    ------
    TypeError, ValueError
        If they are not finite numbers from 0 up, one of them above 0.
    """
    numbers = as_numbers(weights, name)
    if is_column(numbers):
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise TypeError(f"{name} must be a sequence of numbers; got an array of shape {numbers.shape}")
    with np.errstate(over="ignore"):
        numbers = numbers.astype(np.float64)
    if not (np.isfinite(numbers).all() and (numbers >= 0).all() and numbers.any()):
        raise ValueError(
            f"{name} must hold finite numbers from 0 up, one of them above 0; got {numbers.tolist()[:9]}"
        )
    return numbers


def convert_weights(name: str, weights: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Convert the samples' weights to `dtype`, in which means are computed: they are multiplied and divided by.

    Raises
    ------
    ValueError
        If a weight, or the sum of all, is too small or too large for means in `dtype`.
    """
    tiny = float(np.finfo(dtype).tiny)
    unfit = weights[(weights > 0) & ((weights < tiny) | (weights > 1 / tiny))]
    if len(unfit) or weights.sum() > 1 / tiny:
        found = unfit[0] if len(unfit) else f"a sum of {weights.sum()}"
        raise ValueError(
            f"{name} must hold 0 or numbers from {tiny:.2g} up with a sum of at most {1 / tiny:.2g}, for means in "
            f"{dtype}; got {found}: scale them, or set small ones to 0"
        )
    return weights.astype(dtype)


def with_sample_weight(
    targets: Targets, sample_weight: Any, dtype: np.dtype[Any], name: str = "sample_weight"
) -> Targets:
    """Multiply each sample's weight by `sample_weight`.

    Raises
    ------
    TypeError, ValueError
        If it does not hold one finite number from 0 up for each sample, at least one of them above 0.
    """
    weights = check_weights(name, sample_weight)
    if len(weights) != len(targets):
        raise ValueError(f"{name} must have {len(targets)} numbers, one for each sample; got {len(weights)}")
    both = convert_weights(name, weights, dtype)
    if targets.weights is not None:
        convert_weights(f"{name} times class_weight", weights * targets.weights, dtype)
        both *= targets.weights
    return replace(targets, weights=both)
