"""Checks of every kernel's arguments, done before anything is computed or written.

`checked` wraps a kernel with the check of the same name. It wraps both backends, so they reject the same arguments
with the same messages. Neither the reference nor the jitted code checks anything itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastfnn_kernels.checks import batches, layers, packing, training

P = ParamSpec("P")
R = TypeVar("R")


def checked(kernel: Callable[P, R]) -> Callable[P, R]:
    """Wrap a kernel so that the check of the same name runs first."""
    check = CHECKS[kernel.__name__]

    @functools.wraps(kernel)
    def checked_kernel(*args: P.args, **kwargs: P.kwargs) -> R:
        check(*args, **kwargs)
        return kernel(*args, **kwargs)

    return checked_kernel


CHECKS: dict[str, Callable[..., None]] = {
    check.__name__: check
    for check in (
        layers.dense_forward,
        layers.dense_weight_gradient,
        layers.dense_input_gradient,
        layers.dense_cross_entropy,
        layers.stack_forward,
        layers.stack_gradient,
        layers.activation_forward,
        layers.activation_gradient,
        layers.gelu_forward,
        layers.gelu_gradient,
        layers.dropout,
        layers.softmax,
        layers.elementwise_loss,
        layers.softmax_cross_entropy,
        layers.count_correct,
        packing.pack_rows,
        packing.pack_batches,
        packing.similar_rows,
        packing.sparse_forward,
        packing.sparse_weight_gradient,
        training.sgd_samples,
        training.sgd_batches,
        batches.train_batches,
        training.sgd,
        training.momentum,
        training.rmsprop,
        training.rmsprop_tensor,
        training.adamw,
        training.squared_norm,
        training.l2_penalty,
    )
} | {"adam": training.adamw, "compress_rows": packing.pack_rows}
