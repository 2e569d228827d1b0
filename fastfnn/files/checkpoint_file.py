"""Checkpoint files: a network's parameters, an optimizer's state, a random generator's state, and a history."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastfnn_kernels import __version__
from numpy.typing import NDArray

from fastfnn._checks import is_whole
from fastfnn.files.container import read_model, require_finite, write_model
from fastfnn.history import History, Record, Sums, Unfinished

KIND = "checkpoint"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class OptimizerState:
    """State of an optimizer.

    Attributes
    ----------
    kind : str
        Name of its class.
    options : dict
        Arguments of its constructor that are numbers, flags, texts or None, apart from the learning rate.
    n_steps : int
        Steps taken.
    learning_rate : float
        Its own learning rate, not that of a schedule.
    state : dict
        By name, an array or a number for each parameter.
    """

    kind: str
    options: dict[str, Any]
    n_steps: int
    learning_rate: float
    state: dict[str, list[Any]]


@dataclass(frozen=True)
class CheckpointContent:
    """Content of a checkpoint file.

    Attributes
    ----------
    architecture : dict
        Architecture of the network.
    parameters : dict
        Parameters of the network by name.
    optimizer : OptimizerState
        State of the optimizer.
    random : dict
        State of the network's random generator.
    history : History
        History of the training run.
    """

    architecture: dict[str, Any]
    parameters: Arrays
    optimizer: OptimizerState
    random: Mapping[str, Any]
    history: History


def write_checkpoint(path: str | os.PathLike[str], content: CheckpointContent) -> None:
    """Write a checkpoint file.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file stays unchanged.
    ValueError
        If a parameter holds NaN or inf.
    TypeError
        If a record holds something else than numbers and texts.
    """
    require_finite(content.parameters)
    arrays = {f"network.{name}": array for name, array in content.parameters.items()}
    optimizer = content.optimizer
    numbers: dict[str, list[float | None]] = {}
    for name, values in optimizer.state.items():
        numbers[name] = [None if isinstance(value, np.ndarray) else value for value in values]
        arrays |= {f"optimizer.{name}.{i}": value for i, value in enumerate(values) if isinstance(value, np.ndarray)}
    history = content.history
    described = {
        "kind": KIND,
        "version": __version__,
        "network": content.architecture,
        "optimizer": {
            "type": optimizer.kind,
            "options": optimizer.options,
            "n_steps": optimizer.n_steps,
            "learning_rate": optimizer.learning_rate,
            "state": numbers,
        },
        "random": content.random,
        "history": [_plain(record) for record in history.records],
        "unfinished": None if history.unfinished is None else dataclasses.asdict(history.unfinished),
    }
    write_model(path, described, arrays)


def read_checkpoint(path: str | os.PathLike[str]) -> CheckpointContent:
    """Read a checkpoint file, and check all of it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is not a checkpoint, or was written by another version of fastfnn.
    """
    described, tensors = read_model(path)
    name = os.fspath(path)
    if described.get("kind") != KIND:
        raise ValueError(f"{name} is a model, not a checkpoint: load it with Network.load")
    if described.get("version") != __version__:
        raise ValueError(
            f"{name} was written by fastfnn {described.get('version')}, and this is {__version__}: "
            f"resume it with that version, or train anew"
        )
    try:
        return _content(described, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{name} describes no training run that can be resumed: {error!r}") from error


def _content(described: dict[str, Any], tensors: Arrays) -> CheckpointContent:
    of_optimizer = described["optimizer"]
    expect(of_optimizer["n_steps"], _is_count, "optimizer.n_steps")
    expect(of_optimizer["learning_rate"], _is_rate, "optimizer.learning_rate")
    state = {name: _values(name, values, tensors) for name, values in of_optimizer["state"].items()}
    used = {f"optimizer.{name}.{i}" for name, values in of_optimizer["state"].items() for i in range(len(values))}
    strange = [name for name in tensors if not name.startswith("network.") and name not in used]
    if strange:
        raise ValueError(f"tensors that belong to nothing: {strange}")
    history = History()
    history.records.extend(_record(record, number) for number, record in enumerate(described["history"], 1))
    if described["unfinished"] is not None:
        history.unfinished = _unfinished(described["unfinished"], len(history))
    return CheckpointContent(
        architecture=described["network"],
        parameters={
            name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")
        },
        optimizer=OptimizerState(
            expect(of_optimizer["type"], lambda value: isinstance(value, str), "optimizer.type"),
            expect(of_optimizer["options"], lambda value: isinstance(value, dict), "optimizer.options"),
            of_optimizer["n_steps"],
            of_optimizer["learning_rate"],
            state,
        ),
        random=random_state(described["random"]),
        history=history,
    )


def expect(value: Any, fits: Callable[[Any], bool], name: str) -> Any:
    """Return a value if it fits.

    Raises
    ------
    ValueError
        If it does not; the message has its name.
    """
    if not fits(value):
        raise ValueError(f"{name} is {value!r}")
    return value


def random_state(state: Any) -> dict[str, Any]:
    """Return the state of a random generator if NumPy takes it.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, OverflowError
        If it does not.
    """
    generator = getattr(np.random, state["bit_generator"])
    if not (isinstance(generator, type) and issubclass(generator, np.random.BitGenerator)):
        raise ValueError(f"{generator!r} is no random generator")
    generator(0).state = state
    checked: dict[str, Any] = state
    return checked


def _values(name: str, values: list[Any], tensors: Arrays) -> list[Any]:
    """Return the state of each parameter: a tensor where there is one, else a finite number or None."""
    found = []
    for i, value in enumerate(values):
        key = f"optimizer.{name}.{i}"
        if key in tensors:
            require_finite({key: tensors[key]})
            found.append(tensors[key])
        else:
            found.append(expect(value, lambda value: value is None or _is_finite(value), key))
    return found


def _record(record: Any, number: int) -> Record:
    expect(record["epoch"], lambda epoch: epoch == number, "the number of an epoch")
    expect(record["seconds"], _is_rate, "the seconds of an epoch")
    for name, value in record.items():
        expect(value, lambda value: value is None or isinstance(value, (int, float, str)), f"{name} of a record")
    checked: Record = record
    return checked


def _unfinished(described: dict[str, Any], n_epochs: int) -> Unfinished:
    unfinished = Unfinished(
        **described
        | {
            "total": _sums(described["total"]),
            "call": _sums(described["call"]),
            "random": random_state(described["random"]),
        }
    )
    expect(unfinished.epoch, lambda epoch: epoch == n_epochs + 1, "unfinished.epoch")
    expect(unfinished.batch_size, lambda size: _is_count(size) and size > 0, "unfinished.batch_size")
    expect(unfinished.seconds, _is_rate, "unfinished.seconds")
    expect(unfinished.n_samples, lambda n: n > 0, "unfinished.n_samples")
    return unfinished


def _sums(values: dict[str, Any]) -> Sums:
    sums = Sums(**values)
    for value in (sums.loss, sums.weight):
        expect(value, lambda value: isinstance(value, (int, float)), "unfinished sums")
    for value in (sums.n_correct, sums.n_rows):
        expect(value, _is_count, "unfinished sums")
    return sums


def _plain(record: Record) -> dict[str, Any]:
    """Return a record with NumPy's numbers as Python's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in record.items()}


def _is_count(value: Any) -> bool:
    return is_whole(value) and 0 <= value < 2**63


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_rate(value: Any) -> bool:
    return _is_finite(value) and value >= 0
