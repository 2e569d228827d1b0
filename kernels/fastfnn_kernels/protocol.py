"""The type of a backend: every kernel's name and signature, and facts that callers use for planning.

A backend is a module: `fastfnn_kernels.reference` or `fastfnn_kernels.jitted`. mypy compares both with `Kernels`
(tests/typed_backends.py) and checks every call through a variable of this type. The docstrings of the reference give
shapes, formulas and sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import RowLosses, Rule, Stack, StepOptions
from fastfnn_kernels.packing import Compressed, Packed, PackedBatches
from fastfnn_kernels.workspace import Workspace


class Capabilities(NamedTuple):
    """Facts about a backend that callers divide their work by.

    Attributes
    ----------
    skips_zeros : bool
        Products of packed inputs leave out the zeros. Without this, packed inputs are first written out in full, and
        packing saves no time.
    splits_long_sums : bool
        Kernels split long reductions into chunks themselves. Larger blocks of rows then only mean fewer barriers.
    """

    skips_zeros: bool
    splits_long_sums: bool


class Kernels(Protocol):
    """A module of kernels."""

    NAME: str
    CAPABILITIES: Capabilities

    # Dense layers

    def dense_forward(
        self,
        x: NDArray[Any],
        weights: NDArray[Any],
        bias: NDArray[Any] | None = None,
        activation: str = "identity",
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Compute y = f(x w + b)."""

    def dense_weight_gradient(
        self,
        x: NDArray[Any],
        grad: NDArray[Any],
        out: NDArray[Any] | None = None,
        out_bias: NDArray[Any] | None = None,
        use_bias: bool = True,
        accumulate: bool = False,
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Compute x^T g and the column sums of g."""

    def dense_input_gradient(
        self,
        grad: NDArray[Any],
        weights: NDArray[Any],
        x: NDArray[Any] | None = None,
        activation: str = "identity",
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Compute (g w^T) * f'(x)."""

    def dense_cross_entropy(
        self,
        x: NDArray[Any],
        weights: NDArray[Any],
        bias: NDArray[Any] | None,
        labels: NDArray[np.int64],
        scale: float | None = None,
        activation: str = "identity",
        out: NDArray[Any] | None = None,
        out_weights: NDArray[Any] | None = None,
        out_bias: NDArray[Any] | None = None,
        accumulate: bool = False,
        with_gradients: bool = True,
    ) -> tuple[float, int, NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]:
        """Compute the cross-entropy of softmax(x w + b), the correct rows and the gradients."""

    # Stacks of dense layers

    def stack_forward(
        self,
        x: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        biases: Sequence[NDArray[Any] | None],
        activations: Sequence[str],
        max_density: float = 0.0,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Compute the last layer's outputs for a few rows."""

    def stack_gradient(
        self,
        x: NDArray[Any],
        parameters: NDArray[Any],
        widths: Sequence[int],
        activations: Sequence[str],
        use_bias: Sequence[bool],
        losses: RowLosses,
        scale: float | None = None,
        l2: float = 0.0,
        l2_bias: float = 0.0,
        out: NDArray[Any] | None = None,
        accumulate: bool = False,
    ) -> tuple[float, int, NDArray[Any]]:
        """Compute the loss of a small network, the correct rows and the gradient."""

    # Mostly-zero inputs, stored without their zeros

    def pack_rows(
        self, x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None
    ) -> Packed:
        """Pack rows of scale * x in groups of three."""

    def pack_batches(
        self,
        x: NDArray[Any],
        dtype: Any,
        batch_size: int,
        scale: float = 1.0,
        rows: NDArray[np.int64] | None = None,
        workspace: Workspace | None = None,
    ) -> PackedBatches:
        """Pack batches of rows of scale * x, each on its own."""

    def compress_rows(
        self, x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None
    ) -> Compressed:
        """Store the non-zeros of each row of scale * x."""

    def similar_rows(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Order rows so that the rows of a group have their non-zeros in the same columns."""

    def sparse_forward(
        self,
        rows: Packed,
        weights: NDArray[Any],
        bias: NDArray[Any] | None = None,
        activation: str = "identity",
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Compute y = f(x w + b) for packed rows."""

    def sparse_weight_gradient(
        self,
        rows: Packed,
        grad: NDArray[Any],
        out: NDArray[Any] | None = None,
        out_bias: NDArray[Any] | None = None,
        use_bias: bool = True,
        accumulate: bool = False,
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Compute x^T g and the column sums of g for packed rows."""

    # Elementwise layers

    def activation_forward(self, z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute y = f(z)."""

    def activation_gradient(
        self, y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Compute grad * f'(z) from y = f(z)."""

    def gelu_forward(self, z: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute GELU."""

    def gelu_gradient(self, z: NDArray[Any], grad: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute grad * GELU'(z)."""

    def dropout(
        self, x: NDArray[Any], rate: float, seed: int, first_row: int = 0, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Zero a share of the elements and scale up the others."""

    # Losses

    def softmax(self, logits: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute softmax row by row."""

    def softmax_cross_entropy(
        self,
        logits: NDArray[Any],
        labels: NDArray[np.int64],
        scale: float | None = None,
        out: NDArray[Any] | None = None,
        weights: NDArray[Any] | None = None,
        label_smoothing: float = 0.0,
    ) -> tuple[float, NDArray[Any]]:
        """Compute the cross-entropy of softmax(logits) and its gradient."""

    def elementwise_loss(
        self,
        outputs: NDArray[Any],
        targets: NDArray[Any],
        loss: str,
        scale: float | None = None,
        weights: NDArray[Any] | None = None,
        delta: float = 1.0,
        out: NDArray[Any] | None = None,
    ) -> tuple[float, NDArray[Any]]:
        """Compute a loss of each output and its target, and its gradient."""

    def count_correct(self, logits: NDArray[Any], labels: NDArray[np.int64]) -> int:
        """Count the rows whose largest logit is at the label."""

    # Many steps in one call

    def sgd_samples(
        self,
        samples: Compressed,
        labels: NDArray[np.int64],
        weights: Sequence[NDArray[Any]],
        biases: Sequence[NDArray[Any] | None],
        activations: Sequence[str],
        learning_rate: float,
    ) -> tuple[float, int]:
        """Take a step on every sample; return the sum of losses and the correct samples."""

    def sgd_batches(
        self,
        batches: PackedBatches,
        labels: NDArray[np.int64],
        weights: Sequence[NDArray[Any]],
        biases: Sequence[NDArray[Any] | None],
        activations: Sequence[str],
        learning_rate: float,
    ) -> tuple[float, int]:
        """Take a step on every batch; return the sum of losses and the correct rows."""

    def train_batches(
        self,
        x: NDArray[Any] | PackedBatches,
        rows: NDArray[np.int64] | None,
        losses: RowLosses,
        stack: Stack,
        parameters: NDArray[Any],
        gradient: NDArray[Any],
        rule: Rule,
        options: StepOptions,
        workspace: Workspace | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Take a step of any update rule on every batch; return the loss and the correct rows of each."""

    # Optimizer updates, in place

    def sgd(self, parameter: NDArray[Any], gradient: NDArray[Any], learning_rate: float) -> None:
        """Take a step of gradient descent."""

    def momentum(
        self,
        parameter: NDArray[Any],
        gradient: NDArray[Any],
        velocity: NDArray[Any],
        learning_rate: float,
        momentum: float,
        nesterov: bool = False,
        velocity_of_steps: bool = False,
    ) -> None:
        """Take a step with momentum."""

    def rmsprop(
        self,
        parameter: NDArray[Any],
        gradient: NDArray[Any],
        mean_square: NDArray[Any],
        learning_rate: float,
        rho: float,
        epsilon: float,
    ) -> None:
        """Take a step of RMSprop."""

    def rmsprop_tensor(
        self,
        parameter: NDArray[Any],
        gradient: NDArray[Any],
        mean_square: float,
        learning_rate: float,
        rho: float,
        epsilon: float,
    ) -> float:
        """Take a step of RMSprop with one mean for a whole tensor; return the new mean."""

    def adam(
        self,
        parameter: NDArray[Any],
        gradient: NDArray[Any],
        first_moment: NDArray[Any],
        second_moment: NDArray[Any],
        step: int,
        learning_rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
    ) -> None:
        """Take a step of Adam."""

    def adamw(
        self,
        parameter: NDArray[Any],
        gradient: NDArray[Any],
        first_moment: NDArray[Any],
        second_moment: NDArray[Any],
        step: int,
        learning_rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        """Take a step of Adam with decoupled weight decay."""

    def squared_norm(self, values: NDArray[Any]) -> float:
        """Sum the squares of all elements in float64."""

    def l2_penalty(self, parameter: NDArray[Any], gradient: NDArray[Any], l2: float) -> float:
        """Compute (l2 / 2) * sum of squares, and add its gradient."""
