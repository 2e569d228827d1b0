"""JAX, every function jitted, buffers that a step replaces donated to it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.backend import clear_backends
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

from peers.jax_adam import AdamBatches

Run = Callable[[], Any]

adam_batches = AdamBatches


def settings() -> str:
    """Say on how many threads it runs, and how exactly it multiplies."""
    options: Any = jax.config  # its attributes are not in its type
    precision, wide = options.jax_default_matmul_precision, options.jax_enable_x64
    return (
        f"{_n_allowed_cpus()} threads, one for each CPU, matmul precision {precision or 'the default'}, "
        f"64-bit numbers {'on' if wide else 'off'}, XLA_FLAGS {os.environ.get('XLA_FLAGS') or 'none'}"
    )


@contextmanager
def on_threads(n_threads: int) -> Iterator[None]:
    """Start JAX anew on so many CPUs: it makes a thread for each that it may run on, once."""
    if n_threads == _n_allowed_cpus():
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("JAX cannot be held to a part of the CPUs on this system")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:n_threads])
    clear_backends()
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        clear_backends()


def dense_forward(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any]) -> Run:
    """Compute relu(x w + b)."""
    operands = [jnp.asarray(operand) for operand in (x, weights, bias)]
    forward = jax.jit(lambda x, w, b: jax.nn.relu(x @ w + b))
    return lambda: forward(*operands).block_until_ready()


def dense_weight_gradient(x: NDArray[Any], grad: NDArray[Any]) -> Run:
    """Compute x^T g and the column sums of g."""
    operands = [jnp.asarray(operand) for operand in (x, grad)]
    gradients_of = jax.jit(lambda x, g: (x.T @ g, g.sum(axis=0)))
    return lambda: jax.block_until_ready(gradients_of(*operands))


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    weights: NDArray[Any] | None = None,
    label_smoothing: float = 0.0,
) -> Run:
    """Compute the mean loss and its gradient."""
    constants = (labels,) if weights is None else (labels, weights)
    loss_function = functools.partial(_cross_entropy, label_smoothing=label_smoothing)
    return _loss_and_gradient_of(loss_function, logits, *constants)


def elementwise_loss(loss: str, outputs: NDArray[Any], targets: NDArray[Any]) -> Run:
    """Compute the mean loss and its gradient."""
    return _loss_and_gradient_of(lambda y, t: _LOSSES[loss](y, t).mean(), outputs, targets)


def dropout(x: NDArray[Any], rate: float) -> Run:
    """Set a share of x to zero, and divide the rest by the share that is kept."""
    array, key = jnp.asarray(x), jax.random.key(0)

    @jax.jit
    def drop(x: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)

    return lambda: drop(array, key).block_until_ready()


def dense_cross_entropy(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any], labels: NDArray[np.int64]) -> Run:
    """Compute the mean loss of an output layer whose inputs relu made, and the gradients of these, w and b."""
    operands = [jnp.asarray(operand) for operand in (x, weights, bias, labels)]

    @jax.jit
    def gradients_of(x: jax.Array, w: jax.Array, b: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        loss_of = jax.value_and_grad(lambda x, w, b: _cross_entropy(x @ w + b, y), (0, 1, 2))
        loss, (grad, *others) = loss_of(x, w, b)
        return loss, jnp.where(x > 0, grad, 0), *others

    return lambda: jax.block_until_ready(gradients_of(*operands))


def stack_cross_entropy(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]],
    activations: Sequence[str],
    labels: NDArray[np.int64],
) -> Run:
    """Compute the mean loss of a network, and the gradients of all its weights, then of its biases."""
    functions = [_ACTIVATIONS[activation] for activation in activations]
    parameters = [[jnp.asarray(array) for array in arrays] for arrays in (weights, biases)]
    inputs, classes = jnp.asarray(x), jnp.asarray(labels)

    def loss_of(weights: list[jax.Array], biases: list[jax.Array], y: jax.Array, labels: jax.Array) -> jax.Array:
        for w, b, activate in zip(weights, biases, functions, strict=True):
            y = activate(y @ w + b)
        return _cross_entropy(y, labels)

    gradients_of = jax.jit(jax.value_and_grad(loss_of, (0, 1)))

    def run() -> tuple[jax.Array, ...]:
        loss, (weight_gradients, bias_gradients) = jax.block_until_ready(gradients_of(*parameters, inputs, classes))
        return loss, *weight_gradients, *bias_gradients

    return run


def update(rule: str, arrays: list[NDArray[Any]], *scalars: float) -> Run:
    """Replace the parameter and its state, time after time; returns them as they are then, the gradient second."""
    if rule != "adam":
        raise ValueError(f"only Adam is written for JAX; got {rule!r}")
    parameter, gradient, *states = (jnp.array(array) for array in arrays)
    state = [parameter, *states]

    def run() -> list[jax.Array]:
        state[:] = jax.block_until_ready(_adam(*state, gradient, *scalars))
        return [state[0], gradient, *state[1:]]

    return run


def full_batch(samples: Samples) -> FullBatch:
    """Start the main job."""
    return FullBatch(samples)


def mini_batches(samples: Samples, batch_size: int, learning_rate: float, seed: int) -> MiniBatches:
    """Start plain gradient descent in mini-batches."""
    return MiniBatches(samples, batch_size, learning_rate, seed)


def predict(X: NDArray[Any]) -> Run:
    """Predict the labels of X by the main job's network, as it is drawn."""
    x, parameters = jnp.asarray(X), _initial_arrays()
    labels_of = jax.jit(lambda parameters, x: _logits(parameters, x).argmax(1))
    return lambda: labels_of(parameters, x).block_until_ready()


class FullBatch:
    """The main job, step by step."""

    def __init__(self, samples: Samples) -> None:
        self._x, self._y = jnp.asarray(samples.floats("float32")), jnp.asarray(samples.y)
        self._parameters = _initial_arrays()
        self._means = _initial_means()
        self._iteration = 0

    def step(self) -> float:
        """Update the parameters once, and return the loss before."""
        loss, self._parameters, self._means = _full_batch_step(self._parameters, self._means, self._x, self._y)
        if self._iteration % RESET_EVERY == 0:
            self._means = _initial_means()
        self._iteration += 1
        return float(jax.block_until_ready((loss, self._parameters))[0])

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return [np.asarray(parameter) for parameter in self._parameters]


class MiniBatches:
    """Gradient descent, epoch by epoch; only the last step of an epoch is waited for."""

    def __init__(self, samples: Samples, batch_size: int, learning_rate: float, seed: int) -> None:
        self._x, self._y = jnp.asarray(samples.floats("float32")), jnp.asarray(samples.y)
        self._batch_size = batch_size
        self._learning_rate = learning_rate
        self._rng = np.random.default_rng(seed)
        self._parameters = _initial_arrays()

    def epoch(self) -> None:
        """Go through all samples once."""
        order = self._rng.permutation(len(self._y)).astype(np.int32)
        for first in range(0, len(order), self._batch_size):
            rows = order[first : first + self._batch_size]
            self._parameters = _mini_batch_step(self._parameters, self._x, self._y, rows, self._learning_rate)
        jax.block_until_ready(self._parameters)

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return [np.asarray(parameter) for parameter in self._parameters]


def _logits(parameters: list[jax.Array], x: jax.Array) -> jax.Array:
    hidden_weights, bias, output_weights = parameters
    return jax.nn.relu(x @ hidden_weights + bias) @ output_weights


def _cross_entropy(
    logits: jax.Array, labels: jax.Array, weights: jax.Array | float = 1.0, label_smoothing: float = 0.0
) -> jax.Array:
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    losses = jax.nn.logsumexp(logits, axis=1) - chosen
    if label_smoothing:
        losses += label_smoothing * (chosen - logits.mean(axis=1))
    return (weights * losses).mean()


def _huber(y: jax.Array, t: jax.Array) -> jax.Array:
    held = jnp.clip(y - t, -1, 1)
    return held * (y - t - held / 2)


_LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "squared_error": lambda y, t: jnp.square(y - t),
    "huber": _huber,
    "binary_cross_entropy": lambda y, t: jax.nn.softplus(y) - t * y,
    "poisson": lambda y, t: jnp.exp(y) - t * y,
}


_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
}


def _loss_and_gradient_of(loss_function: Callable[..., Any], outputs: NDArray[Any], *constants: NDArray[Any]) -> Run:
    operands = [jnp.asarray(array) for array in (outputs, *constants)]
    loss_and_gradient = jax.jit(jax.value_and_grad(loss_function))
    return lambda: jax.block_until_ready(loss_and_gradient(*operands))


def _loss(parameters: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    return _cross_entropy(_logits(parameters, x), y)


def _penalized_loss(parameters: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    penalty = jnp.square(parameters[0]).sum() + jnp.square(parameters[2]).sum()
    return _loss(parameters, x, y) + L2 / 2 * penalty


@functools.partial(jax.jit, donate_argnums=(0, 1))
def _full_batch_step(
    parameters: list[jax.Array], means: list[jax.Array], x: jax.Array, y: jax.Array
) -> tuple[jax.Array, list[jax.Array], list[jax.Array]]:
    loss, gradients = jax.value_and_grad(_penalized_loss)(parameters, x, y)
    means = [DECAY * mean + (1 - DECAY) * jnp.square(g).sum() for mean, g in zip(means, gradients, strict=True)]
    steps = [LEARNING_RATE / jnp.sqrt(mean + EPSILON) for mean in means]
    updated = [p - step * g for p, step, g in zip(parameters, steps, gradients, strict=True)]
    return loss, updated, means


@functools.partial(jax.jit, donate_argnums=0)
def _mini_batch_step(
    parameters: list[jax.Array], x: jax.Array, y: jax.Array, rows: jax.Array, learning_rate: float
) -> list[jax.Array]:
    gradients = jax.grad(_loss)(parameters, x[rows], y[rows])
    return [p - learning_rate * g for p, g in zip(parameters, gradients, strict=True)]


@functools.partial(jax.jit, donate_argnums=(0, 1, 2))
def _adam(
    parameter: jax.Array,
    first: jax.Array,
    second: jax.Array,
    gradient: jax.Array,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> list[jax.Array]:
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * jnp.square(gradient)
    direction = first / (1 - beta1**step) / (jnp.sqrt(second / (1 - beta2**step)) + epsilon)
    return [parameter - learning_rate * direction, first, second]


def _n_allowed_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _initial_arrays() -> list[jax.Array]:
    return [jnp.array(drawn, dtype=jnp.float32) for drawn in initial_parameters()]


def _initial_means() -> list[jax.Array]:
    return [jnp.array(INITIAL_MEAN_SQUARE, dtype=jnp.float32) for _ in initial_parameters()]
