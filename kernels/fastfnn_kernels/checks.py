"""What every kernel asks of its arguments, checked before anything is computed or written.

`checked` puts the check of the same name in front of a kernel. Both backends are wrapped by it, so that they
refuse the same arguments with the same words, and neither the reference nor the jitted code checks anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import (
    DTYPES,
    require_another_output,
    require_floats,
    require_integers,
    require_labels,
    require_like,
    require_matrix,
    require_output,
    require_source,
)
from fastfnn_kernels.packing import Compressed, Packed, PackedBatches

ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh")

P = ParamSpec("P")
R = TypeVar("R")


def checked(kernel: Callable[P, R]) -> Callable[P, R]:
    """Return the kernel with the check of its name before it."""
    check = _CHECKS[kernel.__name__]

    @functools.wraps(kernel)
    def checked_kernel(*args: P.args, **kwargs: P.kwargs) -> R:
        check(*args, **kwargs)
        return kernel(*args, **kwargs)

    return checked_kernel


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
    _forward_rest(len(x), weights, bias, activation, out, {"x": x, "weights": weights, "bias": bias})


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None) -> None:
    """Check the arguments of `pack_rows` and `compress_rows`."""
    require_source("x", x)
    _target(dtype)
    if rows is not None:
        require_integers("rows", rows)
        _range("rows", rows, len(x), "the rows of x")


def pack_batches(
    x: NDArray[Any], dtype: Any, batch_size: int, scale: float = 1.0, rows: NDArray[np.int64] | None = None
) -> None:
    """Check the arguments of `pack_batches`."""
    pack_rows(x, dtype, scale, rows)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")


def similar_rows(x: NDArray[Any]) -> None:
    """Check the argument of `similar_rows`."""
    require_source("x", x)


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `sparse_forward`."""
    _packed("rows", rows)
    require_matrix("weights", weights, rows.values.dtype, rows.shape[1], None)
    _forward_rest(rows.shape[0], weights, bias, activation, out, {"weights": weights, "bias": bias})


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
    _gradient_rest(x.shape[1], grad, out, out_bias, {"x": x, "grad": grad})


def sparse_weight_gradient(
    rows: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> None:
    """Check the arguments of `sparse_weight_gradient`."""
    _packed("rows", rows)
    require_matrix("grad", grad, rows.values.dtype, rows.shape[0], None)
    _gradient_rest(rows.shape[1], grad, out, out_bias, {"grad": grad})


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
    _activation(activation)
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
    require_floats("x", x, 2)
    _same_lengths(weights, biases, activations)
    (n_rows, width), dtype = x.shape, x.dtype
    for layer, (w, b, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        require_matrix(f"weights[{layer}]", w, dtype, width, None)
        width = w.shape[1]
        if b is not None:
            require_like(f"biases[{layer}]", b, dtype, (width,))
        _activation(activation)
    if out is not None:
        others = {f"weights[{layer}]": w for layer, w in enumerate(weights)}
        others |= {f"biases[{layer}]": b for layer, b in enumerate(biases) if b is not None}
        require_output("out", out, dtype, (n_rows, width), {"x": x, **others})


def activation_forward(z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `activation_forward`."""
    require_floats("z", z, 2)
    _activation(activation)
    if out is not None:
        require_output("out", out, z.dtype, z.shape, {"z": z})


def activation_gradient(
    y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
) -> None:
    """Check the arguments of `activation_gradient`."""
    require_floats("y", y, 2)
    require_like("grad", grad, y.dtype, y.shape)
    _activation(activation)
    if out is not None:
        require_output("out", out, y.dtype, y.shape, {"y": y, "grad": grad})


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
) -> None:
    """Check the arguments of `softmax_cross_entropy`."""
    _logits(logits)
    require_labels(labels, *logits.shape)
    if out is not None:
        require_output("out", out, logits.dtype, logits.shape, {"logits": logits})


def count_correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> None:
    """Check the arguments of `count_correct`."""
    _logits(logits)
    require_labels(labels, *logits.shape)


def sgd_samples(
    samples: Compressed,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> None:
    """Check the arguments of `sgd_samples`."""
    _compressed("samples", samples)
    _sgd_rest("samples", samples, labels, weights, biases, activations)


def sgd_batches(
    batches: PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> None:
    """Check the arguments of `sgd_batches`."""
    _packed_batches("batches", batches)
    _sgd_rest("batches", batches, labels, weights, biases, activations)


def sgd(parameter: NDArray[Any], gradient: NDArray[Any], learning_rate: float) -> None:
    """Check the arguments of `sgd`."""
    _update(parameter, gradient)


def momentum(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    velocity: NDArray[Any],
    learning_rate: float,
    momentum: float,
    nesterov: bool = False,
) -> None:
    """Check the arguments of `momentum`."""
    _update(parameter, gradient, velocity=velocity)


def rmsprop(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: NDArray[Any],
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Check the arguments of `rmsprop`."""
    _update(parameter, gradient, mean_square=mean_square)


def rmsprop_tensor(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: float,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Check the arguments of `rmsprop_tensor`."""
    _update(parameter, gradient)


def adamw(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    first_moment: NDArray[Any],
    second_moment: NDArray[Any],
    step: int,
    *scalars: float,
    **named_scalars: float,
) -> None:
    """Check the arguments of `adamw` and `adam`."""
    _update(parameter, gradient, first_moment=first_moment, second_moment=second_moment)
    if step < 1:
        raise ValueError(f"step must be 1 for the first step and grow from there; got {step}")


def squared_norm(values: NDArray[Any]) -> None:
    """Check the arguments of `squared_norm`."""
    require_floats("values", values, None)


def _forward_rest(
    n_rows: int,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    activation: str,
    out: NDArray[Any] | None,
    others: dict[str, NDArray[Any] | None],
) -> None:
    n_outputs = weights.shape[1]
    _activation(activation)
    if bias is not None:
        require_like("bias", bias, weights.dtype, (n_outputs,))
    if out is not None:
        require_output("out", out, weights.dtype, (n_rows, n_outputs), others)


def _gradient_rest(
    n_inputs: int,
    grad: NDArray[Any],
    out: NDArray[Any] | None,
    out_bias: NDArray[Any] | None,
    others: dict[str, NDArray[Any]],
) -> None:
    n_outputs = grad.shape[1]
    if out is not None:
        require_another_output("out", out, grad.dtype, (n_inputs, n_outputs), others)
    if out_bias is not None:
        require_output("out_bias", out_bias, grad.dtype, (n_outputs,), others)


def _sgd_rest(
    name: str,
    x: Compressed | PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
) -> None:
    _same_lengths(weights, biases, activations)
    others = {f"{name}.values": x.values}
    width: int = x.shape[1]
    for layer, (w, b, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        require_another_output(f"weights[{layer}]", w, x.values.dtype, (width, None), others)
        width = w.shape[1]
        if b is not None:
            require_another_output(f"biases[{layer}]", b, x.values.dtype, (width,), others)
        _activation(activation)
    if width == 0:
        raise ValueError(
            f"weights[{len(weights) - 1}] must have at least one column, a class; got {weights[-1].shape}"
        )
    require_labels(labels, x.shape[0], width)


def _same_lengths(weights: Sequence[Any], biases: Sequence[Any], activations: Sequence[Any]) -> None:
    if not len(weights) == len(biases) == len(activations) > 0:
        lengths = f"{len(weights)}, {len(biases)} and {len(activations)}"
        raise ValueError(f"weights, biases and activations must have an element for each layer; got {lengths}")


def _update(parameter: NDArray[Any], gradient: NDArray[Any], **state: NDArray[Any]) -> None:
    require_floats("parameter", parameter, None)
    require_like("gradient", gradient, parameter.dtype, parameter.shape)
    others = {"gradient": gradient}
    for name, array in (("parameter", parameter), *state.items()):
        require_another_output(name, array, parameter.dtype, parameter.shape, others)


def _activation(activation: Any) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}")


def _target(dtype: Any) -> None:
    if np.dtype(dtype) not in DTYPES:
        raise TypeError(f"dtype must be float32 or float64; got {np.dtype(dtype)}: packed values are multiplied")


def _range(name: str, numbers: NDArray[np.int64], end: int, meaning: str) -> None:
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < end:
        raise ValueError(f"{name} must lie from 0 to {end - 1}, {meaning}; got {numbers.min()} to {numbers.max()}")


def _packed(name: str, packed: Any) -> None:
    if not isinstance(packed, Packed):
        raise TypeError(f"{name} must be a Packed matrix; got {type(packed).__name__}: pack it with pack_rows")
    require_floats(f"{name}.values", packed.values, 2)


def _compressed(name: str, compressed: Any) -> None:
    if not isinstance(compressed, Compressed):
        kind = type(compressed).__name__
        raise TypeError(f"{name} must be a Compressed matrix; got {kind}: store it with compress_rows")
    require_floats(f"{name}.values", compressed.values, 1)


def _packed_batches(name: str, batches: Any) -> None:
    if not isinstance(batches, PackedBatches):
        kind = type(batches).__name__
        raise TypeError(f"{name} must be PackedBatches; got {kind}: pack them with pack_batches")
    require_floats(f"{name}.values", batches.values, 2)


def _logits(logits: Any) -> None:
    require_floats("logits", logits, 2)
    if logits.shape[1] == 0:
        raise ValueError(f"logits must have at least one class; got shape {logits.shape}")


_CHECKS: dict[str, Callable[..., None]] = {
    check.__name__: check
    for check in (
        dense_forward,
        dense_weight_gradient,
        dense_input_gradient,
        stack_forward,
        pack_rows,
        pack_batches,
        similar_rows,
        sparse_forward,
        sparse_weight_gradient,
        activation_forward,
        activation_gradient,
        softmax,
        softmax_cross_entropy,
        count_correct,
        sgd_samples,
        sgd_batches,
        sgd,
        momentum,
        rmsprop,
        rmsprop_tensor,
        adamw,
        squared_norm,
    )
} | {"adam": adamw, "compress_rows": pack_rows}
