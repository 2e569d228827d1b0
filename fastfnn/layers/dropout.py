"""The dropout layer."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastfnn._checks import check_share
from fastfnn.inputs.row_blocks import RowBlock
from fastfnn.layers.layer import Layer


class Dropout(Layer):
    """A layer that zeroes a share of its inputs in each training step, and divides the others by the kept share.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. Predictions and
    evaluations leave all inputs unchanged. The dropped elements depend only on the network's seed and the step: they
    are the same on both backends, on any number of threads and after a resume.

    Parameters
    ----------
    rate : float
        Share of the inputs to zero, from 0 to below 1.

    Raises
    ------
    ValueError
        If the rate is out of range.
    """

    is_random = True

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = check_share("rate", rate)
        self._mask: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"

    @property
    def numbers(self) -> dict[str, float]:
        """The rate."""
        return {"rate": self.rate}

    def n_outputs_for(self, n_inputs: int | None) -> int | None:
        """Return the width of the input."""
        return n_inputs

    def forward(self, x: RowBlock, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return x itself."""
        return x  # type: ignore[return-value]  # it takes no packed row blocks

    def training_forward(
        self, x: RowBlock, out: NDArray[Any] | None = None, seed: int | None = None, first_row: int = 0
    ) -> NDArray[Any]:
        """Drop a share of x, or return x itself if there is no seed."""
        self._mask = None if seed is None else (seed, first_row)
        if seed is None:
            return self.forward(x)
        return self.kernels.dropout(self.forward(x), self.rate, seed, first_row, out)

    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Drop the elements that the last `training_forward` dropped, and multiply by activation'(x)."""
        grad_x = grad_z if self._mask is None else self.kernels.dropout(grad_z, self.rate, *self._mask, out)
        return grad_x if activation == "identity" else self.kernels.activation_gradient(x, grad_x, activation)

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments that recreate this layer."""
        return {"rate": self.rate}
