"""Options of a training run: the checked arguments of `Network.fit` that shape its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from fastfnn_kernels.protocol import Kernels
from numpy.typing import ArrayLike, NDArray

from fastfnn._checks import (
    check_choice,
    check_count,
    check_flag,
    check_held,
    check_non_negative,
    check_optional_positive,
)
from fastfnn.execution.communicator import Communicator
from fastfnn.inputs.validation import check_input_format
from fastfnn.schedules import Schedule

# Whether each epoch draws a new order of the samples, or a function: number of samples -> rows of an epoch in order.
Shuffle = bool | Callable[[int], ArrayLike]


@dataclass(frozen=True)
class Penalty:
    """A penalty: (weights / 2) * sum of squared weights + (bias / 2) * sum of squared biases.

    Attributes
    ----------
    weights, bias : float
        Factors of the two sums.
    added_to : {"mean", "sum"}
        Whether it is added to the mean loss of a batch, or to the weighted sum of losses, before that is divided by
        the batch's total weight.

    Raises
    ------
    ValueError
        If a factor is negative or not finite, or `added_to` is unknown.
    """

    weights: float = 0.0
    bias: float = 0.0
    added_to: str = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", check_non_negative("l2", self.weights))
        object.__setattr__(self, "bias", check_non_negative("l2_bias", self.bias))
        check_choice("l2_added_to", self.added_to, ("mean", "sum"))

    def __bool__(self) -> bool:
        return self.weights != 0 or self.bias != 0

    def factors(self, total_weight: float) -> tuple[float, float]:
        """Return the factors for weights and biases in the mean loss of a batch of this weight; 0 if that is 0."""
        if self.added_to == "mean":
            return self.weights, self.bias
        scale = scale_of_mean(total_weight)
        return scale * self.weights, scale * self.bias


def scale_of_mean(total_weight: float) -> float:
    """Return the factor that turns a sum of losses into their mean; 0 if all weights are 0."""
    return 1 / total_weight if total_weight else 0.0


@dataclass(frozen=True)
class Clipping:
    """Bounds on a gradient; None means no bound.

    Attributes
    ----------
    value : float, optional
        Bound on the absolute value of every element.
    norm : float, optional
        Bound on the Euclidean norm of all parameters' gradients together (Pascanu et al., arXiv 1211.5063).

    Raises
    ------
    ValueError
        If a bound is not a finite number above 0.
    """

    value: float | None = None
    norm: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_optional_positive("clip_value", self.value))
        object.__setattr__(self, "norm", check_optional_positive("clip_norm", self.norm))

    def __bool__(self) -> bool:
        return self.value is not None or self.norm is not None

    def apply(self, kernels: Kernels, gradients: Sequence[NDArray[Any]], rate_factors: Sequence[float] = ()) -> None:
        """Clip the gradients in place: each element first, then the norm of the result.

        Gradients of parameters whose rate factor is 0 take no part in the norm: the parameters do not change.
        """
        if rate_factors:
            gradients = [gradient for gradient, factor in zip(gradients, rate_factors, strict=True) if factor != 0]
        if self.value is not None:
            for gradient in gradients:
                np.clip(gradient, -self.value, self.value, out=gradient)
        if self.norm is not None:
            norm = math.sqrt(sum(kernels.squared_norm(gradient) for gradient in gradients))
            if norm > self.norm:
                for gradient in gradients:
                    np.multiply(gradient, self.norm / norm, out=gradient, dtype=gradient.dtype)


@dataclass(frozen=True)
class Options:
    """Arguments of a training run, named as in `fastfnn.Network.fit`.

    Attributes
    ----------
    penalty : Penalty
        Penalty added to the loss, from `l2`, `l2_bias` and `l2_added_to`.
    clipping : Clipping
        Bounds on the gradient, from `clip_value` and `clip_norm`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """

    epochs: int = 1
    batch_size: int | None = None
    shuffle: Shuffle = True
    drop_last: bool = False
    l2: float = 0.0
    l2_bias: float = 0.0
    l2_added_to: str = "mean"
    average_by: str = "weight"
    clip_value: float | None = None
    clip_norm: float | None = None
    schedule: Schedule | None = None
    callbacks: Sequence[Callable[..., Any]] = ()
    step_callbacks: Sequence[Callable[..., Any]] = ()
    input_format: str = "auto"
    communicator: Communicator | None = None
    penalty: Penalty = field(init=False)
    clipping: Clipping = field(init=False)

    def __post_init__(self) -> None:
        checked = {
            "epochs": check_count("epochs", self.epochs),
            "batch_size": None if self.batch_size is None else check_count("batch_size", self.batch_size),
            "shuffle": _checked_shuffle(self.shuffle),
            "drop_last": check_flag("drop_last", self.drop_last),
            "penalty": Penalty(self.l2, self.l2_bias, self.l2_added_to),
            "clipping": Clipping(self.clip_value, self.clip_norm),
            "callbacks": _callables("callbacks", self.callbacks),
            "step_callbacks": _callables("step_callbacks", self.step_callbacks),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.schedule is not None and not callable(self.schedule):
            raise TypeError(f"schedule must be callable, such as those of fastfnn.schedules; got {self.schedule!r}")
        check_choice("average_by", self.average_by, ("weight", "rows"))
        check_input_format(self.input_format)
        self._check_communicator()

    def _check_communicator(self) -> None:
        """Raise TypeError for what is no communicator, and ValueError for an order that would move rows."""
        check_communicator(self.communicator)
        if self.communicator is not None and callable(self.shuffle):
            raise ValueError(
                "shuffle must be true or false with a communicator: each process draws an order of its own rows"
            )

    def check_numbers(self, dtype: np.dtype[Any]) -> None:
        """Raise ValueError for a penalty or a bound that the network's dtype cannot hold."""
        names = ("l2", "l2_bias", "clip_value", "clip_norm")
        check_held("", {name: bound for name in names if (bound := getattr(self, name)) is not None}, dtype)

    def check_batches(self, n_rows: int) -> None:
        """Raise ValueError if an epoch of `n_rows` would have no batch."""
        if self.batch_size is not None and self.drop_last and self.batch_size > n_rows:
            raise ValueError(
                f"drop_last leaves no batch: batch_size is {self.batch_size}, and an epoch has {n_rows} samples"
            )

    def rows_of_epoch(self, n_rows: int) -> int:
        """Return the number of rows that an epoch's mini-batches use, of `n_rows` in its order."""
        size = self.batch_size
        return n_rows // size * size if self.drop_last and size is not None else n_rows

    def largest_batch(self, n_samples: int) -> int:
        """Return the largest number of rows in a batch; a function may choose more rows than there are samples."""
        size = n_samples if self.batch_size is None else self.batch_size
        return size if callable(self.shuffle) else min(size, n_samples)


def check_communicator(communicator: Any) -> None:
    """Raise TypeError unless this is a communicator, or None."""
    if communicator is not None and not isinstance(communicator, Communicator):
        raise TypeError(f"communicator must be made by fastfnn.distributed.mpi() or alone(); got {communicator!r}")


def _checked_shuffle(value: Any) -> Shuffle:
    """Return True, False or a function; raise ValueError for anything else."""
    if callable(value):
        function: Callable[[int], ArrayLike] = value
        return function
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"shuffle must be true, false or a function; got {value!r}")
    return bool(value)


def _callables(name: str, values: Any) -> tuple[Callable[..., Any], ...]:
    """Return callables of any collection as a tuple; raise TypeError for anything else."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of callables; got {values!r}")
    found = tuple(values)
    for value in found:
        if not callable(value):
            raise TypeError(f"{name} must be a list of callables; got {value!r} in it")
    return found


OPTION_NAMES = frozenset(option.name for option in fields(Options) if option.init)
