"""The fully connected layer."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from fastfnn_kernels.arguments import ACTIVATIONS
from fastfnn_kernels.packing import Packed
from numpy.typing import NDArray

from fastfnn._checks import check_count, check_flag, check_non_negative, unknown_name
from fastfnn._memory import aligned_copy, aligned_full
from fastfnn.initializers import Initializer, glorot, he
from fastfnn.inputs.row_blocks import RowBlock
from fastfnn.layers.layer import Layer

# Activations that pass positive numbers unchanged, the case of He et al., arXiv 1502.01852.
RELU_LIKE = ("relu", "leaky_relu", "elu")

# Weights, bias and activation of a layer in a network, in a third of the time that its properties take.
arguments_of_layer: Callable[[Dense], tuple[NDArray[Any], NDArray[Any] | None, str]] = operator.attrgetter(
    "_weights", "_bias", "activation"
)


class Dense(Layer):
    """A fully connected layer: y = f(x w + b).

    Parameters
    ----------
    n_inputs, n_outputs : int
        Number of inputs, and of outputs.
    activation : {None, "identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus"}
        f; None is the identity. GELU is a layer of its own, see `fastfnn.GELU`.
    use_bias : bool
        Whether to add b.
    initializer : callable, optional
        (rng, n_inputs, n_outputs) -> ndarray, see `fastfnn.initializers`. When None, `he` for relu, leaky_relu and
        elu, and `glorot` otherwise. b starts at zero.
    learning_rate_factor : float
        Factor of the optimizer's learning rate for this layer; 0 freezes the layer.

    Attributes
    ----------
    weights : ndarray, shape (n_inputs, n_outputs)
        w; set it by writing in place.
    bias : ndarray, shape (n_outputs,), or None
        b.
    """

    n_inputs: int
    takes_packed = True

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        activation: str | None = None,
        use_bias: bool = True,
        initializer: Initializer | None = None,
        learning_rate_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.n_inputs = check_count("n_inputs", n_inputs)
        self.n_outputs = check_count("n_outputs", n_outputs)
        self.activation = "identity" if activation is None else activation
        if self.activation == "gelu":
            raise ValueError("gelu is a layer of its own: use Dense(n_inputs, n_outputs) and then GELU()")
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, ACTIVATIONS)
        self.use_bias = check_flag("use_bias", use_bias)
        self.initializer = initializer or (he if self.activation in RELU_LIKE else glorot)
        self.learning_rate_factor = check_non_negative("learning_rate_factor", learning_rate_factor)

    def draw_parameters(self, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
        """Draw the initial weights, and set the bias to zero."""
        self._weights = aligned_copy(self._draw_weights(rng), dtype)
        self._bias = aligned_full((self.n_outputs,), 0, dtype) if self.use_bias else None

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw initial weights again, and set the bias to zero."""
        self.weights[...] = self._draw_weights(rng)
        if self.bias is not None:
            self.bias[...] = 0

    def use_arrays(self, weights: NDArray[Any], bias: NDArray[Any] | None = None) -> None:
        """Replace the arrays of weights and bias with these, which hold the same numbers."""
        self._weights, self._bias = weights, bias

    def _draw_weights(self, rng: np.random.Generator) -> NDArray[Any]:
        drawn = np.asarray(self.initializer(rng, self.n_inputs, self.n_outputs))
        if drawn.shape != (self.n_inputs, self.n_outputs):
            expected = (self.n_inputs, self.n_outputs)
            raise ValueError(f"initializer must return an array of shape {expected}; got {drawn.shape}")
        return drawn

    @property
    def weights(self) -> NDArray[Any]:
        """w, shape (n_inputs, n_outputs)."""
        self.kernels  # noqa: B018 - raises the helpful error while there are no weights
        return self._weights

    @property
    def bias(self) -> NDArray[Any] | None:
        """b, shape (n_outputs,), or None."""
        self.kernels  # noqa: B018
        return self._bias

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """The weights, and the bias if there is one."""
        return {"weights": self.weights} | ({} if self.bias is None else {"bias": self.bias})

    @property
    def numbers(self) -> dict[str, float]:
        """The learning rate factor."""
        return {"learning_rate_factor": self.learning_rate_factor}

    def __repr__(self) -> str:
        return "Dense({n_inputs}, {n_outputs}, activation={activation!r}, use_bias={use_bias})".format(
            **self.config()
        )

    def n_outputs_for(self, n_inputs: int | None) -> int:
        """Return `n_outputs`; the input must have width `n_inputs`."""
        if n_inputs not in (None, self.n_inputs):
            raise ValueError(f"Dense({self.n_inputs}, {self.n_outputs}) cannot follow a layer of {n_inputs} outputs")
        return self.n_outputs

    def forward(self, x: RowBlock, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute f(x w + b)."""
        arguments = (self.weights, self.bias, self.activation, out)
        if isinstance(x, Packed):
            return self.kernels.sparse_forward(x, *arguments)
        return self.kernels.dense_forward(x, *arguments)

    def add_gradient(self, x: RowBlock, grad_z: NDArray[Any], accumulate: bool = True) -> None:
        """Add x^T grad_z to the weight gradient, and the column sums of grad_z to the bias gradient."""
        arguments = (grad_z, self.gradient.weights, self.gradient.bias, self.use_bias, accumulate)
        if isinstance(x, Packed):
            self.kernels.sparse_weight_gradient(x, *arguments)
        else:
            self.kernels.dense_weight_gradient(x, *arguments)

    def input_gradient(
        self, grad_z: NDArray[Any], x: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Compute (grad_z w^T) * activation'(x)."""
        return self.kernels.dense_input_gradient(grad_z, self.weights, x, activation, out)

    def cross_entropy(
        self,
        x: NDArray[Any],
        labels: NDArray[np.int64],
        scale: float,
        activation: str,
        accumulate: bool,
        out: NDArray[Any] | None = None,
    ) -> tuple[float, int, NDArray[Any]]:
        """Compute the cross-entropy of the softmax of this layer's outputs, and add its gradient.

        The outputs themselves are not stored.

        Parameters
        ----------
        x : ndarray, shape (n_rows, n_inputs)
            Outputs of `activation`.
        labels : ndarray of int64, shape (n_rows,)
            Classes.
        scale : float
            Factor of the sum of all rows' losses.
        activation : str
            Activation that produced x.
        accumulate : bool
            Whether to add to `gradient`, instead of overwriting it.
        out : ndarray like `x`, optional
            OUT: memory for `grad`; may be x itself.

        Returns
        -------
        loss : float
            The scaled loss.
        n_correct : int
            Number of correctly classified rows.
        grad : ndarray like `x`
            Gradient with respect to the pre-activation of x.
        """
        loss, n_correct, grad, _, _ = self.kernels.dense_cross_entropy(
            x,
            self.weights,
            self.bias,
            labels,
            scale,
            activation,
            out,
            self.gradient.weights,
            self.gradient.bias,
            accumulate,
        )
        return loss, n_correct, cast("NDArray[Any]", grad)

    def loss_and_correct(self, x: NDArray[Any], labels: NDArray[np.int64], scale: float) -> tuple[float, int]:
        """Compute the loss like `cross_entropy`, and the number of correctly classified rows."""
        weights, bias = self.weights, self.bias
        loss, n_correct, *_ = self.kernels.dense_cross_entropy(x, weights, bias, labels, scale, with_gradients=False)
        return loss, n_correct

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments that recreate this layer, except its initializer."""
        return {
            "n_inputs": self.n_inputs,
            "n_outputs": self.n_outputs,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "learning_rate_factor": self.learning_rate_factor,
        }
