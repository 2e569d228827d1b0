"""The optimizers' updates of some elements, by one thread. `w` is the parameter and `g` its gradient."""

from __future__ import annotations

import math
from typing import Any

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.math import flush_subnormal

SGD, MOMENTUM, RMSPROP, RMSPROP_TENSOR, ADAMW = range(5)
CODES = {"sgd": SGD, "momentum": MOMENTUM, "rmsprop": RMSPROP, "rmsprop_tensor": RMSPROP_TENSOR, "adamw": ADAMW}

# The most numbers that a rule takes.
N_NUMBERS = 7


def adamw_numbers(
    correction: Any, root: Any, learning_rate: Any, beta1: float, beta2: float, epsilon: Any, weight_decay: float
) -> tuple[Any, ...]:
    """Return the numbers of a step, or of many at once, that `adamw_elements` takes.

    `correction` is 1 - beta1**step. With v the mean square, c = 1 - beta2**step and `root` its square root,
    1 / (sqrt(v / c) + epsilon) is computed as root / (sqrt(v) + epsilon root), which has one division less for each
    element.
    """
    kept, rate = 1 - learning_rate * weight_decay, learning_rate / correction * root
    return beta1, 1 - beta1, beta2, 1 - beta2, kept, rate, epsilon * root


@inline
def update_elements(code: int, numbers: Any, w: Any, g: Any, s: Any, t: Any) -> None:
    """Take a step of any rule but the one for whole tensors.

    `numbers` are float64, in the order of the rule's arguments, and s and t the states that it has. Momentum has one
    more, which is not 0 for a parameter that stays as it is.
    """
    if code == SGD:
        sgd_elements(w, g, w.dtype.type(numbers[0]))
    elif code == MOMENTUM:
        rate, momentum = w.dtype.type(numbers[0]), w.dtype.type(numbers[1])
        if numbers[4] == 0:
            momentum_elements(w, g, s, rate, momentum, numbers[2] != 0, numbers[3] != 0)
    elif code == RMSPROP:
        rate, rho = w.dtype.type(numbers[0]), w.dtype.type(numbers[1])
        rmsprop_elements(w, g, s, rate, rho, w.dtype.type(numbers[2]), w.dtype.type(numbers[3]))
    else:
        beta1, one_minus_beta1 = w.dtype.type(numbers[0]), w.dtype.type(numbers[1])
        beta2, one_minus_beta2 = w.dtype.type(numbers[2]), w.dtype.type(numbers[3])
        kept, rate, epsilon = w.dtype.type(numbers[4]), w.dtype.type(numbers[5]), w.dtype.type(numbers[6])
        adamw_elements(w, g, s, t, beta1, one_minus_beta1, beta2, one_minus_beta2, kept, rate, epsilon)


@inline
def sgd_elements(w: Any, g: Any, learning_rate: Any) -> None:
    """Take a step of gradient descent."""
    for i in range(w.size):
        w[i] -= learning_rate * g[i]


@inline
def momentum_elements(
    w: Any, g: Any, v: Any, learning_rate: Any, momentum: Any, nesterov: bool, velocity_of_steps: bool
) -> None:
    """Take a step with momentum; v is the velocity."""
    rate = w.dtype.type(1) if velocity_of_steps else learning_rate
    for i in range(w.size):
        gradient = learning_rate * g[i] if velocity_of_steps else g[i]
        velocity = flush_subnormal(momentum * v[i] + gradient)
        v[i] = velocity
        w[i] -= rate * (gradient + momentum * velocity if nesterov else velocity)


@inline
def rmsprop_elements(w: Any, g: Any, s: Any, learning_rate: Any, rho: Any, one_minus_rho: Any, epsilon: Any) -> None:
    """Take a step of RMSprop; s is the mean square."""
    for i in range(w.size):
        mean_square = flush_subnormal(rho * s[i] + one_minus_rho * g[i] * g[i])
        s[i] = mean_square
        w[i] -= learning_rate * g[i] / math.sqrt(mean_square + epsilon)


@inline
def adamw_elements(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    beta1: Any,
    one_minus_beta1: Any,
    beta2: Any,
    one_minus_beta2: Any,
    kept: Any,
    rate: Any,
    epsilon: Any,
) -> None:
    """Take a step of AdamW; m and v are the moments. For `rate` and `epsilon`, see `adamw_numbers`."""
    for i in range(w.size):
        first = flush_subnormal(beta1 * m[i] + one_minus_beta1 * g[i])
        second = flush_subnormal(beta2 * v[i] + one_minus_beta2 * g[i] * g[i])
        m[i] = first
        v[i] = second
        w[i] = kept * w[i] - rate * first / (math.sqrt(second) + epsilon)
