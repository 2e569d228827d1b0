"""Checks of the arguments of kernels that change parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import (
    FUSED_ACTIVATIONS,
    require_activation,
    require_another_output,
    require_floats,
    require_labels,
    require_like,
    require_output,
    require_same_lengths,
)
from fastfnn_kernels.packing import Compressed, PackedBatches


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
    velocity_of_steps: bool = False,
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


def l2_penalty(parameter: NDArray[Any], gradient: NDArray[Any], l2: float) -> None:
    """Check the arguments of `l2_penalty`."""
    require_floats("parameter", parameter, None)
    require_output("gradient", gradient, parameter.dtype, parameter.shape, {"parameter": parameter})


def squared_norm(values: NDArray[Any]) -> None:
    """Check the arguments of `squared_norm`."""
    require_floats("values", values, None)


def _sgd_rest(
    name: str,
    x: Compressed | PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
) -> None:
    require_same_lengths("weights, biases and activations", weights, biases, activations)
    others: dict[str, NDArray[Any] | None] = {f"{name}.values": x.values}
    width: int = x.shape[1]
    for layer, (w, b, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        require_another_output(f"weights[{layer}]", w, x.values.dtype, (width, None), others)
        width = w.shape[1]
        if b is not None:
            require_another_output(f"biases[{layer}]", b, x.values.dtype, (width,), others)
        require_activation(activation, FUSED_ACTIVATIONS)
    if width == 0:
        raise ValueError(
            f"weights[{len(weights) - 1}] must have at least one column, a class; got {weights[-1].shape}"
        )
    require_labels(labels, x.shape[0], width)


def _update(parameter: NDArray[Any], gradient: NDArray[Any], **state: NDArray[Any]) -> None:
    require_floats("parameter", parameter, None)
    require_like("gradient", gradient, parameter.dtype, parameter.shape)
    others: dict[str, NDArray[Any] | None] = {"gradient": gradient}
    for name, array in (("parameter", parameter), *state.items()):
        require_another_output(name, array, parameter.dtype, parameter.shape, others)


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
