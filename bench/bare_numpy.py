"""Plain NumPy as a contender: its bare expressions, without the package's checks, into arrays allocated once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from adam_job import BETA1, BETA2, EPSILON, LEARNING_RATE, AdamJob, Orders
from main_job import Samples, initial_parameters
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

Run = Callable[[], Any]


def settings() -> str:
    """Say which linear algebra NumPy calls, on how many threads."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return ", ".join(
        f"{library['internal_api']} {library['version']} for {library.get('architecture', 'this CPU')}, "
        f"{library['num_threads']} threads"
        for library in libraries
    )


def dense_forward(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any]) -> Run:
    """Compute relu(x w + b)."""
    out = np.empty((len(x), weights.shape[1]), x.dtype)

    def run() -> NDArray[Any]:
        np.matmul(x, weights, out=out)
        np.add(out, bias, out=out)
        return np.maximum(out, 0, out=out)

    return run


def dense_weight_gradient(x: NDArray[Any], grad: NDArray[Any]) -> Run:
    """Compute x^T g and the column sums of g."""
    out, out_bias = np.empty((x.shape[1], grad.shape[1]), x.dtype), np.empty(grad.shape[1], x.dtype)
    return lambda: (np.matmul(x.T, grad, out=out), np.sum(grad, axis=0, out=out_bias))


def dense_input_gradient(grad: NDArray[Any], weights: NDArray[Any], x: NDArray[Any]) -> Run:
    """Compute (g w^T) where x > 0."""
    out, mask = np.empty_like(x), np.empty(x.shape, bool)

    def run() -> NDArray[Any]:
        np.matmul(grad, weights.T, out=out)
        np.greater(x, 0, out=mask)
        return np.multiply(out, mask, out=out)

    return run


sparse_forward = dense_forward
sparse_weight_gradient = dense_weight_gradient


def predict(X: NDArray[Any]) -> Run:
    """Predict the labels of X by the main job's network, as it is drawn."""
    hidden_weights, bias, output_weights = (parameter.astype(X.dtype) for parameter in initial_parameters())
    return lambda: (np.maximum(X @ hidden_weights + bias, 0) @ output_weights).argmax(axis=1)


class MiniBatches:
    """Gradient descent, epoch by epoch."""

    def __init__(
        self, samples: Samples, batch_size: int, learning_rate: float, seed: int, dtype: str = "float32"
    ) -> None:
        self._X, self._y = samples.floats(dtype), samples.y
        self._batch_size = batch_size
        self._learning_rate = learning_rate
        self._rng = np.random.default_rng(seed)
        self._parameters = [parameter.astype(dtype) for parameter in initial_parameters()]

    def epoch(self) -> None:
        """Go through all samples once."""
        order = self._rng.permutation(len(self._y))
        for first in range(0, len(order), self._batch_size):
            rows = order[first : first + self._batch_size]
            self._step(self._X[rows], self._y[rows])

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return self._parameters

    def _step(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        hidden_weights, bias, output_weights = self._parameters
        hidden = np.maximum(x @ hidden_weights + bias, 0)
        logits = hidden @ output_weights
        delta = np.exp(logits - logits.max(axis=1, keepdims=True))
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(len(y)), y] -= 1
        delta *= self._learning_rate / len(y)
        hidden_delta = (delta @ output_weights.T) * (hidden > 0)
        hidden_weights -= x.T @ hidden_delta
        bias -= hidden_delta.sum(axis=0)
        output_weights -= hidden.T @ delta


def mini_batches(samples: Samples, batch_size: int, learning_rate: float, seed: int) -> MiniBatches:
    """Start plain gradient descent in mini-batches."""
    return MiniBatches(samples, batch_size, learning_rate, seed)


class AdamBatches:
    """Training with Adam, epoch by epoch."""

    def __init__(self, job: AdamJob) -> None:
        self._job, self._orders = job, Orders(job)
        self._parameters = job.initial_parameters()
        self._means = [np.zeros_like(parameter) for parameter in self._parameters]
        self._mean_squares = [np.zeros_like(parameter) for parameter in self._parameters]
        self._n_steps = 0

    def epoch(self) -> float:
        """Go through all samples once, and return the mean loss."""
        X, y = self._job.x, self._job.samples.y
        return float(np.mean([self._step(X[rows], y[rows]) for rows in self._orders.draw()]))

    def _step(self, x: NDArray[Any], y: NDArray[np.int64]) -> float:
        hidden_weights, hidden_bias, output_weights, output_bias = self._parameters
        hidden = np.maximum(x @ hidden_weights + hidden_bias, 0)
        logits = hidden @ output_weights + output_bias
        logits -= logits.max(axis=1, keepdims=True)
        delta = np.exp(logits)
        sums = delta.sum(axis=1, keepdims=True)
        delta /= sums
        chosen = np.arange(len(y)), y
        loss = np.mean(np.log(sums[:, 0]) - logits[chosen])
        delta[chosen] -= 1
        delta /= len(y)
        hidden_delta = (delta @ output_weights.T) * (hidden > 0)
        self._update([x.T @ hidden_delta, hidden_delta.sum(axis=0), hidden.T @ delta, delta.sum(axis=0)])
        return float(loss)

    def _update(self, gradients: list[NDArray[Any]]) -> None:
        self._n_steps += 1
        correction, of_square = 1 - BETA1**self._n_steps, 1 - BETA2**self._n_steps
        states = zip(self._parameters, self._means, self._mean_squares, gradients, strict=True)
        for parameter, mean, mean_square, gradient in states:
            mean += (1 - BETA1) * (gradient - mean)
            mean_square += (1 - BETA2) * (gradient * gradient - mean_square)
            parameter -= LEARNING_RATE / correction * mean / (np.sqrt(mean_square / of_square) + EPSILON)


def adam_batches(job: AdamJob) -> AdamBatches:
    """Start a training with Adam in mini-batches."""
    return AdamBatches(job)
