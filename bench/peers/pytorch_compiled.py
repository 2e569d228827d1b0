"""PyTorch, its functions compiled with `torch.compile` for the shapes they are given."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from adam_job import AdamJob
from main_job import Samples
from numpy.typing import NDArray
from torch.nn import functional

from peers import pytorch
from peers.pytorch_adam import COMPILE_OPTIONS, CompiledAdamBatches
from peers.pytorch_training import FullBatch, MiniBatches, logits_of, loss_of, penalized_loss_of

Run = Callable[[], Any]


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    weights: NDArray[Any] | None = None,
    label_smoothing: float = 0.0,
) -> Run:
    """Compute the mean loss and its gradient."""
    constants = (labels,) if weights is None else (labels, weights)
    return pytorch.loss_and_gradient_of(_compiled(pytorch.cross_entropy_with(label_smoothing)), logits, *constants)


def elementwise_loss(loss: str, outputs: NDArray[Any], targets: NDArray[Any]) -> Run:
    """Compute the mean loss and its gradient."""
    return pytorch.loss_and_gradient_of(_compiled(pytorch.ELEMENTWISE_LOSSES[loss]), outputs, targets)


def dropout(x: NDArray[Any], rate: float) -> Run:
    """Set a share of x to zero, and divide the rest by the share that is kept."""
    tensor, drop = torch.from_numpy(x), _compiled(functional.dropout)
    return torch.inference_mode()(lambda: drop(tensor, rate))


def dense_cross_entropy(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any], labels: NDArray[np.int64]) -> Run:
    """Compute the mean loss of an output layer whose inputs relu made, and the gradients of these, w and b."""
    return pytorch.loss_and_gradients_of(_compiled(pytorch.output_layer_loss), x, weights, bias, labels)


def stack_cross_entropy(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]],
    activations: Sequence[str],
    labels: NDArray[np.int64],
) -> Run:
    """Compute the mean loss of a network, and the gradients of all its weights, then of its biases."""
    loss_function = _compiled(pytorch.network_loss_with(activations))
    return pytorch.network_loss_and_gradients_of(loss_function, x, weights, biases, labels)


def full_batch(samples: Samples) -> FullBatch:
    """Start the main job."""
    return FullBatch(samples, _compiled(penalized_loss_of))


def mini_batches(samples: Samples, batch_size: int, learning_rate: float, seed: int) -> MiniBatches:
    """Start plain gradient descent in mini-batches."""
    return MiniBatches(samples, batch_size, learning_rate, seed, _compiled(loss_of))


def adam_batches(job: AdamJob) -> CompiledAdamBatches:
    """Start a training with Adam in mini-batches."""
    return CompiledAdamBatches(job, functools.partial(_compiled, options=COMPILE_OPTIONS))


def predict(X: NDArray[Any]) -> Run:
    """Predict the labels of X by the main job's network, as it is drawn."""
    x, parameters = pytorch.prediction_operands(X)
    labels_of = _compiled(lambda *operands: logits_of(*operands).argmax(1))
    return torch.inference_mode()(lambda: labels_of(x, *parameters))


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    torch.compiler.reset()
    return torch.compile(function, dynamic=False, **options)
