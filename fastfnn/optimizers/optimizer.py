"""Base class of optimizers: it counts steps, keeps the state, and updates parameters one by one or all at once."""

from __future__ import annotations

import copy
import inspect
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from fastfnn_kernels.batches import Rule
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._checks import check_held, check_non_negative, check_positive
from fastfnn._memory import aligned_full
from fastfnn.parameters import FlatArrays

State = Sequence[NDArray[Any]]

# Sentinel index: the flat vector of all parameters. None, because lists reject it.
ALL = None
Index = Any


class Optimizer(ABC):
    """A rule that updates parameters with their gradients.

    A class of your own derives from this one and implements `_update`; `_start` creates its state at the first step.

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

    # Arguments that kernels take as numbers of the network's dtype, and others that must stay below 1 there too.
    _NUMBERS: tuple[str, ...] = ("learning_rate",)
    _SHARES: tuple[str, ...] = ()

    # Whether an element's update depends on its own gradient and state alone. Then one update can cover all
    # parameters. A derived class may compute more, so it does not inherit the flag and has to set it itself.
    _BY_ELEMENT = False

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = check_positive("learning_rate", learning_rate)
        self.n_steps = 0
        self._rate_factors: Sequence[float] = ()
        self._kinds: list[tuple[np.dtype[Any], tuple[int, ...]]] = []
        self._known: weakref.ref[FlatArrays] | None = None
        self._owner: weakref.ref[Any] | None = None
        self._rate_beside_schedule: float | None = None

    def check_numbers(self, dtype: np.dtype[Any], rate_factors: Collection[float] = ()) -> None:
        """Check that a dtype can hold all numbers that a step computes with.

        Parameters
        ----------
        dtype : dtype
            dtype of the parameters.
        rate_factors : collection of float
            Factors of the learning rate.

        Raises
        ------
        ValueError
            If a number becomes 0 or infinite in `dtype`, or a share below 1 becomes 1.
        """
        check_non_negative(f"{type(self).__name__}: learning_rate", self.learning_rate)
        numbers, shares = ({name: getattr(self, name) for name in names} for names in (self._NUMBERS, self._SHARES))
        numbers |= {f"learning_rate times {factor}": self.learning_rate * factor for factor in rate_factors}
        owner = f"{type(self).__name__}: "
        check_held(owner, numbers, dtype)
        check_held(owner, shares, dtype, below=1)

    @property
    def updates_by_element(self) -> bool:
        """Whether each element's update depends on its own gradient and state alone; see `step_flat`."""
        return bool(vars(type(self)).get("_BY_ELEMENT", False)) and type(self).step is Optimizer.step

    def step(
        self,
        kernels: Kernels,
        parameters: Sequence[NDArray[Any]],
        gradients: Sequence[NDArray[Any]],
        rate_factors: Sequence[float] = (),
    ) -> None:
        """Update each parameter in place with its gradient.

        Parameters
        ----------
        kernels : module
            The backend.
        parameters, gradients : sequences of ndarray
            Parameters and gradients, in pairs of equal shape and dtype; the same ones at each step.
        rate_factors : sequence of float
            Factor of the learning rate for each parameter; 1 for all when empty.

        Raises
        ------
        ValueError
            If the parameters are not those of the first step.
        """
        self.count_steps(parameters, 1)
        self._rate_factors = rate_factors
        for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            self._update(kernels, index, parameter, gradient)
        self._after_step(parameters)

    def step_flat(self, kernels: Kernels, parameters: FlatArrays, gradients: FlatArrays) -> None:
        """Update all parameters by one elementwise update of their flat vector; needs `updates_by_element`.

        The result has the same bits as that of `step`.

        Raises
        ------
        ValueError
            If the parameters are not those of the first step.
        """
        self.count_steps(parameters, 1)
        self._flatten_state()
        self._rate_factors = ()
        self._update(kernels, ALL, parameters.vector, gradients.vector)
        self._after_step(parameters)

    @property
    def has_rule(self) -> bool:
        """Whether kernels of many steps know its rule; a class derived from one of these may compute more."""
        return "_rule" in vars(type(self))

    @property
    def most_steps(self) -> int:
        """Largest number of steps that one call of `start_steps` may cover."""
        return sys.maxsize

    def start_steps(self, parameters: FlatArrays, n_steps: int) -> Rule:
        """Count steps that a kernel will take, and describe them to it; needs `has_rule`.

        Raises
        ------
        ValueError
            If the parameters are not those of the first step.
        """
        self.count_steps(parameters, n_steps)
        if self.updates_by_element:
            self._flatten_state()
        return self._rule(self.n_steps - n_steps)

    def finish_steps(
        self,
        kernels: Kernels,
        rule: Rule,
        parameters: FlatArrays,
        gradients: FlatArrays,
        rate_factors: Sequence[float],
    ) -> None:
        """Take over the state after the steps, and the gradients of the last one."""
        self._after_step(parameters)

    def count_steps(self, parameters: Sequence[NDArray[Any]], n_steps: int) -> None:
        """Count steps for these parameters, and create the state at the first step.

        Raises
        ------
        ValueError
            If the parameters are not those of the first step.
        """
        if self._knows(parameters):
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
        # Flat arrays keep their shapes: the same object needs no second check.
        self._known = weakref.ref(parameters) if isinstance(parameters, FlatArrays) else None
        self.n_steps += n_steps

    def reset(self) -> None:
        """Forget all steps taken, and the network they were taken for."""
        self.n_steps = 0
        self._owner = None

    def claim(self, owner: Any) -> None:
        """Take steps for one owner alone: a network's first layer.

        Raises
        ------
        ValueError
            If steps were taken for another one.
        """
        if self.n_steps > 0 and self._owner is not None and self._owner() is not owner:
            raise ValueError(
                f"this {type(self).__name__} holds the state of {self.n_steps:,} steps of another network: make a "
                f"new one, or call reset()"
            )
        self._owner = weakref.ref(owner)

    @contextmanager
    def scheduled(self) -> Iterator[None]:
        """Leave the learning rate to a schedule in the `with` block."""
        before = self.learning_rate, self._rate_beside_schedule
        self._rate_beside_schedule = self.own_learning_rate
        try:
            yield
        finally:
            self.learning_rate, self._rate_beside_schedule = before

    @property
    def own_learning_rate(self) -> float:
        """The learning rate that is no schedule's: during scheduled training, that of before and after it."""
        return self.learning_rate if self._rate_beside_schedule is None else self._rate_beside_schedule

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the constructor that are attributes of the same name, apart from the learning rate."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: vars(self)[name] for name in names if name in vars(self) and name != "learning_rate"}

    @property
    def state(self) -> dict[str, list[Any]]:
        """The state kept between steps: by name, an array or a number for each parameter.

        Empty before the first step. The arrays are the optimizer's own, not copies.
        """
        return {name: list(getattr(self, f"_{name}")) for name in self._STATE if self.n_steps > 0}

    def restore(self, parameters: Sequence[NDArray[Any]], n_steps: int, state: dict[str, list[Any]]) -> None:
        """Continue from a `state` recorded after `n_steps` steps.

        Parameters
        ----------
        parameters : sequence of ndarray
            Parameters of the steps to come.
        n_steps : int
            Number of steps taken.
        state : dict
            State as returned by `state`; arrays are copied.

        Raises
        ------
        ValueError
            If names, shapes or dtypes are not those of this optimizer and these parameters; nothing is changed then.
        """
        fresh = copy.copy(self)  # its first step creates new lists
        fresh.reset()
        if n_steps > 0:
            fresh.count_steps(parameters, n_steps)
        expected = fresh.state
        if not _fits(state, expected):
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

    def _knows(self, parameters: Sequence[NDArray[Any]]) -> bool:
        """Tell whether these are the flat parameters of the last step."""
        return self.n_steps > 0 and self._known is not None and parameters is self._known()

    def _flatten_state(self) -> None:
        """Store the state flat, like the parameters; steps for separate arrays have created separate ones."""
        for name in self._STATE:
            state = getattr(self, f"_{name}")
            if not isinstance(state, FlatArrays) and len(state) > 0:
                setattr(self, f"_{name}", FlatArrays.copied(state))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the references to the parameters of the last step, to their network and to a schedule."""
        left_out = {"_known": None, "_owner": None, "_rate_beside_schedule": None}
        return self.__dict__ | {"learning_rate": self.own_learning_rate} | left_out

    def _rate(self, index: Index) -> float:
        """Return the learning rate of the parameter at `index`."""
        if index is ALL or not self._rate_factors:
            return self.learning_rate
        return self.learning_rate * self._rate_factors[index]

    def _is_frozen(self, index: Index) -> bool:
        """Tell whether the parameter at `index` has a learning rate factor of 0."""
        return index is not ALL and bool(self._rate_factors) and self._rate_factors[index] == 0

    def _start(self, parameters: Sequence[NDArray[Any]]) -> None:
        """Create the state for these parameters; plain gradient descent has none."""
        return

    def _after_step(self, parameters: Sequence[NDArray[Any]]) -> None:
        """Finish a step after all parameters were updated; most rules need not."""
        return

    def _rule(self, n_before: int) -> Rule:
        """Describe the steps after `n_before`, with the state that they change."""
        raise NotImplementedError(f"{type(self).__name__} has no rule that kernels know")

    @abstractmethod
    def _update(self, kernels: Kernels, index: Index, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        """Update the parameter at `index`, or the flat vector of all parameters if `index` is `ALL`."""


def state_at(state: Any, index: Index) -> Any:
    """Return the state of the parameter at `index`, or the flat vector of all states."""
    return state.vector if index is ALL else state[index]


def filled_like(parameters: Sequence[NDArray[Any]], value: float) -> State:
    """Return an array filled with `value` for each parameter, of its shape and dtype; flat if the parameters are."""
    if isinstance(parameters, FlatArrays):
        return parameters.filled(value)
    return [aligned_full(parameter.shape, value, parameter.dtype) for parameter in parameters]


def _fits(state: dict[str, list[Any]], fresh: dict[str, list[Any]]) -> bool:
    """Tell whether a state can continue a fresh one; what is None there may have become a number."""
    return state.keys() == fresh.keys() and all(
        len(values) == len(fresh[name]) and all(map(_continues, values, fresh[name]))
        for name, values in state.items()
    )


def _continues(value: Any, fresh: Any) -> bool:
    if isinstance(fresh, np.ndarray):
        return isinstance(value, np.ndarray) and (value.dtype, value.shape) == (fresh.dtype, fresh.shape)
    return not isinstance(value, np.ndarray) and (fresh is None or value is not None)


def _described(state: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Describe dtype and shape of each value of a state."""
    return {
        name: [
            f"{v.dtype}{list(v.shape)}" if isinstance(v, np.ndarray) else "None" if v is None else "number"
            for v in values
        ]
        for name, values in state.items()
    }


def _listed(kinds: list[tuple[np.dtype[Any], tuple[int, ...]]]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for dtype, shape in kinds)
