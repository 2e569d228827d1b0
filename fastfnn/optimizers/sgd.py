"""Gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfnn_kernels.batches import Rule
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._checks import check_choice, check_flag, check_fraction
from fastfnn.optimizers.optimizer import ALL, Index, Optimizer, State, filled_like, state_at


class SGD(Optimizer):
    """Gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    momentum : float
        Share that the velocity keeps in a step, from 0 to 1.
    nesterov : bool
        Whether to take Nesterov's step, which looks ahead along the velocity; needs momentum.
    velocity : {"gradients", "steps"}
        What the velocity v sums up. The two differ once the learning rate changes. "gradients", as in PyTorch, is
        v <- momentum v + g, w <- w - lr v: a new rate affects the whole velocity. "steps", as in Keras and
        scikit-learn, is v <- momentum v + lr g, w <- w - v: a new rate affects new gradients only, and even with a
        rate of 0 the velocity goes on. Layers with a `learning_rate_factor` of 0 do not move in either form. Without
        momentum there is no velocity, and the argument has no effect.
    """

    _STATE = ("velocities",)
    _NUMBERS = ("learning_rate", "momentum")
    _BY_ELEMENT = True

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        velocity: str = "gradients",
    ) -> None:
        super().__init__(learning_rate)
        check_choice("velocity", velocity, ("gradients", "steps"))
        self.velocity = velocity
        self.momentum = check_fraction("momentum", momentum)
        self.nesterov = check_flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; got 0")
        self._velocities: State = []

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._velocities = filled_like(parameters, 0) if self.momentum else []

    def _rule(self, n_before: int) -> Rule:
        if not self.momentum:
            return Rule("sgd", self.learning_rate, {}, (), n_before)
        of_steps = self.velocity == "steps"
        numbers = {"momentum": self.momentum, "nesterov": self.nesterov, "velocity_of_steps": of_steps}
        return Rule("momentum", self.learning_rate, numbers, (state_at(self._velocities, ALL),), n_before)

    def _update(self, kernels: Kernels, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        rate, of_steps = self._rate(index), self.velocity == "steps"
        if not self.momentum:
            kernels.sgd(parameter, gradient, rate)
        elif not (of_steps and self._is_frozen(index)):  # a velocity from before would go on moving the layer
            velocity = state_at(self._velocities, index)
            kernels.momentum(parameter, gradient, velocity, rate, self.momentum, self.nesterov, of_steps)
