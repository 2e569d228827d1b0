"""Optimizer updates, which change a parameter and its state in place.

All arrays of a call have the same shape and dtype; the scalars are Python floats. `parameter` is IN-OUT, and
`gradient` is only read.

A state that becomes subnormal is written as 0. While a gradient is 0, as that of a dead relu is, its running means
shrink step by step. Rounding would stop them at a subnormal number, which would slow every further step down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.reference._subnormal import flush_subnormal


def sgd(parameter: NDArray[Any], gradient: NDArray[Any], learning_rate: float) -> None:
    """Take a step of gradient descent: w <- w - lr g.

    Parameters
    ----------
    parameter : ndarray
        IN-OUT: w.
    gradient : ndarray
        g.
    learning_rate : float
        lr.
    """
    parameter -= learning_rate * gradient


def momentum(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    velocity: NDArray[Any],
    learning_rate: float,
    momentum: float,
    nesterov: bool = False,
    velocity_of_steps: bool = False,
) -> None:
    """Take a step with momentum: v <- mu v + g, w <- w - lr v; with Nesterov w <- w - lr (g + mu v).

    Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), by default in the
    form where the velocity does not contain the learning rate. A velocity of steps does, as in the paper:
    v <- mu v + lr g, w <- w - v; with Nesterov w <- w - (lr g + mu v).

    Parameters
    ----------
    parameter, velocity : ndarray
        IN-OUT: w and v.
    gradient : ndarray
        g.
    learning_rate, momentum : float
        lr and mu.
    nesterov : bool
        Use Nesterov's form.
    velocity_of_steps : bool
        Keep a velocity that contains the learning rates it was made with.
    """
    if velocity_of_steps:
        gradient, learning_rate = learning_rate * gradient, 1.0
    velocity *= momentum
    velocity += gradient
    flush_subnormal(velocity)
    parameter -= learning_rate * (gradient + momentum * velocity if nesterov else velocity)


def rmsprop(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: NDArray[Any],
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Take a step of RMSprop: s <- rho s + (1 - rho) g**2, w <- w - lr g / sqrt(s + eps).

    Tieleman & Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning (2012), with epsilon inside the
    square root.

    Parameters
    ----------
    parameter, mean_square : ndarray
        IN-OUT: w and s.
    gradient : ndarray
        g.
    learning_rate, rho, epsilon : float
        lr, rho and eps.
    """
    mean_square *= rho
    mean_square += (1 - rho) * gradient**2
    flush_subnormal(mean_square)
    parameter -= learning_rate * gradient / np.sqrt(mean_square + epsilon)


def rmsprop_tensor(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: float,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> float:
    """Take a step of RMSprop with a single running mean for the whole tensor.

    s <- rho s + (1 - rho) |g|**2, w <- w - (lr / sqrt(s + eps)) g, with |g| the Euclidean norm of all of g.

    Parameters
    ----------
    parameter : ndarray
        IN-OUT: w.
    gradient : ndarray
        g.
    mean_square : float
        s before the step.
    learning_rate, rho, epsilon : float
        lr, rho and eps.

    Returns
    -------
    float
        s after the step.
    """
    mean_square = rho * mean_square + (1 - rho) * squared_norm(gradient)
    sgd(parameter, gradient, learning_rate / float(np.sqrt(mean_square + epsilon)))
    return mean_square


def adam(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    first_moment: NDArray[Any],
    second_moment: NDArray[Any],
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """Take a step of Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1).

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g**2,
    w <- w - lr (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + eps)

    Parameters
    ----------
    parameter, first_moment, second_moment : ndarray
        IN-OUT: w, m and v.
    gradient : ndarray
        g.
    step : int
        t, 1 for the first step.
    learning_rate, beta1, beta2, epsilon : float
        lr, b1, b2 and eps.
    """
    adamw(parameter, gradient, first_moment, second_moment, step, learning_rate, beta1, beta2, epsilon, 0.0)


def adamw(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    first_moment: NDArray[Any],
    second_moment: NDArray[Any],
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Take a step of Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2).

    w <- w - lr weight_decay w, then `adam`.

    Parameters
    ----------
    parameter, first_moment, second_moment : ndarray
        IN-OUT: w, m and v.
    gradient : ndarray
        g.
    step : int
        t, 1 for the first step.
    learning_rate, beta1, beta2, epsilon, weight_decay : float
        lr, b1, b2, eps and the decay.
    """
    first_moment *= beta1
    first_moment += (1 - beta1) * gradient
    flush_subnormal(first_moment)
    second_moment *= beta2
    second_moment += (1 - beta2) * gradient**2
    flush_subnormal(second_moment)
    parameter *= 1 - learning_rate * weight_decay
    root = np.sqrt(second_moment / (1 - beta2**step)) + epsilon
    parameter -= learning_rate / (1 - beta1**step) * first_moment / root


def squared_norm(values: NDArray[Any]) -> float:
    """Sum the squares of all elements in float64.

    Parameters
    ----------
    values : ndarray
        Numbers, in an array of any shape.

    Returns
    -------
    float
    """
    return float(np.square(values, dtype=np.float64).sum())


def l2_penalty(parameter: NDArray[Any], gradient: NDArray[Any], l2: float) -> float:
    """Compute the penalty (l2 / 2) * sum of squares, in float64, and add its gradient.

    g <- g + l2 w

    Parameters
    ----------
    parameter : ndarray
        w.
    gradient : ndarray like `parameter`
        IN-OUT: g.
    l2 : float
        Factor of the penalty.

    Returns
    -------
    float
        The penalty.
    """
    gradient += parameter.dtype.type(l2) * parameter
    return l2 / 2 * squared_norm(parameter)
