"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastfnn_kernels.batches import Rule
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._checks import check_flag, check_non_negative, check_positive, check_share
from fastfnn.optimizers.optimizer import ALL, Index, Optimizer, State, filled_like, state_at


class Adam(Optimizer):
    """Adam (Kingma & Ba, arXiv 1412.6980).

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    beta1, beta2 : float
        Shares that the running means of the gradient and of its square keep in a step, from 0 to below 1.
    epsilon : float
        Number added to the root of the corrected mean square.
    epsilon_hat : bool
        Whether to add epsilon to the root of the uncorrected mean square instead, as do the form at the end of the
        paper's section 2, Keras and scikit-learn.
    """

    _STATE = ("first_moments", "second_moments")
    _NUMBERS: tuple[str, ...] = ("learning_rate", "epsilon")
    _SHARES = ("beta1", "beta2")
    _BY_ELEMENT = True

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_hat: bool = False,
    ) -> None:
        super().__init__(learning_rate)
        self.beta1 = check_share("beta1", beta1)
        self.beta2 = check_share("beta2", beta2)
        self.epsilon = check_positive("epsilon", epsilon)
        self.epsilon_hat = check_flag("epsilon_hat", epsilon_hat)
        self._first_moments: State = []
        self._second_moments: State = []

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._first_moments, self._second_moments = filled_like(parameters, 0), filled_like(parameters, 0)

    def _rule(self, n_before: int) -> Rule:
        return self._adamw(n_before, 0.0)

    def _adamw(self, n_before: int, weight_decay: float) -> Rule:
        numbers = {
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.epsilon,
            "epsilon_hat": self.epsilon_hat,
            "weight_decay": weight_decay,
        }
        moments = state_at(self._first_moments, ALL), state_at(self._second_moments, ALL)
        return Rule("adamw", self.learning_rate, numbers, moments, n_before)

    def _update(self, kernels: Kernels, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        kernels.adam(
            parameter,
            gradient,
            state_at(self._first_moments, index),
            state_at(self._second_moments, index),
            self.n_steps,
            self._rate(index),
            self.beta1,
            self.beta2,
            self._epsilon_of_step(),
        )

    def _epsilon_of_step(self) -> float:
        """Return the number that this step adds to the root of the corrected mean square."""
        return self.epsilon / math.sqrt(1 - self.beta2**self.n_steps) if self.epsilon_hat else self.epsilon


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
        As in `Adam`.
    weight_decay : float
        Decay of every parameter: each step subtracts this share of it, times the learning rate.
    epsilon_hat : bool
        As in `Adam`.
    """

    _NUMBERS = ("learning_rate", "epsilon", "weight_decay")
    _BY_ELEMENT = True

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        epsilon_hat: bool = False,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, epsilon_hat)
        self.weight_decay = check_non_negative("weight_decay", weight_decay)

    def _rule(self, n_before: int) -> Rule:
        return self._adamw(n_before, self.weight_decay)

    def _update(self, kernels: Kernels, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        kernels.adamw(
            parameter,
            gradient,
            state_at(self._first_moments, index),
            state_at(self._second_moments, index),
            self.n_steps,
            self._rate(index),
            self.beta1,
            self.beta2,
            self._epsilon_of_step(),
            self.weight_decay,
        )
