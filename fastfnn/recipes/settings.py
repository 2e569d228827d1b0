"""Settings: everything that a run of a recipe can change."""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastfnn._checks import (
    FLOAT_DTYPES,
    check_choice,
    check_count,
    check_flag,
    check_non_negative,
    check_positive,
    check_scale,
    check_whole,
    is_whole,
)
from fastfnn.inputs.validation import check_input_format
from fastfnn.optimizers import Optimizer

LARGEST_SEED = 2**32 - 1

# The largest whole number that every TOML reader takes.
LARGEST_COUNT = 2**63 - 1

LABEL = "label"


@dataclass(frozen=True)
class Settings:
    """Everything that one training run can change.

    Attributes
    ----------
    recipe : str
        Name of the recipe that gives the defaults.
    iterations : int
        Number of passes over the training data.
    hidden : tuple of int
        Widths of the hidden layers.
    optimizer : str
        Name of one of the recipe's optimizers.
    learning_rate : float
        Learning rate of the optimizer.
    optimizer_options : tuple of str
        Other arguments of the optimizer, such as "rho=0.95"; the recipe's values for those not named.
    l2, l2_bias : float
        Weights of the penalties on squared weights and on squared biases.
    l2_per_sample : bool
        Whether both penalties are divided by the number of training samples.
    seed : int
        Seed of the initial weights, the order of mini-batches, and the samples drawn as a picture.
    report_every : int
        Iterations between reports; the first and the last are always reported.
    batch_size : int, optional
        Number of samples per update; all of them when None.
    shuffle : bool
        Whether mini-batches take the samples in a new order in each epoch, or in their own order.
    drop_last : bool
        Whether a last mini-batch that is smaller than the others is skipped.
    input_scale : float, optional
        Factor of byte inputs; 1/255, as for pixels, when None.
    data, test_data : str, optional
        Files to train and to test on; the recipe's own data when `data` is None.
    label : str
        Name of the column with the labels in CSV files.
    drop : tuple of str
        Names of columns of CSV files that are left out.
    header : bool
        Whether CSV files begin with the names of their columns.
    backend : str
        "numba" or "numpy".
    dtype : str
        "float32" or "float64".
    input_format : str
        "auto", "dense" or "sparse", as in `Network.fit`.
    threads : int, optional
        Number of threads; all of them when None.
    checkpoint_every : int, optional
        Iterations between checkpoints; none are written when None.
    shares : int, optional
        Number of shares whose gradients are added in a fixed order, on any number of processes; none when None.

    Raises
    ------
    ValueError
        If a value has a wrong type or is out of range.
    """

    recipe: str
    iterations: int
    hidden: tuple[int, ...]
    optimizer: str
    learning_rate: float
    l2: float
    seed: int
    report_every: int
    optimizer_options: tuple[str, ...] = ()
    batch_size: int | None = None
    l2_bias: float = 0.0
    l2_per_sample: bool = False
    shuffle: bool = True
    drop_last: bool = False
    input_scale: float | None = None
    data: str | None = None
    test_data: str | None = None
    label: str = LABEL
    drop: tuple[str, ...] = ()
    header: bool = True
    backend: str = "numba"
    dtype: str = "float32"
    input_format: str = "auto"
    threads: int | None = None
    checkpoint_every: int | None = None
    shares: int | None = None

    def __post_init__(self) -> None:
        for name in ("recipe", "optimizer", "backend", "label"):
            _check_text(name, getattr(self, name))
        for name in ("data", "test_data"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        _check_hidden(self.hidden)
        for name in ("optimizer_options", "drop"):
            _check_texts(name, getattr(self, name))
        for name, check in _CHECKS.items():
            if getattr(self, name) is not None or name not in _OPTIONAL:
                object.__setattr__(self, name, check(name, getattr(self, name)))
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        check_choice("dtype", self.dtype, FLOAT_DTYPES)
        check_input_format(self.input_format)

    @property
    def columns_read(self) -> dict[str, Any]:
        """Arguments of `fastfnn.datasets.read_dataset` for CSV files."""
        return {"label": self.label, "drop": self.drop, "header": self.header}

    @property
    def names_columns(self) -> bool:
        """Whether label, drop or header differ from what they are by default."""
        return (self.label, self.drop, self.header) != (LABEL, (), True)


def _check_number(name: str, value: Any) -> int:
    number = check_count(name, value)
    if number > LARGEST_COUNT:
        raise ValueError(f"{name} must be at most {LARGEST_COUNT}; got {number}")
    return number


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "iterations": _check_number,
    "report_every": _check_number,
    "batch_size": _check_number,
    "threads": _check_number,
    "checkpoint_every": _check_number,
    "shares": _check_number,
    "header": check_flag,
    "learning_rate": check_positive,
    "l2": check_non_negative,
    "l2_bias": check_non_negative,
    "l2_per_sample": check_flag,
    "shuffle": check_flag,
    "drop_last": check_flag,
    "input_scale": partial(check_scale, dtype=np.dtype(np.float64)),
    "seed": partial(check_whole, least=0, largest=LARGEST_SEED),
}
_OPTIONAL = ("batch_size", "threads", "checkpoint_every", "input_scale", "shares")


def settle(
    defaults: Settings, optimizers: Mapping[str, Callable[..., Optimizer]], *changes: Mapping[str, Any]
) -> Settings:
    """Apply changes to a recipe's defaults, one mapping after the other.

    A mapping that names another optimizer also sets that optimizer's own learning rate and options, unless it names
    them.

    Parameters
    ----------
    defaults : Settings
        Settings of the recipe.
    optimizers : mapping
        Optimizers by name; called without arguments, each has its own learning rate.
    *changes : mappings
        New values by name.

    Raises
    ------
    ValueError
        If an optimizer is unknown or a value does not fit.
    """
    settings = defaults
    for change in changes:
        name = change.get("optimizer", settings.optimizer)
        check_choice("optimizer", name, optimizers)
        own = {"learning_rate": optimizers[name]().learning_rate, "optimizer_options": ()}
        settings = dataclasses.replace(settings, **{**({} if name == settings.optimizer else own), **change})
    make_optimizer(settings, optimizers)
    return settings


def make_optimizer(settings: Settings, optimizers: Mapping[str, Callable[..., Optimizer]]) -> Optimizer:
    """Make the optimizer that the settings name, before its first step.

    Raises
    ------
    ValueError
        If an option is unknown, or its value does not fit.
    """
    factory = optimizers[settings.optimizer]
    known = [name for name in inspect.signature(factory).parameters if name != "learning_rate"]
    options = dict(_parse_option(option) for option in settings.optimizer_options)
    for name in options:
        if name not in known:
            raise ValueError(
                f"{settings.optimizer} has no option {name!r}; its options are {', '.join(known) or 'none'}"
            )
    return factory(learning_rate=settings.learning_rate, **options)


def _parse_option(text: str) -> tuple[str, Any]:
    """Parse "rho=0.95" as a name and a TOML value."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, KeyError, RecursionError) as error:  # ValueError for numbers of thousands of digits, too
        raise ValueError(f"an optimizer option must be NAME=VALUE, such as rho=0.95; got {text!r}") from error


def parse_hidden(text: str) -> tuple[int, ...]:
    """Parse the widths of hidden layers, such as "256" or "256,128".

    Raises
    ------
    ValueError
        If they are not whole numbers from 1 up.
    """
    widths = text.split(",")
    if not all(width.strip().isdecimal() for width in widths):
        raise ValueError(f"hidden must be whole numbers separated by commas, such as 256,128; got {text!r}")
    hidden = tuple(int(width) for width in widths)
    _check_hidden(hidden)
    return hidden


def _check_hidden(hidden: Any) -> None:
    if not isinstance(hidden, tuple) or not all(is_whole(width) and width >= 1 for width in hidden):
        raise ValueError(f"hidden must be widths from 1 up, such as 256,128; got {hidden!r}")


def _check_texts(name: str, values: Any) -> None:
    if not isinstance(values, tuple):
        raise ValueError(f"{name} must be a list of texts; got {values!r}")
    for value in values:
        _check_text(f"each of {name}", value)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text in quotes; got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name} must be valid Unicode, because config.toml holds it; got {value!r}: rename it"
        ) from None
