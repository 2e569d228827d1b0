"""PyTorch: trainings of the main job's network, eager or compiled.

Gradients are set to None instead of zero. The data lie in memory as one tensor, without a loader between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from main_job import (
    DECAY,
    EPSILON,
    INITIAL_MEAN_SQUARE,
    L2,
    LEARNING_RATE,
    RESET_EVERY,
    Samples,
    initial_parameters,
)
from numpy.typing import NDArray
from torch.nn import functional

Tensor: TypeAlias = torch.Tensor
LossFunction = Callable[..., Tensor]


def logits_of(x: Tensor, hidden_weights: Tensor, bias: Tensor, output_weights: Tensor) -> Tensor:
    """Run the network."""
    return torch.addmm(bias, x, hidden_weights).relu() @ output_weights


def loss_of(x: Tensor, y: Tensor, *parameters: Tensor) -> Tensor:
    """Compute the mean cross-entropy."""
    return functional.cross_entropy(logits_of(x, *parameters), y)


def penalized_loss_of(x: Tensor, y: Tensor, *parameters: Tensor) -> Tensor:
    """Compute the mean cross-entropy and the main job's penalty."""
    hidden_weights, _, output_weights = parameters
    penalty = hidden_weights.square().sum() + output_weights.square().sum()
    return loss_of(x, y, *parameters) + L2 / 2 * penalty


class FullBatch:
    """The main job, step by step."""

    def __init__(self, samples: Samples, loss_function: LossFunction = penalized_loss_of) -> None:
        self._x, self._y = _tensors(samples)
        self._loss_function = loss_function
        self._parameters = _initial_tensors()
        self._reset_means()
        self._iteration = 0

    def step(self) -> float:
        """Update the parameters once, and return the loss before."""
        loss = self._loss_function(self._x, self._y, *self._parameters)
        loss.backward()
        self._update()
        if self._iteration % RESET_EVERY == 0:
            self._reset_means()
        self._iteration += 1
        return loss.item()

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return [parameter.detach().numpy() for parameter in self._parameters]

    def _reset_means(self) -> None:
        self._mean_squares = [torch.tensor(INITIAL_MEAN_SQUARE) for _ in self._parameters]

    @torch.no_grad()
    def _update(self) -> None:
        for parameter, mean_square in zip(self._parameters, self._mean_squares, strict=True):
            gradient = parameter.grad
            if gradient is not None:
                mean_square.lerp_(gradient.square().sum(), 1 - DECAY)
                parameter.addcdiv_(gradient, (mean_square + EPSILON).sqrt(), value=-LEARNING_RATE)
                parameter.grad = None


class MiniBatches:
    """Gradient descent, epoch by epoch."""

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        learning_rate: float,
        seed: int,
        loss_function: LossFunction = loss_of,
    ) -> None:
        self._x, self._y = _tensors(samples)
        self._batch_size = batch_size
        self._loss_function = loss_function
        self._rng = np.random.default_rng(seed)
        self._parameters = _initial_tensors()
        self._optimizer = torch.optim.SGD(self._parameters, learning_rate, fused=True)

    def epoch(self) -> None:
        """Go through all samples once."""
        order = torch.from_numpy(self._rng.permutation(len(self._y)))
        for rows in order.split(self._batch_size):
            loss = self._loss_function(self._x[rows], self._y[rows], *self._parameters)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return [parameter.detach().numpy() for parameter in self._parameters]


def _tensors(samples: Samples) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(samples.floats("float32")), torch.from_numpy(samples.y)


def _initial_tensors() -> list[Tensor]:
    return [torch.from_numpy(drawn.astype(np.float32)).requires_grad_() for drawn in initial_parameters()]
