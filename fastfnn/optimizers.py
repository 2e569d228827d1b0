"""Optimizers: they own their state and call the update kernels, one step for all parameters of a network."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn.memory import aligned_full
from fastfnn.parts import Parts

State = Sequence[NDArray[Any]]


# In the place of a parameter's index: the vector of all. No list takes it for a place.
ALL = None
Index = Any


class TensorStep(NamedTuple):
    """What one step of `RMSprop` with `granularity="tensor"` did to one tensor."""

    mean_square: float
    effective_step: float
    gradient_norm: float


class Optimizer(ABC):
    """A rule that changes parameters by their gradients.

    Parameters
    ----------
    learning_rate : float
        Size of the steps.

    Attributes
    ----------
    n_steps : int
        Steps taken since the start or the last `reset`.
    """

    _STATE: tuple[str, ...] = ()

    # Whether an element changes by nothing but its own gradient and state: then parameters may be changed together. A
    # class derived from one that says so may do more, and has to say it itself.
    _BY_ELEMENT = False

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = _positive("learning_rate", learning_rate)
        self.n_steps = 0
        self._rate_factors: Sequence[float] = ()
        self._kinds: list[tuple[np.dtype[Any], tuple[int, ...]]] = []
        self._known: Parts | None = None

    def step(
        self,
        kernels: ModuleType,
        parameters: Sequence[NDArray[Any]],
        gradients: Sequence[NDArray[Any]],
        rate_factors: Sequence[float] = (),
    ) -> None:
        """Change each parameter in place by its gradient.

        Parameters
        ----------
        kernels : module
            The backend.
        parameters, gradients : sequences of ndarray
            Pairs of one shape and dtype, the same ones at each step.
        rate_factors : sequence of float
            What the learning rate is multiplied by for each of them; 1 for all when there are none.

        Raises
        ------
        ValueError
            If the parameters are not those of the first step.
        """
        self.count_steps(parameters, 1)
        self._rate_factors = rate_factors
        if isinstance(parameters, Parts) and isinstance(gradients, Parts) and self._takes_all_at_once():
            self._update(kernels, ALL, parameters.vector, gradients.vector)
            return
        for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            self._update(kernels, index, parameter, gradient)

    def count_steps(self, parameters: Sequence[NDArray[Any]], n_steps: int) -> None:
        """Count steps for these parameters, and make the state at the first of them.

        Raises
        ------
        ValueError
            If the parameters are not those of the first step.
        """
        if self.n_steps > 0 and parameters is self._known:
            self.n_steps += n_steps
            return
        kinds = [(parameter.dtype, parameter.shape) for parameter in parameters]
        if self.n_steps == 0:
            self._kinds = kinds
            self._start(parameters)
        elif kinds != self._kinds:
            raise ValueError(
                f"this {type(self).__name__} holds the state of a network with parameters {_listed(self._kinds)}; "
                f"got {_listed(kinds)}: make a new one, or call reset()"
            )
        self._known = parameters if isinstance(parameters, Parts) else None  # which do not change
        self.n_steps += n_steps

    def reset(self) -> None:
        """Forget all steps taken."""
        self.n_steps = 0

    @property
    def state(self) -> dict[str, list[Any]]:
        """What it keeps from step to step: by name, an array or a number for each parameter.

        Empty before the first step. The arrays are the optimizer's own.
        """
        return {name: list(getattr(self, f"_{name}")) for name in self._STATE if self.n_steps > 0}

    def restore(self, parameters: Sequence[NDArray[Any]], n_steps: int, state: dict[str, list[Any]]) -> None:
        """Go on from a state that `state` gave after `n_steps` steps.

        Parameters
        ----------
        parameters : sequence of ndarray
            Those that will be stepped.
        n_steps : int
            Steps taken.
        state : dict
            As `state` returns it; arrays are copied.

        Raises
        ------
        ValueError
            If names, shapes or dtypes are not those of this optimizer and these parameters; nothing is changed then.
        """
        fresh = copy.copy(self)  # a new start makes new lists
        fresh.reset()
        if n_steps > 0:
            fresh.count_steps(parameters, n_steps)
        expected = fresh.state
        if _described(state) != _described(expected):
            raise ValueError(
                f"the state is not that of {type(self).__name__} for these parameters: "
                f"expected {_described(expected)}; got {_described(state)}"
            )
        for name, values in state.items():
            fresh_values = getattr(fresh, f"_{name}")
            for i, value in enumerate(values):
                if isinstance(value, np.ndarray):
                    fresh_values[i][...] = value
                else:
                    fresh_values[i] = value
        self.__dict__.update(fresh.__dict__)

    def _takes_all_at_once(self) -> bool:
        """Tell whether one update may change all parameters, which are parts of a vector as the state is."""
        states = [state for name in self._STATE if len(state := getattr(self, f"_{name}")) > 0]
        by_element = vars(type(self)).get("_BY_ELEMENT", False) and not self._rate_factors
        return by_element and all(isinstance(state, Parts) for state in states)

    def _rate(self, index: Index) -> float:
        """Return the learning rate of the parameter at `index`."""
        if index is ALL or not self._rate_factors:
            return self.learning_rate
        return self.learning_rate * self._rate_factors[index]

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        """Make the state for these parameters; plain gradient descent has none."""
        return

    @abstractmethod
    def _update(self, kernels: ModuleType, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        """Change the parameter at `index`, or all of them where that is `ALL`."""


class SGD(Optimizer):
    """Gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    momentum : float
        Share of the velocity that is kept, from 0 to below 1.
    nesterov : bool
        Whether to look ahead; needs momentum.
    """

    _STATE = ("velocities",)
    _BY_ELEMENT = True

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(learning_rate)
        self.momentum = _share("momentum", momentum)
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; got 0")
        self.nesterov = nesterov
        self._velocities: State = []

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._velocities = _zeros(parameters) if self.momentum else []

    def _update(self, kernels: ModuleType, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        if self.momentum:
            velocity = _at(self._velocities, index)
            kernels.momentum(parameter, gradient, velocity, self._rate(index), self.momentum, self.nesterov)
        else:
            kernels.sgd(parameter, gradient, self._rate(index))


class RMSprop(Optimizer):
    """RMSprop: steps divided by the root of a running mean of squared gradients.

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    rho : float
        Share of the running mean that is kept, from 0 to below 1.
    epsilon : float
        Added to the mean under the root.
    granularity : {"element", "tensor"}
        One mean for each element, or one for each tensor, of its gradient's squared Euclidean norm.
    initial : float
        First value of every mean.
    reset_every : int, optional
        Set the means back to `initial` after the first step and after every `reset_every` further ones.

    Attributes
    ----------
    last_steps : list of TensorStep
        What the last step did to each parameter, with `granularity="tensor"`.
    """

    _STATE = ("mean_squares",)
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
        if granularity not in ("element", "tensor"):
            raise ValueError(f'granularity must be "element" or "tensor"; got {granularity!r}')
        if reset_every is not None and not (isinstance(reset_every, (int, np.integer)) and reset_every >= 1):
            raise ValueError(f"reset_every must be None or a whole number from 1 up; got {reset_every}")
        if not 0 <= initial < math.inf:
            raise ValueError(f"initial must be a finite number from 0 up; got {initial}")
        self.rho = _share("rho", rho)
        self.epsilon = _positive("epsilon", epsilon)
        self.granularity = granularity
        self.initial = float(initial)
        self.reset_every = reset_every
        self.last_steps: list[TensorStep] = []
        self._mean_squares: Any = []

    def step(
        self,
        kernels: ModuleType,
        parameters: Sequence[NDArray[Any]],
        gradients: Sequence[NDArray[Any]],
        rate_factors: Sequence[float] = (),
    ) -> None:
        """Change each parameter in place by its gradient; see `Optimizer.step`."""
        super().step(kernels, parameters, gradients, rate_factors)
        if self.reset_every is not None and (self.n_steps - 1) % self.reset_every == 0:
            self._set_means_back(parameters)

    def _takes_all_at_once(self) -> bool:
        return self.granularity == "element" and super()._takes_all_at_once()

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._set_means_back(parameters)
        if self.granularity == "tensor":
            self.last_steps = [TensorStep(math.nan, math.nan, math.nan)] * len(parameters)

    def _set_means_back(self, parameters: Sequence[NDArray[Any]]) -> None:
        if self.granularity == "tensor":
            self._mean_squares = [self.initial] * len(parameters)
        else:
            self._mean_squares = _filled(parameters, self.initial)

    def _update(self, kernels: ModuleType, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        before = _at(self._mean_squares, index)
        rate = self._rate(index)
        scalars = (rate, self.rho, self.epsilon)
        if self.granularity == "element":
            kernels.rmsprop(parameter, gradient, before, *scalars)
            return
        after = kernels.rmsprop_tensor(parameter, gradient, before, *scalars)
        self._mean_squares[index] = after
        norm = math.sqrt(kernels.squared_norm(gradient))
        self.last_steps[index] = TensorStep(after, rate / math.sqrt(after + self.epsilon), norm)


class Adam(Optimizer):
    """Adam (Kingma & Ba, arXiv 1412.6980).

    Parameters
    ----------
    learning_rate : float
        Size of the steps.
    beta1, beta2 : float
        Shares of the running means of the gradient and of its square that are kept, from 0 to below 1.
    epsilon : float
        Added to the root of the corrected mean square.
    """

    _STATE = ("first_moments", "second_moments")
    _BY_ELEMENT = True

    def __init__(
        self, learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(learning_rate)
        self.beta1 = _share("beta1", beta1)
        self.beta2 = _share("beta2", beta2)
        self.epsilon = _positive("epsilon", epsilon)
        self._first_moments: State = []
        self._second_moments: State = []

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        self._first_moments, self._second_moments = _zeros(parameters), _zeros(parameters)

    def _update(self, kernels: ModuleType, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        kernels.adam(parameter, gradient, *self._state_and_scalars(index))

    def _state_and_scalars(self, index: Index) -> tuple[Any, ...]:
        moments = (_at(self._first_moments, index), _at(self._second_moments, index))
        return (*moments, self.n_steps, self._rate(index), self.beta1, self.beta2, self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
        As in `Adam`.
    weight_decay : float
        Share of every parameter, times the learning rate, that each step takes away.
    """

    _BY_ELEMENT = True

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon)
        if not 0 <= weight_decay < math.inf:
            raise ValueError(f"weight_decay must be a finite number from 0 up; got {weight_decay}")
        self.weight_decay = float(weight_decay)

    def _update(self, kernels: ModuleType, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        kernels.adamw(parameter, gradient, *self._state_and_scalars(index), self.weight_decay)


def _described(state: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Name the kind of each value of a state."""
    return {
        name: [f"{v.dtype}{list(v.shape)}" if isinstance(v, np.ndarray) else "number" for v in values]
        for name, values in state.items()
    }


def _listed(kinds: list[tuple[np.dtype[Any], tuple[int, ...]]]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for dtype, shape in kinds)


def _at(state: Any, index: Index) -> Any:
    """Return the state of the parameter at `index`, or of all."""
    return state.vector if index is ALL else state[index]


def _zeros(parameters: Sequence[NDArray[Any]]) -> State:
    return _filled(parameters, 0)


def _filled(parameters: Sequence[NDArray[Any]], value: float) -> State:
    if isinstance(parameters, Parts):
        return parameters.filled(value)
    return [aligned_full(parameter.shape, value, parameter.dtype) for parameter in parameters]


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0; got {value}")
    return float(value)


def _share(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie from 0 to below 1; got {value}")
    return float(value)
