"""The published trainings as their authors write them: float64 NumPy, each formula over the whole batch.

A training is made from its first parameters, which it copies; `step` updates them once and returns the loss before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def softmax(z: Array) -> Array:
    """Return the probabilities, row by row."""
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def mean_cross_entropy(probabilities: Array, labels: Labels) -> tuple[float, Array]:
    """Return the loss of a batch, and in the place of the probabilities the gradient of the softmax's inputs."""
    rows = np.arange(len(labels))
    loss = -np.mean(np.log(probabilities[rows, labels]))
    delta = probabilities
    delta[rows, labels] -= 1
    delta /= len(labels)
    return float(loss), delta


def copies(parameters: Sequence[NDArray[Any]]) -> list[Array]:
    """Copy all parameters, as float64."""
    return [np.array(parameter, np.float64) for parameter in parameters]


class KaggleRmsprop:
    """784-256-10 on the whole batch; parameters are hidden weights, hidden bias, output weights."""

    def __init__(self, parameters: Sequence[NDArray[Any]]) -> None:
        self.parameters = copies(parameters)
        self._mean_squares = [1.0, 1.0, 1.0]
        self._iteration = 0

    def gradients(self, X: Array, labels: Labels) -> tuple[float, list[Array]]:
        """Return the loss with its penalty, and the gradient of each parameter."""
        W0, b0, W1 = self.parameters
        z = X @ W0 + b0
        hidden = np.maximum(z, 0)
        loss, delta = mean_cross_entropy(softmax(hidden @ W1), labels)
        loss += 1e-6 / 2 * (np.sum(W0**2) + np.sum(W1**2))
        hidden_delta = (delta @ W1.T) * (z > 0)
        gradients = [X.T @ hidden_delta + 1e-6 * W0, hidden_delta.sum(axis=0), hidden.T @ delta + 1e-6 * W1]
        return loss, gradients

    def step(self, X: Array, labels: Labels) -> float:
        """Divide the step of each tensor by the root of the running mean of its squared norm."""
        loss, gradients = self.gradients(X, labels)
        for i, gradient in enumerate(gradients):
            self._mean_squares[i] = 0.99 * self._mean_squares[i] + 0.01 * np.sum(gradient**2)
            self.parameters[i] -= 0.5 / np.sqrt(self._mean_squares[i] + 1e-3) * gradient
        if self._iteration % 500 == 0:
            self._mean_squares = [1.0, 1.0, 1.0]
        self._iteration += 1
        return loss


class Layers:
    """Relu layers and a linear output; parameters are the weights and the bias of each layer in turn."""

    def __init__(self, parameters: Sequence[NDArray[Any]]) -> None:
        self.parameters = copies(parameters)

    def gradients(self, X: Array, labels: Labels) -> tuple[float, list[Array]]:
        """Return the loss, and the gradient of each parameter."""
        weights, biases = self.parameters[::2], self.parameters[1::2]
        inputs = [X]
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(np.maximum(inputs[-1] @ W + b, 0))
        loss, delta = mean_cross_entropy(softmax(inputs[-1] @ weights[-1] + biases[-1]), labels)
        gradients: list[Array] = []
        for x, W in zip(reversed(inputs), reversed(weights), strict=True):
            gradients = [x.T @ delta, delta.sum(axis=0), *gradients]
            delta = (delta @ W.T) * (x > 0)
        return loss, gradients


class LayersSgd(Layers):
    """The layers with plain gradient descent."""

    def step(self, X: Array, labels: Labels) -> float:
        """Go down the gradient."""
        loss, gradients = self.gradients(X, labels)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter -= 1e-3 * gradient
        return loss


class Adam:
    """Steps by the corrected means of the gradient and of its square, as Kingma & Ba write them."""

    def __init__(self, parameters: Sequence[Array], learning_rate: float) -> None:
        self._parameters, self._rate = parameters, learning_rate
        self._first = [np.zeros_like(parameter) for parameter in parameters]
        self._second = [np.zeros_like(parameter) for parameter in parameters]
        self._t = 0

    def step(self, gradients: Sequence[Array]) -> None:
        """Change the parameters in place."""
        self._t += 1
        for i, gradient in enumerate(gradients):
            self._first[i] = 0.9 * self._first[i] + 0.1 * gradient
            self._second[i] = 0.999 * self._second[i] + 0.001 * gradient**2
            first, second = self._first[i] / (1 - 0.9**self._t), self._second[i] / (1 - 0.999**self._t)
            self._parameters[i][...] -= self._rate * first / (np.sqrt(second) + 1e-8)


class LayersAdam(Layers):
    """The layers with Adam."""

    def __init__(self, parameters: Sequence[NDArray[Any]]) -> None:
        super().__init__(parameters)
        self._adam = Adam(self.parameters, 1e-3)

    def step(self, X: Array, labels: Labels) -> float:
        """Step by Adam."""
        loss, gradients = self.gradients(X, labels)
        self._adam.step(gradients)
        return loss


class SigmoidSgd:
    """One sample a step; parameters are hidden weights and bias, output weights and bias."""

    def __init__(self, parameters: Sequence[NDArray[Any]]) -> None:
        self.parameters = copies(parameters)

    def step(self, x: Array, label: int) -> float:
        """Take one sample, a vector."""
        W0, b0, W1, b1 = self.parameters
        hidden = sigmoid(x @ W0 + b0)
        z = hidden @ W1 + b1
        exponentials = np.exp(z - z.max())
        delta = exponentials / exponentials.sum()
        loss = -math.log(delta[label])
        delta[label] -= 1
        hidden_delta = (W1 @ delta) * hidden * (1 - hidden)
        W1 -= 1e-4 * np.outer(hidden, delta)
        b1 -= 1e-4 * delta
        W0 -= 1e-4 * np.outer(x, hidden_delta)
        b0 -= 1e-4 * hidden_delta
        return loss


class Spiral:
    """Each bias is the last row of its weights, on an input that is always 1; parameters are the two matrices."""

    def __init__(self, parameters: Sequence[NDArray[Any]]) -> None:
        self.parameters = copies(parameters)

    def step(self, X: Array, labels: Labels) -> float:
        """Go down the gradient of the whole batch, penalty included."""
        W0, W1 = self.parameters
        inputs = np.hstack([X, np.ones((len(X), 1))])
        hidden = np.hstack([np.maximum(inputs @ W0, 0), np.ones((len(X), 1))])
        loss, delta = mean_cross_entropy(softmax(hidden @ W1), labels)
        loss += 1e-3 / 2 * (np.sum(W0**2) + np.sum(W1**2))
        hidden_delta = (delta @ W1.T) * (hidden > 0)
        self.parameters[0] = W0 - 0.1 * (inputs.T @ hidden_delta[:, :-1] + 1e-3 * W0)
        self.parameters[1] = W1 - 0.1 * (hidden.T @ delta + 1e-3 * W1)
        return loss


class Digits:
    """Samples in columns, a sigmoid after every layer; parameters are the weights and the bias of each in turn.

    The page leaves open how it descends: here by Adam.
    """

    def __init__(self, parameters: Sequence[NDArray[Any]], l2: float, learning_rate: float) -> None:
        self.parameters = copies(parameters)
        self._l2 = l2
        self._adam = Adam(self.parameters, learning_rate)

    def step(self, X: Array, labels: Labels) -> float:
        """Take all samples; the penalty is lambda / (2 N) times the sum of squared weights."""
        weights, biases = self.parameters[::2], self.parameters[1::2]
        n_samples = len(labels)
        outputs = [X.T]
        for W, b in zip(weights, biases, strict=True):
            outputs.append(sigmoid(W.T @ outputs[-1] + b[:, np.newaxis]))
        loss, delta = mean_cross_entropy(softmax(outputs[-1].T), labels)
        loss += self._l2 / (2 * n_samples) * sum(float(np.sum(W**2)) for W in weights)
        grad = delta.T
        gradients: list[Array] = []
        for i in reversed(range(len(weights))):
            grad = grad * outputs[i + 1] * (1 - outputs[i + 1])
            gradients = [outputs[i] @ grad.T + self._l2 / n_samples * weights[i], grad.sum(axis=1), *gradients]
            grad = weights[i] @ grad
        self._adam.step(gradients)
        return loss
