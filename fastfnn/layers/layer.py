"""The base class of all layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._memory import aligned_full
from fastfnn.backends import get_backend
from fastfnn.inputs.row_blocks import RowBlock


@dataclass(frozen=True)
class Gradient:
    """The gradient of the loss with respect to a layer's parameters; None for a parameter the layer does not have."""

    weights: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None


class Layer(ABC):
    """A differentiable step y = f(z), where z is linear in x.

    A custom layer derives from this class. It implements `n_outputs_for`, `forward`, `config`, and one of two
    backward passes: `backward`, which gets x, y and the gradient with respect to y; or `input_gradient`, and
    `add_gradient` if there are parameters, which get the gradient with respect to z, because the next layer applies
    the derivative of f. The arrays of `parameters` are named "weights" and "bias"; `draw_parameters` creates them.

    Attributes
    ----------
    n_inputs : int or None
        Width of the input; None for a layer that takes any width.
    activation : str
        f, one of `fastfnn_kernels.arguments.ACTIVATIONS`. Its derivative follows from y, so nothing else is stored.
    gradient : Gradient
        Gradient of the last `backward` or training step. Its arrays are None after steps that one kernel of SGD
        took together, see `fastfnn.Network.plan`.
    takes_packed : bool
        Whether `forward` and `add_gradient` take packed row blocks.
    is_random : bool
        Whether `training_forward` depends on its seed.
    learning_rate_factor : float
        Factor of the optimizer's learning rate for this layer.
    """

    n_inputs: int | None = None
    activation: str = "identity"
    takes_packed: bool = False
    is_random: bool = False
    learning_rate_factor: float = 1.0

    def __init__(self) -> None:
        self.gradient = Gradient()
        self._kernels: Kernels | None = None

    @property
    def kernels(self) -> Kernels:
        """The backend's module of kernels."""
        if self._kernels is None:
            raise RuntimeError(f"this {type(self).__name__} belongs to no network yet: build a Network with it first")
        return self._kernels

    def __getstate__(self) -> dict[str, Any]:
        """Store the backend by name, because modules cannot be pickled, and leave the gradient out."""
        return self.__dict__ | {
            "_kernels": None if self._kernels is None else self._kernels.NAME,
            "gradient": Gradient(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Look the backend up again."""
        name = state["_kernels"]
        self.__dict__.update(state, _kernels=None if name is None else get_backend(name))

    def check_free(self) -> None:
        """Raise ValueError if this layer belongs to a network already."""
        if self._kernels is not None:
            raise ValueError(f"this {type(self).__name__} belongs to a network already: make a new one")

    def draw_parameters(self, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
        """Create the parameters and draw their initial values; do nothing in a layer without parameters."""
        return

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw initial values again, into the existing arrays; do nothing in a layer without parameters."""
        return

    def join(self, kernels: Kernels) -> None:
        """Join a network that runs on these kernels."""
        self._kernels = kernels

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """The arrays that training changes, by name."""
        return {}

    @property
    def numbers(self) -> dict[str, float]:
        """The arguments that enter computations as numbers of the network's dtype, by name."""
        return {}

    @property
    def has_own_backward(self) -> bool:
        """Whether the class implements `backward` itself; then networks call it."""
        return type(self).backward is not Layer.backward

    @property
    def is_user_defined(self) -> bool:
        """Whether the class is not one of fastfnn's; then networks check the shape and dtype of its arrays."""
        return not type(self).__module__.startswith("fastfnn.")

    @abstractmethod
    def n_outputs_for(self, n_inputs: int | None) -> int | None:
        """Return the output's width for an input's width; None is a width that is not known yet.

        Raises
        ------
        ValueError
            If the layer does not accept this width.
        """

    @abstractmethod
    def forward(self, x: RowBlock, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute y, shape (n_rows, n_outputs), from x, shape (n_rows, n_inputs).

        The network may overwrite `out` later if `forward` returns it. It leaves x and every other array unchanged.
        """

    def training_forward(
        self, x: RowBlock, out: NDArray[Any] | None = None, seed: int | None = None, first_row: int = 0
    ) -> NDArray[Any]:
        """Compute y in a training step, where a layer may draw random numbers.

        Parameters
        ----------
        x, out
            As for `forward`.
        seed : int, optional
            Seed of the step's random numbers, from 0 to 2**63 - 1; None for none.
        first_row : int
            Index of the first row of x in its batch.
        """
        return self.forward(x, out)

    def start_gradient(self) -> None:
        """Set `gradient` to new arrays of zeros, one for each parameter.

        Raises
        ------
        TypeError
            If a parameter has a name that `Gradient` does not have.
        """
        unknown = self.parameters.keys() - Gradient.__dataclass_fields__
        if unknown:
            name = type(self).__name__
            raise TypeError(f"the parameters of {name} must be named weights and bias; got {min(unknown)!r}")
        zeros = {name: aligned_full(array.shape, 0, array.dtype) for name, array in self.parameters.items()}
        self.gradient = Gradient(**zeros)

    def add_gradient(self, x: RowBlock, grad_z: NDArray[Any], accumulate: bool = True) -> None:
        """Add the contribution of the rows of x to `gradient`.

        `grad_z` is the gradient of the loss with respect to z. Without `accumulate`, `gradient` is overwritten.
        """
        return

    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Propagate the gradient with respect to z back through this layer and the activation that produced x.

        Returns
        -------
        ndarray like `x`
            Gradient with respect to the pre-activation of x; with respect to x for "identity".
        """
        raise NotImplementedError(f"{type(self).__name__} implements neither backward nor input_gradient")

    def check_backward(self) -> None:
        """Raise TypeError if the class does not implement backpropagation."""
        kind = type(self)
        if not self.has_own_backward and kind.input_gradient is Layer.input_gradient:
            raise TypeError(
                f"{kind.__name__} cannot be trained: implement backward(x, y, grad_y), which returns the gradient "
                "with respect to x, or input_gradient"
            )

    def backward(self, x: NDArray[Any], y: NDArray[Any], grad_y: NDArray[Any]) -> NDArray[Any]:
        """Set `gradient`, and return the gradient with respect to x.

        Parameters
        ----------
        x : ndarray, shape (n_rows, n_inputs)
            Input of `forward`.
        y : ndarray, shape (n_rows, n_outputs)
            Output of `forward`.
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
        """Return the constructor arguments that recreate this layer."""
