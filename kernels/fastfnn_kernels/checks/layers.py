"""Checks of the arguments of layers and losses."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import (
    FUSED_ACTIVATIONS,
    LOSSES,
    is_usual,
    is_usual_matrix,
    number_of_parameters,
    require_activation,
    require_another_output,
    require_floats,
    require_labels,
    require_like,
    require_matrix,
    require_output,
    require_same_lengths,
)
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses
from fastfnn_kernels.checks.row_losses import require_row_losses


def dense_forward(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `dense_forward`."""
    require_floats("x", x, 2)
    require_matrix("weights", weights, x.dtype, x.shape[1], None)
    check_forward(len(x), weights, bias, activation, out, {"x": x, "weights": weights, "bias": bias})


def dense_weight_gradient(
    x: NDArray[Any],
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> None:
    """Check the arguments of `dense_weight_gradient`."""
    require_floats("x", x, 2)
    require_matrix("grad", grad, x.dtype, len(x), None)
    check_gradient(x.shape[1], grad, out, out_bias, {"x": x, "grad": grad})


def dense_input_gradient(
    grad: NDArray[Any],
    weights: NDArray[Any],
    x: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `dense_input_gradient`."""
    require_floats("grad", grad, 2)
    require_matrix("weights", weights, grad.dtype, None, grad.shape[1])
    require_activation(activation)
    shape = (grad.shape[0], weights.shape[0])
    if x is not None:
        require_like("x", x, grad.dtype, shape)
    elif activation != "identity":
        raise ValueError(f"x is needed for the derivative of {activation}: pass the layer's inputs, of shape {shape}")
    if out is not None:
        require_output("out", out, grad.dtype, shape, {"grad": grad, "weights": weights, "x": x})


def stack_forward(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    max_density: float = 0.0,
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `stack_forward`."""
    n_outputs = _stack(x, weights, biases, activations)
    if out is not None:
        require_output("out", out, x.dtype, (len(x), n_outputs), _named_inputs(x, weights, biases))


def stack_gradient(
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
) -> None:
    """Check the arguments of `stack_gradient`."""
    require_floats("x", x, 2)
    shape = _shape_of_parameters(x.shape[1], tuple(widths), tuple(activations), tuple(use_bias))
    require_like("parameters", parameters, x.dtype, shape)
    require_row_losses(losses, len(x), widths[-1], x.dtype)
    if out is not None:
        others: dict[str, NDArray[Any] | None] = {"x": x, "parameters": parameters}
        if losses.weights is not None or losses.name != SOFTMAX_CROSS_ENTROPY:
            others |= {"losses.targets": losses.targets, "losses.weights": losses.weights}
        require_output("out", out, x.dtype, shape, others)


def activation_forward(z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `activation_forward`."""
    require_floats("z", z, 2)
    require_activation(activation)
    if out is not None:
        require_output("out", out, z.dtype, z.shape, {"z": z})


def activation_gradient(
    y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
) -> None:
    """Check the arguments of `activation_gradient`."""
    require_floats("y", y, 2)
    require_like("grad", grad, y.dtype, y.shape)
    require_activation(activation)
    if out is not None:
        require_output("out", out, y.dtype, y.shape, {"y": y, "grad": grad})


def gelu_forward(z: NDArray[Any], out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `gelu_forward`."""
    require_floats("z", z, 2)
    if out is not None:
        require_output("out", out, z.dtype, z.shape, {"z": z})


def gelu_gradient(z: NDArray[Any], grad: NDArray[Any], out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `gelu_gradient`."""
    require_floats("z", z, 2)
    require_like("grad", grad, z.dtype, z.shape)
    if out is not None:
        require_output("out", out, z.dtype, z.shape, {"z": z, "grad": grad})


def dropout(x: NDArray[Any], rate: float, seed: int, first_row: int = 0, out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `dropout`."""
    require_floats("x", x, 2)
    if not 0 <= rate < 1:
        raise ValueError(f"rate must lie from 0 to below 1; got {rate}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must lie from 0 to 2**63 - 1; got {seed}")
    if first_row < 0:
        raise ValueError(f"first_row must be 0 or more; got {first_row}")
    if out is not None:
        require_output("out", out, x.dtype, x.shape, {"x": x})


def softmax(logits: NDArray[Any], out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `softmax`."""
    _logits(logits)
    if out is not None:
        require_output("out", out, logits.dtype, logits.shape, {"logits": logits})


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    scale: float | None = None,
    out: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    label_smoothing: float = 0.0,
) -> None:
    """Check the arguments of `softmax_cross_entropy`."""
    _logits(logits)
    require_labels(labels, *logits.shape)
    if weights is not None:
        require_like("weights", weights, logits.dtype, (len(logits),))
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must lie from 0 to below 1; got {label_smoothing}")
    if out is not None:
        require_output("out", out, logits.dtype, logits.shape, {"logits": logits, "weights": weights})


def elementwise_loss(
    outputs: NDArray[Any],
    targets: NDArray[Any],
    loss: str,
    scale: float | None = None,
    weights: NDArray[Any] | None = None,
    delta: float = 1.0,
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `elementwise_loss`."""
    require_floats("outputs", outputs, 2)
    require_like("targets", targets, outputs.dtype, outputs.shape)
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {loss!r}")
    if weights is not None:
        require_like("weights", weights, outputs.dtype, (len(outputs),))
    if not 0 < delta < math.inf:
        raise ValueError(f"delta must be a finite number above 0; got {delta}")
    if out is not None:
        others = {"outputs": outputs, "targets": targets, "weights": weights}
        require_output("out", out, outputs.dtype, outputs.shape, others)


def count_correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> None:
    """Check the arguments of `count_correct`."""
    _logits(logits)
    require_labels(labels, *logits.shape)


def dense_cross_entropy(
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
) -> None:
    """Check the arguments of `dense_cross_entropy`."""
    require_floats("x", x, 2)
    require_matrix("weights", weights, x.dtype, x.shape[1], None)
    if weights.shape[1] == 0:
        raise ValueError(f"weights must have at least one column, a class; got {weights.shape}")
    if bias is not None:
        require_like("bias", bias, x.dtype, (weights.shape[1],))
    require_labels(labels, len(x), weights.shape[1])
    require_activation(activation, FUSED_ACTIVATIONS)
    others: dict[str, NDArray[Any] | None] = {"weights": weights, "bias": bias, "x": None if out is x else x}
    if out is not None:
        require_another_output("out", out, x.dtype, x.shape, others)
    if out_weights is not None:
        require_another_output("out_weights", out_weights, x.dtype, weights.shape, others)
    if out_bias is not None:
        require_output("out_bias", out_bias, x.dtype, (weights.shape[1],), others)


def check_forward(
    n_rows: int,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    activation: str,
    out: NDArray[Any] | None,
    others: dict[str, NDArray[Any] | None],
) -> None:
    """Check the arguments that all forward products share."""
    n_outputs = weights.shape[1]
    require_activation(activation)
    if bias is not None:
        require_like("bias", bias, weights.dtype, (n_outputs,))
    if out is not None:
        require_output("out", out, weights.dtype, (n_rows, n_outputs), others)


def check_gradient(
    n_inputs: int,
    grad: NDArray[Any],
    out: NDArray[Any] | None,
    out_bias: NDArray[Any] | None,
    others: dict[str, NDArray[Any] | None],
) -> None:
    """Check the outputs that all weight gradients share."""
    n_outputs = grad.shape[1]
    if out is not None:
        require_another_output("out", out, grad.dtype, (n_inputs, n_outputs), others)
    if out_bias is not None:
        require_output("out_bias", out_bias, grad.dtype, (n_outputs,), others)


def _stack(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
) -> int:
    """Check the inputs and parameters of a stack of layers; return the last layer's width."""
    require_floats("x", x, 2)
    require_same_lengths("weights, biases and activations", weights, biases, activations)
    width, dtype = x.shape[1], x.dtype
    for layer, (w, b, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        if not is_usual_matrix(w, dtype, width, None):  # formatting the name takes longer than this test
            require_like(f"weights[{layer}]", w, dtype, (width, None))
        width = w.shape[1]
        if b is not None and not is_usual(b, dtype, (width,)):
            require_like(f"biases[{layer}]", b, dtype, (width,))
        require_activation(activation, FUSED_ACTIVATIONS)
    return int(width)


def _named_inputs(
    x: NDArray[Any], weights: Sequence[NDArray[Any]], biases: Sequence[NDArray[Any] | None]
) -> dict[str, NDArray[Any] | None]:
    """Name the arrays that no output may share memory with."""
    named: dict[str, NDArray[Any] | None] = {f"weights[{layer}]": w for layer, w in enumerate(weights)}
    return named | {f"biases[{layer}]": b for layer, b in enumerate(biases)} | {"x": x}


@functools.lru_cache
def _shape_of_parameters(
    n_inputs: int, widths: tuple[int, ...], activations: tuple[str, ...], use_bias: tuple[bool, ...]
) -> tuple[int]:
    """Check the description of a network's layers; return the shape of their vector of parameters."""
    require_same_lengths("widths, activations and use_bias", widths, activations, use_bias)
    for activation in activations:
        require_activation(activation, FUSED_ACTIVATIONS)
    if min(widths) < 0 or widths[-1] == 0:
        raise ValueError(f"widths must be counts of outputs, at least one for the last layer; got {widths}")
    return (number_of_parameters(n_inputs, widths, use_bias),)


def _logits(logits: Any) -> None:
    require_floats("logits", logits, 2)
    if logits.shape[1] == 0:
        raise ValueError(f"logits must have at least one class; got shape {logits.shape}")
