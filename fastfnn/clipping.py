"""Gradients kept within bounds before a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clipping:
    """Bounds of a gradient, None for none.

    Attributes
    ----------
    value : float, optional
        Of the absolute value of every element.
    norm : float, optional
        Of the Euclidean norm of all parameters' gradients together (Pascanu et al., arXiv 1211.5063).

    Raises
    ------
    ValueError
        If one of them is no finite number above 0.
    """

    value: float | None = None
    norm: float | None = None

    def __post_init__(self) -> None:
        for name, bound in (("clip_value", self.value), ("clip_norm", self.norm)):
            if bound is not None and not 0 < bound < math.inf:
                raise ValueError(f"{name} must be None or a finite number above 0; got {bound}")

    def __bool__(self) -> bool:
        return self.value is not None or self.norm is not None

    def apply(self, kernels: ModuleType, gradients: Sequence[NDArray[Any]]) -> None:
        """Bring the gradients within the bounds, in place: elements first, the norm of what they then are."""
        if self.value is not None:
            for gradient in gradients:
                np.clip(gradient, -self.value, self.value, out=gradient)
        if self.norm is not None:
            norm = math.sqrt(sum(kernels.squared_norm(gradient) for gradient in gradients))
            if norm > self.norm:
                for gradient in gradients:
                    np.multiply(gradient, self.norm / norm, out=gradient, dtype=gradient.dtype)
