"""What JAX and optax compute in float64: a program that answers the questions of test_oracle_jax.py.

JAX stays out of the tests' own process, whose every fork would warn once it has computed anything.
"""

import functools
import os
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
}


def weighted_cross_entropy(z, y, class_weight):
    weights = jnp.asarray(class_weight)[y]
    return (weights * optax.softmax_cross_entropy_with_integer_labels(z, y)).sum() / weights.sum()


def smoothed_cross_entropy(z, y, label_smoothing):
    targets = optax.smooth_labels(jax.nn.one_hot(y, z.shape[1]), label_smoothing)
    return optax.softmax_cross_entropy(z, targets).mean()


def poisson(z, y):
    """Take away what does not depend on z: the logarithm of y!."""
    return -(jax.scipy.stats.poisson.logpmf(y, jnp.exp(z)) + jax.scipy.special.gammaln(y + 1)).mean()


# Of a network's outputs, the targets, and a loss's own arguments.
LOSSES = {
    "softmax_cross_entropy": lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(),
    "class weights": weighted_cross_entropy,
    "label smoothing": smoothed_cross_entropy,
    "mean_squared_error": lambda z, y: optax.squared_error(z, y).mean(),
    "huber": lambda z, y, delta: optax.huber_loss(z, y, delta=delta).mean(),
    "binary_cross_entropy": lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).mean(),
    "poisson": poisson,
}


@functools.partial(jax.jit, static_argnames="loss")
def loss_and_gradient(loss, outputs, targets, *arguments):
    """Differentiate a loss with respect to the outputs."""
    return jax.value_and_grad(LOSSES[loss])(outputs, targets, *arguments)


@functools.partial(jax.jit, static_argnames="activation")
def activation_and_gradient(activation, z, grad):
    """Return an activation, and the gradient that is handed back through it."""
    y, backward = jax.vjp(ACTIVATIONS[activation], z)
    return y, backward(grad)[0]


@functools.partial(jax.jit, static_argnames=["loss", "activations"])
def network_loss_and_gradients(loss, activations, layers, X, y, l2, l2_bias):
    """Differentiate a network's loss with its penalties with respect to the layers, pairs (weights, bias or None)."""

    def penalised_loss(layers):
        weights, biases = zip(*layers, strict=True)
        penalty = l2 * half_squares(weights) + l2_bias * half_squares(biases)
        return LOSSES[loss](outputs_of(layers, activations, X), y) + penalty

    return jax.value_and_grad(penalised_loss)(layers)


def outputs_of(layers, activations, x):
    for (weights, bias), activation in zip(layers, activations, strict=True):
        z = x @ weights if bias is None else x @ weights + bias
        x = ACTIVATIONS[activation](z)
    return x


def half_squares(arrays):
    return sum(optax.l2_loss(array).sum() for array in arrays if array is not None)


def steps(optimizer, options, parameters, gradients):
    """Return the parameters after each step of an optimizer of optax."""
    rule = getattr(optax, optimizer)(**options)

    @jax.jit
    def step(parameters, state, of_step):
        updates, state = rule.update(of_step, state, parameters)
        return optax.apply_updates(parameters, updates), state

    state, path = rule.init(parameters), []
    for of_step in gradients:
        parameters, state = step(parameters, state, of_step)
        path.append(parameters)
    return path


def answer(folder):
    questions = pickle.loads((folder / "questions").read_bytes())
    answers = {case: globals()[function](*arguments) for case, (function, *arguments) in questions.items()}
    (folder / "answers").write_bytes(pickle.dumps({case: jax.device_get(found) for case, found in answers.items()}))


if __name__ == "__main__":
    answer(Path(os.environ["JAX_ORACLE_FOLDER"]))
