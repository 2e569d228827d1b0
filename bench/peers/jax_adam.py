"""JAX: training with Adam in mini-batches, each epoch one jitted scan over its batches."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from adam_job import BETA1, BETA2, EPSILON, LEARNING_RATE, AdamJob, Orders

# Parameters, means of their gradients and of the squares, and the number of steps.
State: TypeAlias = tuple[list[jax.Array], list[jax.Array], list[jax.Array], jax.Array]

# Rows of fewer inputs are faster gathered for the whole epoch at once, others batch by batch.
WIDE = 256


class AdamBatches:
    """Training epoch by epoch."""

    def __init__(self, job: AdamJob) -> None:
        self._wide_numbers = job.dtype == "float64"
        self._orders = Orders(job)
        with jax.enable_x64(self._wide_numbers):
            self._x, self._y = jnp.asarray(job.x), jnp.asarray(job.samples.y.astype(np.int32))
            parameters = [jnp.array(drawn) for drawn in job.initial_parameters()]
            means, mean_squares = ([jnp.zeros_like(array) for array in parameters] for _ in range(2))
            self._state: State = (parameters, means, mean_squares, jnp.zeros((), jnp.int32))

    def epoch(self) -> float:
        """Go through all samples once, and return the mean loss."""
        order = self._orders.draw().astype(np.int32)
        with jax.enable_x64(self._wide_numbers):
            self._state, loss = jax.block_until_ready(_epoch(self._state, self._x, self._y, order))
        return float(loss)


@functools.partial(jax.jit, donate_argnums=0)
def _epoch(state: State, x: jax.Array, y: jax.Array, order: jax.Array) -> tuple[State, jax.Array]:
    if x.shape[1] < WIDE:
        state, losses = jax.lax.scan(lambda state, batch: _step(state, *batch), state, (x[order], y[order]))
    else:
        state, losses = jax.lax.scan(lambda state, rows: _step(state, x[rows], y[rows]), state, order)
    return state, losses.mean()


def _step(state: State, x: jax.Array, y: jax.Array) -> tuple[State, jax.Array]:
    parameters, means, mean_squares, n_steps = state
    loss, gradients = jax.value_and_grad(_loss)(parameters, x, y)
    n_steps = n_steps + 1
    power = n_steps.astype(x.dtype)
    step_size, root_factor = LEARNING_RATE / (1 - BETA1**power), 1 / jnp.sqrt(1 - BETA2**power)
    means = [m + (1 - BETA1) * (g - m) for m, g in zip(means, gradients, strict=True)]
    mean_squares = [s + (1 - BETA2) * (g * g - s) for s, g in zip(mean_squares, gradients, strict=True)]
    moments: Any = zip(parameters, means, mean_squares, strict=True)
    parameters = [p - step_size * m / (jnp.sqrt(s) * root_factor + EPSILON) for p, m, s in moments]
    return (parameters, means, mean_squares, n_steps), loss


def _loss(parameters: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    hidden_weights, hidden_bias, output_weights, output_bias = parameters
    logits = jax.nn.relu(x @ hidden_weights + hidden_bias) @ output_weights + output_bias
    chosen = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - chosen).mean()
