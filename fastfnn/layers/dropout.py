"""Dropout."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastfnn.layers.layer import Layer
from fastfnn.tiles import Tile


class Dropout(Layer):
    """Sets a share of its inputs to zero in each training step, and divides the others by the share that is kept.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. Predictions and
    evaluations leave all inputs as they are. What is dropped follows from the network's seed and the step: it is the
    same on both backends, on any number of threads and after a resume.

    Parameters
    ----------
    rate : float
        The share, from 0 to below 1.

    Raises
    ------
    ValueError
        If the rate is out of range.
    """

    is_random = True

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must lie from 0 to below 1; got {rate}")
        self.rate = float(rate)
        self._mask: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"

    def n_outputs_for(self, n_inputs: int | None) -> int | None:
        """Return the width of the input."""
        return n_inputs

    def forward(self, x: Tile, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return x itself."""
        return x  # type: ignore[return-value]  # it takes no packed tiles

    def training_forward(
        self, x: Tile, out: NDArray[Any] | None = None, seed: int | None = None, first_row: int = 0
    ) -> NDArray[Any]:
        """Drop a share of x, or return x itself if there is no seed."""
        self._mask = None if seed is None else (seed, first_row)
        if seed is None:
            return self.forward(x)
        return self.kernels.dropout(x, self.rate, seed, first_row, out)

    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Drop what the last `training_forward` dropped, and multiply by activation'(x)."""
        grad_x = grad_z if self._mask is None else self.kernels.dropout(grad_z, self.rate, *self._mask, out)
        return grad_x if activation == "identity" else self.kernels.activation_gradient(x, grad_x, activation)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {"rate": self.rate}
