"""RMSprop, with a running mean per element or per tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfnn_kernels.batches import Rule
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._checks import check_choice, check_non_negative, check_optional_count, check_positive, check_share
from fastfnn.optimizers.optimizer import ALL, Index, Optimizer, filled_like, state_at
from fastfnn.parameters import FlatArrays


class TensorStep(NamedTuple):
    """Statistics of one step of `RMSprop` with `granularity="tensor"`, for one tensor."""

    mean_square: float
    effective_step: float
    gradient_norm: float


class RMSprop(Optimizer):
    """RMSprop: steps divided by the root of a running mean of squared gradients.

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    rho : float
        Share that the running mean keeps in a step, from 0 to below 1.
    epsilon : float
        Number added to the mean under the root.
    granularity : {"element", "tensor"}
        "element" keeps a mean for each element; "tensor" keeps one for each tensor, of its gradient's squared
        Euclidean norm.
    initial : float
        First value of every mean.
    reset_every : int, optional
        Reset the means to `initial` after the first step, and after every `reset_every` steps from there.

    Attributes
    ----------
    last_steps : list of TensorStep
        Statistics of the last step for each parameter, with `granularity="tensor"`.
    """

    _STATE = ("mean_squares",)
    _NUMBERS = ("learning_rate", "epsilon", "initial")
    _SHARES = ("rho",)
    _BY_ELEMENT = True

    def __init__(
        self,
        learning_rate: float = 1e-3,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        granularity: str = "element",
        initial: float = 0.0,
        reset_every: int | None = None,
    ) -> None:
        super().__init__(learning_rate)
        check_choice("granularity", granularity, ("element", "tensor"))
        self.reset_every = check_optional_count("reset_every", reset_every)
        self.initial = check_non_negative("initial", initial)
        self.rho = check_share("rho", rho)
        self.epsilon = check_positive("epsilon", epsilon)
        self.granularity = granularity
        self.last_steps: list[TensorStep] = []
        self._mean_squares: Any = []

    @property
    def updates_by_element(self) -> bool:
        """Whether each element has a mean of its own."""
        return self.granularity == "element" and super().updates_by_element

    def _after_step(self, parameters: Sequence[NDArray[Any]]) -> None:
        if self.reset_every is not None and (self.n_steps - 1) % self.reset_every == 0:
            self._reset_means(parameters)

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._reset_means(parameters)
        if self.granularity == "tensor":
            self.last_steps = [TensorStep(math.nan, math.nan, math.nan)] * len(parameters)

    def _reset_means(self, parameters: Sequence[NDArray[Any]]) -> None:
        if self.granularity == "tensor":
            self._mean_squares = [self.initial] * len(parameters)
        else:
            self._mean_squares = filled_like(parameters, self.initial)

    @property
    def most_steps(self) -> int:
        """Number of steps up to the next reset of the means."""
        if self.reset_every is None:
            return super().most_steps
        return self.reset_every - (self.n_steps - 1) % self.reset_every

    def finish_steps(
        self,
        kernels: Kernels,
        rule: Rule,
        parameters: FlatArrays,
        gradients: FlatArrays,
        rate_factors: Sequence[float],
    ) -> None:
        """Take over the means after the steps, and the statistics of the last one."""
        if self.granularity == "tensor":
            self._mean_squares = rule.states[0].tolist()
            rates = [self.learning_rate * factor for factor in rate_factors]
            self.last_steps = [
                self._statistics(kernels, *of_tensor)
                for of_tensor in zip(self._mean_squares, rates, gradients, strict=True)
            ]
        super().finish_steps(kernels, rule, parameters, gradients, rate_factors)

    def _rule(self, n_before: int) -> Rule:
        numbers = {"rho": self.rho, "epsilon": self.epsilon}
        if self.granularity == "element":
            return Rule("rmsprop", self.learning_rate, numbers, (state_at(self._mean_squares, ALL),), n_before)
        return Rule("rmsprop_tensor", self.learning_rate, numbers, (np.array(self._mean_squares, float),), n_before)

    def _statistics(self, kernels: Kernels, mean: float, rate: float, gradient: NDArray[Any]) -> TensorStep:
        norm = math.sqrt(kernels.squared_norm(gradient))
        return TensorStep(mean, rate / math.sqrt(mean + self.epsilon), norm)

    def _update(self, kernels: Kernels, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        before = state_at(self._mean_squares, index)
        rate = self._rate(index)
        scalars = (rate, self.rho, self.epsilon)
        if self.granularity == "element":
            kernels.rmsprop(parameter, gradient, before, *scalars)
            return
        after = kernels.rmsprop_tensor(parameter, gradient, before, *scalars)
        self._mean_squares[index] = after
        self.last_steps[index] = self._statistics(kernels, after, rate, gradient)
