"""Arguments of `train_batches`: the layers, the loss with its targets, the update rule, and options of the steps.

`stack_gradient` takes the second of these too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Update rules, and how many numbers each keeps between two steps for a parameter. The last keeps one for a tensor.
STATES = {"sgd": 0, "momentum": 1, "rmsprop": 1, "adamw": 2, "rmsprop_tensor": 1}

# The numbers that a rule takes besides the learning rate, see `Rule`.
NUMBERS = {
    "sgd": frozenset[str](),
    "momentum": frozenset({"momentum", "nesterov", "velocity_of_steps"}),
    "rmsprop": frozenset({"rho", "epsilon"}),
    "adamw": frozenset({"beta1", "beta2", "epsilon", "weight_decay", "epsilon_hat"}),
    "rmsprop_tensor": frozenset({"rho", "epsilon"}),
}

# Losses of whole rows; the others are those of `elementwise_loss`.
SOFTMAX_CROSS_ENTROPY = "softmax_cross_entropy"


class StackLayer(NamedTuple):
    """A dense layer whose parameters are parts of a vector, or a dropout layer.

    Attributes
    ----------
    n_outputs : int
        Number of outputs; those of the layer before for dropout.
    activation : {"identity", "relu", "sigmoid", "tanh"}
        f of a dense layer.
    weights_at, bias_at : int or None
        Where the weights, row by row, and the bias begin in the vector. Without weights, it is a dropout layer.
    drop_rate : float
        Share of its inputs that a dropout layer drops.
    learning_rate_factor : float
        Factor of the learning rate. With 0 its parameters do not change, and their gradient is not clipped.
    """

    n_outputs: int
    activation: str = "identity"
    weights_at: int | None = None
    bias_at: int | None = None
    drop_rate: float = 0.0
    learning_rate_factor: float = 1.0


class Stack(NamedTuple):
    """Layers in order, and the number of inputs of the first."""

    n_inputs: int
    layers: tuple[StackLayer, ...]

    def tensors(self, vector: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any], bool]]:
        """Yield each weights matrix and each bias as a view of the vector: layer, array, whether it is a bias."""
        n_inputs = self.n_inputs
        for i, layer in enumerate(self.layers):
            if layer.weights_at is not None:
                size = n_inputs * layer.n_outputs
                yield i, vector[layer.weights_at : layer.weights_at + size].reshape(n_inputs, layer.n_outputs), False
            if layer.bias_at is not None:
                yield i, vector[layer.bias_at : layer.bias_at + layer.n_outputs], True
            n_inputs = layer.n_outputs


class RowLosses(NamedTuple):
    """A loss, and what the outputs of each row are compared with.

    Attributes
    ----------
    name : str
        "softmax_cross_entropy", or a loss of `elementwise_loss`.
    targets : ndarray
        Classes, int64 of shape (n_rows,), for the first; numbers, shape (n_rows, n_outputs), for the others.
    weights : ndarray, shape (n_rows,), optional
        Weight of each row's loss; 1 for all when None.
    label_smoothing, delta : float
        As in `softmax_cross_entropy` and `elementwise_loss`.
    gradient_factor, value_factor : float
        Factors of the gradient and of the returned loss, both without penalties.
    """

    name: str
    targets: NDArray[Any]
    weights: NDArray[Any] | None = None
    label_smoothing: float = 0.0
    delta: float = 1.0
    gradient_factor: float = 1.0
    value_factor: float = 1.0

    def of_rows(self, rows: slice) -> RowLosses:
        """Return those of some rows."""
        return self._replace(targets=self.targets[rows], weights=None if self.weights is None else self.weights[rows])

    @property
    def total_weight(self) -> float:
        """Sum of the weights; the number of rows when there are none."""
        return len(self.targets) if self.weights is None else float(self.weights.sum(dtype=np.float64))

    def scale_of_mean(self, n_outputs: int, total_weight: float | None = None) -> float:
        """Return the factor that turns the weighted sum of losses into their mean; 0 if all weights are 0.

        `total_weight` is that of all rows, where these are some of them. The mean is also one over the outputs if
        each has a loss of its own.
        """
        total = self.total_weight if total_weight is None else total_weight
        scale = 1 / total if total else 0.0
        return scale if self.name == SOFTMAX_CROSS_ENTROPY else scale / n_outputs


class Rule(NamedTuple):
    """An update rule and its state.

    Attributes
    ----------
    name : {"sgd", "momentum", "rmsprop", "rmsprop_tensor", "adamw"}
        The kernel whose step is taken.
    learning_rate : float
        Learning rate, before a layer's factor.
    numbers : mapping
        The other numbers that the kernel takes, by the names of its arguments. For "adamw" also `epsilon_hat`:
        whether epsilon is added to the root of the uncorrected mean square.
    states : sequence of ndarray
        IN-OUT: vectors like the parameters; for "rmsprop_tensor" one vector of float64, a number for each tensor.
    n_before : int
        Steps taken before.
    """

    name: str
    learning_rate: float
    numbers: Mapping[str, float]
    states: tuple[NDArray[Any], ...]
    n_before: int


class StepOptions(NamedTuple):
    """Options that all steps share, and the random seeds of each.

    Attributes
    ----------
    batch_size : int
        Rows of a batch; the last one may have fewer.
    l2, l2_bias : float
        Factors of the penalties of the weights and of the biases, as in `stack_gradient`.
    l2_of_sum : bool
        Whether they are added to the weighted sum of losses, before that is divided by the batch's total weight.
    clip_value, clip_norm : float
        Bounds on the absolute value of each element of a gradient, and on the norm of all together.
    seeds : ndarray of int64, shape (n_steps, n_layers), optional
        Seeds of the dropout layers in each step.
    """

    batch_size: int
    l2: float = 0.0
    l2_bias: float = 0.0
    l2_of_sum: bool = False
    clip_value: float = np.inf
    clip_norm: float = np.inf
    seeds: NDArray[np.int64] | None = None

    def batches(self, n_rows: int) -> list[slice]:
        """Return the rows of each batch."""
        return [slice(first, min(first + self.batch_size, n_rows)) for first in range(0, n_rows, self.batch_size)]
