"""What every layer can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.tiles import Tile


@dataclass(frozen=True)
class Gradient:
    """The gradient of the loss with respect to a layer's parameters; None for what a layer has not."""

    weights: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None


class Layer(ABC):
    """A differentiable step y = f(z), where z comes linearly from x.

    Attributes
    ----------
    activation : str
        f, one of `fastfnn_kernels.arguments.ACTIVATIONS`. Its derivative is known from y, so nothing else is stored.
    gradient : Gradient
        Of the last `backward` or training step.
    takes_packed : bool
        Whether `forward` and `add_gradient` take packed tiles.
    is_random : bool
        Whether `training_forward` depends on its seed.
    learning_rate_factor : float
        What the optimizer's learning rate is multiplied by for this layer.
    """

    activation: str = "identity"
    takes_packed: bool = False
    is_random: bool = False
    learning_rate_factor: float = 1.0

    def __init__(self) -> None:
        self.gradient = Gradient()
        self._kernels: ModuleType | None = None

    @property
    def kernels(self) -> ModuleType:
        """The backend's module of kernels."""
        if self._kernels is None:
            raise RuntimeError(f"this {type(self).__name__} belongs to no network yet: build a Network with it first")
        return self._kernels

    def check_free(self) -> None:
        """Raise ValueError if this layer belongs to a network already."""
        if self._kernels is not None:
            raise ValueError(f"this {type(self).__name__} belongs to a network already: make a new one")

    def draw_parameters(self, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
        """Make the parameters and draw their first values; a layer without parameters has none to draw."""
        return

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw first values again, into the arrays there are; a layer without parameters has none."""
        return

    def join(self, kernels: ModuleType) -> None:
        """Belong to a network, and take its backend."""
        self._kernels = kernels

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """The arrays that training changes, by name."""
        return {}

    @abstractmethod
    def n_outputs_for(self, n_inputs: int | None) -> int | None:
        """Return the width of the output for a width of the input; None where any will do.

        Raises
        ------
        ValueError
            If the layer takes another width.
        """

    @abstractmethod
    def forward(self, x: Tile, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute y, shape (n_rows, n_outputs), from x, shape (n_rows, n_inputs).

        Where `out` is given and returned, the network may overwrite it later; x and any other array it leaves as is.
        """

    def training_forward(
        self, x: Tile, out: NDArray[Any] | None = None, seed: int | None = None, first_row: int = 0
    ) -> NDArray[Any]:
        """Compute y as in a training step, where a layer may draw random numbers.

        Parameters
        ----------
        x, out
            As for `forward`.
        seed : int, optional
            Of the step's random numbers, from 0 to 2**63 - 1; None for none.
        first_row : int
            The place of the first row of x in its batch.
        """
        return self.forward(x, out)

    def start_gradient(self) -> None:
        """Set `gradient` to new arrays of zeros; a layer without parameters has none."""
        return

    def add_gradient(self, x: Tile, grad_z: NDArray[Any], accumulate: bool = True) -> None:
        """Add to `gradient` what the rows of x and of the loss's gradient with respect to z contribute.

        Without `accumulate` what was there before is overwritten.
        """
        return

    @abstractmethod
    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Hand the gradient with respect to z back through this layer and the activation that made x.

        Returns
        -------
        ndarray like `x`
            The gradient with respect to the pre-activation of x; with respect to x for "identity".
        """

    def backward(self, x: NDArray[Any], y: NDArray[Any], grad_y: NDArray[Any]) -> NDArray[Any]:
        """Set `gradient`, and return the gradient with respect to x.

        Parameters
        ----------
        x : ndarray, shape (n_rows, n_inputs)
            What `forward` was given.
        y : ndarray, shape (n_rows, n_outputs)
            What `forward` returned.
        grad_y : ndarray like `y`
            Gradient of the loss with respect to y.

        Returns
        -------
        ndarray like `x`
        """
        grad_z = self.kernels.activation_gradient(y, grad_y, self.activation)
        self.start_gradient()
        self.add_gradient(x, grad_z)
        return self.input_gradient(grad_z, x, "identity")

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
