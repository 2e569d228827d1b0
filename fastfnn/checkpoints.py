"""Checkpoints: training state saved to a file, so that training can resume as if never interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from fastfnn_kernels import __version__
from numpy.typing import NDArray

from fastfnn._checks import check_count
from fastfnn.history import History
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.training.events import Epoch

KIND = "checkpoint"


class Checkpoint:
    """A callback that writes the state of a training run, from which `load_checkpoint` resumes it.

    Parameters
    ----------
    path : path-like
        The file. It is written under another name and renamed: a crash leaves either the old or the new file.
    every : int
        Number of epochs between checkpoints. The last epoch always writes one.

    Raises
    ------
    ValueError
        If `every` is not a whole number from 1 up.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self._every = check_count("every", every)
        self._path = Path(path)

    def is_due(self, epoch: Epoch) -> bool:
        """Tell whether a checkpoint is written after this epoch."""
        return epoch.number % self._every == 0 or epoch.number == epoch.n_epochs

    def __call__(self, epoch: Epoch) -> None:
        """Write the state after this epoch, if it is due."""
        if self.is_due(epoch):
            save_checkpoint(self._path, epoch.network, epoch.optimizer, epoch.history)


def save_checkpoint(path: str | os.PathLike[str], network: Model, optimizer: Optimizer, history: History) -> None:
    """Write the parameters, the states of the optimizer and the random generator, and the history.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file stays unchanged.
    ValueError
        If a parameter holds NaN or inf.
    """
    # Imported here and below: importing this module must not load safetensors.
    from fastfnn.files.container import require_finite, write_model

    require_finite(network.parameters)
    arrays = {f"network.{name}": array for name, array in network.parameters.items()}
    numbers: dict[str, list[float | None]] = {}
    for name, values in optimizer.state.items():
        numbers[name] = [None if isinstance(value, np.ndarray) else value for value in values]
        for i, value in enumerate(values):
            if isinstance(value, np.ndarray):
                arrays[f"optimizer.{name}.{i}"] = value
    described = {
        "kind": KIND,
        "version": __version__,
        "network": network.architecture,
        "optimizer": {
            "type": type(optimizer).__name__,
            "n_steps": optimizer.n_steps,
            "learning_rate": optimizer.learning_rate,
            "state": numbers,
        },
        "random": network.rng.bit_generator.state,
        "history": history.records,
    }
    write_model(path, described, arrays)


def load_checkpoint(path: str | os.PathLike[str], network: Model, optimizer: Optimizer) -> History:
    """Restore a network and an optimizer to the state of a checkpoint.

    Parameters
    ----------
    path : path-like
        The file.
    network, optimizer
        Constructed like those of the training run that wrote the file.

    Returns
    -------
    History
        The training so far. `Network.fit` continues after it if given as `history`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is not a checkpoint, or belongs to another network, optimizer or version of fastfnn.
        Nothing is changed then.
    """
    from fastfnn.files.container import check_tensors, fill, read_model

    described, tensors = read_model(path)
    name = os.fspath(path)
    if described.get("kind") != KIND:
        raise ValueError(f"{name} is a model, not a checkpoint: load it with Network.load")
    if described["version"] != __version__:
        raise ValueError(
            f"{name} was written by fastfnn {described['version']}, and this is {__version__}: "
            f"resume it with that version, or train anew"
        )
    if not network.is_described_by(described["network"]):
        raise ValueError(
            f"{name} is of another architecture: expected {network.architecture}; got {described['network']}"
        )
    of_optimizer = described["optimizer"]
    if of_optimizer["type"] != type(optimizer).__name__:
        raise ValueError(
            f"{name} holds the state of {of_optimizer['type']}; got the optimizer {type(optimizer).__name__}"
        )
    state = {
        part: [tensors.get(f"optimizer.{part}.{i}", value) for i, value in enumerate(values)]
        for part, values in of_optimizer["state"].items()
    }
    of_network = _of_network(tensors)
    check_tensors(network.parameters, of_network, path)
    optimizer.restore(network.parameter_arrays, of_optimizer["n_steps"], state)
    fill(network.parameters, of_network, path)
    network.predicts_columns = described["network"].get("predicts_columns") is True
    optimizer.learning_rate = of_optimizer["learning_rate"]
    network.rng.bit_generator.state = described["random"]
    history = History()
    history.records.extend(described["history"])
    return history


def _of_network(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    prefix = "network."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
