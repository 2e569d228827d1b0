"""PyTorch: training with Adam in mini-batches, eager or each step compiled as a whole.

Eager steps use autograd and the fused optimizer. A compiled step is one graph of the loss, its gradients and the
update, which the compiler fuses. The samples of a batch are selected from one tensor, without a loader between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from adam_job import BETA1, BETA2, EPSILON, LEARNING_RATE, AdamJob, Orders
from torch.nn import functional

Tensor: TypeAlias = torch.Tensor

# Of a compiled step: what calls the kernels is C++ too.
COMPILE_OPTIONS = {"cpp_wrapper": True}


def loss_of(x: Tensor, y: Tensor, *parameters: Tensor) -> Tensor:
    """Compute the mean cross-entropy."""
    hidden_weights, hidden_bias, output_weights, output_bias = parameters
    hidden = torch.addmm(hidden_bias, x, hidden_weights).relu()
    return functional.cross_entropy(torch.addmm(output_bias, hidden, output_weights), y)


class AdamBatches:
    """Training epoch by epoch, eager."""

    def __init__(self, job: AdamJob) -> None:
        self._x, self._y = torch.from_numpy(job.x), torch.from_numpy(job.samples.y)
        self._orders = Orders(job)
        self._parameters = [torch.from_numpy(drawn).requires_grad_() for drawn in job.initial_parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, LEARNING_RATE, (BETA1, BETA2), EPSILON, fused=True)

    def epoch(self) -> float:
        """Go through all samples once, and return the mean loss."""
        order = torch.from_numpy(self._orders.draw())
        total = self._x.new_zeros(())
        for rows in order:
            total += self._step(self._x.index_select(0, rows), self._y.index_select(0, rows))
        return total.item() / len(order)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        loss = loss_of(x, y, *self._parameters)
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.detach()


class CompiledAdamBatches(AdamBatches):
    """Training epoch by epoch, its step compiled by `compiled`."""

    def __init__(self, job: AdamJob, compiled: Callable[..., Any]) -> None:
        super().__init__(job)
        self._parameters = [parameter.detach() for parameter in self._parameters]
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._mean_squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._n_steps = 0
        self._compiled_step = compiled(_step)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        self._n_steps += 1
        step_size = LEARNING_RATE / (1 - BETA1**self._n_steps)
        root_factor = (1 - BETA2**self._n_steps) ** -0.5
        factors = torch.tensor([step_size, root_factor], dtype=x.dtype)  # as numbers they would be compiled anew
        loss: Tensor = self._compiled_step(x, y, factors, self._parameters, self._means, self._mean_squares)
        return loss


def _step(
    x: Tensor,
    y: Tensor,
    factors: Tensor,
    parameters: list[Tensor],
    means: list[Tensor],
    mean_squares: list[Tensor],
) -> Tensor:
    """Update parameters and means in place, and return the loss before."""
    gradients, loss = torch.func.grad_and_value(lambda arrays: loss_of(x, y, *arrays))(parameters)
    for parameter, mean, mean_square, gradient in zip(parameters, means, mean_squares, gradients, strict=True):
        following = mean + (1 - BETA1) * (gradient - mean)
        following_square = mean_square + (1 - BETA2) * (gradient * gradient - mean_square)
        mean.copy_(following)
        mean_square.copy_(following_square)
        parameter.copy_(parameter - factors[0] * following / (following_square.sqrt() * factors[1] + EPSILON))
    return loss
