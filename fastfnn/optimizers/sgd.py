"""Gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._checks import check_flag, check_share
from fastfnn.optimizers.optimizer import Index, Optimizer, State, filled_like, state_at


class SGD(Optimizer):
    """Gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    momentum : float
        Share that the velocity keeps in a step, from 0 to below 1.
    nesterov : bool
        Whether to take Nesterov's step, which looks ahead along the velocity; needs momentum.
    """

    _STATE = ("velocities",)
    _SHARES = ("momentum",)
    _BY_ELEMENT = True

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(learning_rate)
        self.momentum = check_share("momentum", momentum)
        self.nesterov = check_flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; got 0")
        self._velocities: State = []

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._velocities = filled_like(parameters, 0) if self.momentum else []

    def _update(self, kernels: Kernels, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        if self.momentum:
            velocity = state_at(self._velocities, index)
            kernels.momentum(parameter, gradient, velocity, self._rate(index), self.momentum, self.nesterov)
        else:
            kernels.sgd(parameter, gradient, self._rate(index))
