"""Checkpoint files: a network's parameters, an optimizer's state, a random generator's state, and a history."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastfnn_kernels import __version__
from numpy.typing import NDArray

from fastfnn._checks import check_non_negative, check_whole
from fastfnn.files.container import read_model, require_finite, write_model
from fastfnn.files.described import (
    Check,
    check_fields,
    check_finite_number,
    check_number,
    check_object,
    check_text,
    faults_naming,
    fields_of,
    in_brief,
    is_same,
    list_of,
    none_or,
    values_of,
)
from fastfnn.history import History, Record, Sums, Unfinished

KIND = "checkpoint"

LARGEST_INDEX = 2**63 - 1

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
        By name, an array, a number or None for each parameter.
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
    data_form : dict or None
        Entry of what the files of the training looked like; see `fastfnn.data_form`.
    parameters : dict
        Parameters of the network by name.
    optimizer : OptimizerState
        State of the optimizer.
    random : mapping
        State of the network's random generator.
    history : History
        History of the training run.
    """

    architecture: dict[str, Any]
    data_form: dict[str, Any] | None
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
        If a parameter, or the state of the optimizer, holds NaN or inf.
    TypeError
        If a record holds something else than numbers and texts.
    """
    arrays = {f"network.{name}": array for name, array in content.parameters.items()}
    optimizer, history = content.optimizer, content.history
    numbers: dict[str, list[float | None]] = {}
    for name, values in optimizer.state.items():
        numbers[name] = [None if isinstance(value, np.ndarray) else value for value in values]
        arrays |= {f"optimizer.{name}.{i}": value for i, value in enumerate(values) if isinstance(value, np.ndarray)}
    described = {
        "kind": KIND,
        "version": __version__,
        "network": content.architecture,
        "data_form": content.data_form,
        "optimizer": {
            "type": optimizer.kind,
            "options": optimizer.options,
            "n_steps": optimizer.n_steps,
            "learning_rate": optimizer.learning_rate,
            "state": numbers,
        },
        "random": content.random,
        "history": [with_plain_numbers(record) for record in history.records],
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
        version = in_brief(str(described.get("version")))
        raise ValueError(
            f"{name} was written by fastfnn {version}, and this is {__version__}: "
            f"resume it with that version, or train anew"
        )
    with faults_naming(path, "describes no training run that can be resumed"):
        return _content(check_fields("the checkpoint", described, FIELDS), tensors)


def with_plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name, with NumPy's numbers as Python's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def check_random(name: str, state: Any) -> dict[str, Any]:
    """Return the state of a random generator, if NumPy takes it."""
    fields = check_object(name, state)
    generator = getattr(np.random, check_text(f"{name}.bit_generator", fields.get("bit_generator")), None)
    if not (isinstance(generator, type) and issubclass(generator, np.random.BitGenerator)):
        raise ValueError(f"{name}.bit_generator must be one of numpy.random; got {fields['bit_generator']!r}")
    bits = generator(0)
    try:
        bits.state = fields
    except (KeyError, AttributeError) as error:
        raise ValueError(f"{name} is no state of {fields['bit_generator']}: {error!r} is missing") from error
    if not is_same(bits.state, fields):
        raise ValueError(f"{name} is no state of {fields['bit_generator']}, which takes {bits.state}; got {fields}")
    return fields


def check_index(name: str, value: Any) -> int:
    """Return a number of things, from 0 up."""
    return check_whole(name, value, least=0, largest=LARGEST_INDEX)


def check_number_of(name: str, value: Any) -> int:
    """Return a number of things, from 1 up."""
    return check_whole(name, value, least=1, largest=LARGEST_INDEX)


def check_scalar(name: str, value: Any) -> Any:
    """Return a number, a flag, a text or None, as records and options hold them."""
    if value is None or isinstance(value, (bool, str)):
        return value
    return check_number(name, value)


SUMS: dict[str, Check] = {
    "loss": check_number,
    "weight": check_non_negative,
    "n_correct": check_index,
    "n_rows": check_index,
}
UNFINISHED: dict[str, Check] = {
    "epoch": check_number_of,
    "batch_size": check_number_of,
    "order": check_text,
    "random": check_random,
    "total": fields_of(SUMS),
    "call": fields_of(SUMS),
    "seconds": check_non_negative,
}
OPTIMIZER: dict[str, Check] = {
    "type": check_text,
    "options": values_of(check_scalar),
    "n_steps": check_index,
    "learning_rate": check_non_negative,
    "state": values_of(list_of(none_or(check_finite_number))),
}
FIELDS: dict[str, Check] = {
    "kind": check_text,
    "version": check_text,
    "network": check_object,
    "data_form": none_or(check_object),
    "optimizer": fields_of(OPTIMIZER),
    "random": check_random,
    "history": list_of(values_of(check_scalar)),
    "unfinished": none_or(fields_of(UNFINISHED)),
}


def _content(fields: dict[str, Any], tensors: Arrays) -> CheckpointContent:
    require_finite(tensors)
    of_optimizer = fields["optimizer"]
    others = {name: tensor for name, tensor in tensors.items() if not name.startswith("network.")}
    parameters = {
        name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")
    }
    return CheckpointContent(
        architecture=fields["network"],
        data_form=fields["data_form"],
        parameters=parameters,
        optimizer=OptimizerState(
            of_optimizer["type"],
            of_optimizer["options"],
            of_optimizer["n_steps"],
            of_optimizer["learning_rate"],
            _state(of_optimizer["state"], others),
        ),
        random=fields["random"],
        history=_history(fields["history"], fields["unfinished"]),
    )


def _state(described: dict[str, list[float | None]], tensors: Arrays) -> dict[str, list[Any]]:
    """Put tensors in their places in an optimizer's state.

    Raises
    ------
    ValueError
        If a tensor has no place.
    """
    places = {f"optimizer.{name}.{i}" for name, values in described.items() for i in range(len(values))}
    if not tensors.keys() <= places:
        raise ValueError(f"the tensors {sorted(tensors.keys() - places)} belong to nothing")
    return {
        name: [tensors.get(f"optimizer.{name}.{i}", value) for i, value in enumerate(values)]
        for name, values in described.items()
    }


def _history(records: list[Record], unfinished: dict[str, Any] | None) -> History:
    """Return a history; raise ValueError if its epochs are not numbered from 1."""
    history = History()
    for number, record in enumerate(records, 1):
        if check_index("the epoch of a record", record.get("epoch")) != number:
            raise ValueError(f"the epoch of record {number} must be {number}; got {record['epoch']!r}")
        check_non_negative("the seconds of a record", record.get("seconds"))
        history.records.append(record)
    if unfinished is None:
        return history
    sums = {name: Sums(**unfinished[name]) for name in ("total", "call")}
    history.unfinished = Unfinished(**unfinished | sums)
    if history.unfinished.epoch != len(records) + 1 or history.unfinished.n_samples == 0:
        raise ValueError(f"the unfinished epoch must be epoch {len(records) + 1}, begun; got {history.unfinished}")
    return history
