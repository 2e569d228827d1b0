"""Activations as separate layers."""

from __future__ import annotations

from typing import Any, cast

from numpy.typing import NDArray

from fastfnn.inputs.row_blocks import RowBlock
from fastfnn.layers.layer import Layer


class Parameterless(Layer):
    """A layer without constructor arguments, with as many outputs as inputs."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def n_outputs_for(self, n_inputs: int | None) -> int | None:
        """Return the width of the input."""
        return n_inputs

    def config(self) -> dict[str, Any]:
        """Return no arguments."""
        return {}


class Activation(Parameterless):
    """An activation as a separate layer: y = f(x), element by element."""

    def forward(self, x: RowBlock, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute f(x)."""
        return self.kernels.activation_forward(cast("NDArray[Any]", x), self.activation, out)

    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Compute grad_z * activation'(x); z is x."""
        return self.kernels.activation_gradient(x, grad_z, activation, out)


class Identity(Activation):
    """y = x."""

    activation = "identity"


class ReLU(Activation):
    """y = max(x, 0)."""

    activation = "relu"


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    activation = "sigmoid"


class Tanh(Activation):
    """y = tanh(x)."""

    activation = "tanh"


class LeakyReLU(Activation):
    """y = x where x > 0, else 0.01 x."""

    activation = "leaky_relu"


class ELU(Activation):
    """y = x where x > 0, else exp(x) - 1."""

    activation = "elu"


class Softplus(Activation):
    """y = log(1 + exp(x))."""

    activation = "softplus"


class GELU(Parameterless):
    """y = x / (1 + exp(-u)) with u = sqrt(8 / pi) (x + 0.044715 x**3); see `fastfnn_kernels.reference.gelu_forward`.

    Its derivative does not follow from y alone, so it cannot be the `activation` of another layer.
    """

    def forward(self, x: RowBlock, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute y."""
        return self.kernels.gelu_forward(cast("NDArray[Any]", x), out)

    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Compute grad_z * y'(x) * activation'(x)."""
        grad_x = self.kernels.gelu_gradient(x, grad_z, out)
        return grad_x if activation == "identity" else self.kernels.activation_gradient(x, grad_x, activation)
