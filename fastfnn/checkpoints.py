"""Checkpoints: training state saved to a file, so that training can resume as if never interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastfnn._checks import check_count
from fastfnn._warnings import warn
from fastfnn.data_form import from_entry, require_same, to_entry
from fastfnn.files.atomic import check_writable
from fastfnn.history import History
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.training.events import Epoch, Training

if TYPE_CHECKING:  # `files` loads safetensors, which importing this module must not
    from fastfnn.files.checkpoint_file import OptimizerState


class Checkpoint:
    """A callback that writes the state of a training run, from which `load_checkpoint` resumes it.

    The state is that after the last step, wherever the callback stands in the list: if `EarlyStopping` restores other
    parameters at the end, they are not in the file. When Ctrl-C, SIGTERM or a callback ends training between two
    steps of an epoch, the file holds the place in the epoch. A file that cannot be written is a warning, and training
    goes on.

    Parameters
    ----------
    path : path-like
        The file. It is written under another name and renamed: a crash leaves either the old or the new file.
    every : int
        Number of epochs between checkpoints. The last state of a training run is always written, unless an exception
        ended it: the last step may be half done then.

    Raises
    ------
    ValueError
        If `every` is not a whole number from 1 up.
    """

    reads_record = True
    writes_files = True

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self._every = check_count("every", every)
        self._path = Path(path)
        self._warned_of: set[str] = set()
        self._latest: int | None = None

    def is_due(self, epoch: Epoch) -> bool:
        """Tell whether a checkpoint is written after this epoch."""
        return epoch.number % self._every == 0 or epoch.number == epoch.n_epochs

    def start(self, training: Training) -> None:
        """Forget earlier training runs.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        self._latest, self._warned_of = len(training.history), set()
        check_writable(self._path)

    def __call__(self, epoch: Epoch) -> None:
        """Write the state after this epoch, if it is due."""
        if self.is_due(epoch):
            self._write(epoch.network.parameters, epoch.network, epoch.optimizer, epoch.history)

    def finish(self, training: Training) -> None:
        """Write the last state, unless it was written or an exception ended training."""
        history = training.history
        is_known = self._latest == len(history) and history.unfinished is None
        if training.error is None and not is_known:
            self._write(training.parameters, training.network, training.optimizer, history)

    def _write(
        self, parameters: dict[str, NDArray[Any]], network: Model, optimizer: Optimizer, history: History
    ) -> None:
        from fastfnn.files.described import reason_of

        try:
            _save(self._path, parameters, network, optimizer, history)
        except (OSError, ValueError, TypeError) as error:
            if str(error) not in self._warned_of:
                self._warned_of.add(str(error))
                warn(f"the checkpoint after epoch {len(history)} was not written: {reason_of(error)}")
        self._latest = len(history)


def save_checkpoint(path: str | os.PathLike[str], network: Model, optimizer: Optimizer, history: History) -> None:
    """Write the parameters, the states of the optimizer and the random generator, and the history.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file stays unchanged.
    ValueError
        If a parameter holds NaN or inf.
    TypeError
        If a record holds something else than numbers and texts.
    """
    _save(path, network.parameters, network, optimizer, history)


def load_checkpoint(path: str | os.PathLike[str], network: Model, optimizer: Optimizer) -> History:
    """Restore a network and an optimizer to the state of a checkpoint.

    Parameters
    ----------
    path : path-like
        The file.
    network, optimizer
        Constructed like those of the training run that wrote the file. The optimizer's learning rate may differ: it
        becomes that of the file.

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
    # Imported here and below: importing this module must not load safetensors.
    from fastfnn.files.checkpoint_file import read_checkpoint
    from fastfnn.files.container import check_tensors, fill
    from fastfnn.files.described import faults_naming, in_brief, is_same

    content = read_checkpoint(path)
    name = os.fspath(path)
    any_targets = {"predicts_columns": True}  # a checkpoint brings the shape of its targets along
    if not is_same(content.architecture | any_targets, network.architecture | any_targets):
        got = in_brief(repr(content.architecture))
        raise ValueError(f"{name} is of another architecture: expected {network.architecture}; got {got}")
    if content.random["bit_generator"] != network.rng.bit_generator.state["bit_generator"]:
        raise ValueError(f"{name} holds the state of another random generator, {content.random['bit_generator']}")
    _check_optimizer(name, content.optimizer, _state_of(optimizer))
    with faults_naming(path, "is not of these data"):
        data_form = from_entry(content.data_form, network.n_inputs)
    require_same(data_form, network.data_form, name)
    check_tensors(network.parameters, content.parameters, path)
    with faults_naming(path, "holds another state"):
        optimizer.restore(network.parameter_arrays, content.optimizer.n_steps, content.optimizer.state)
    optimizer.claim(network.layers[0])
    optimizer.learning_rate = content.optimizer.learning_rate
    fill(network.parameters, content.parameters, path)
    network.rng.bit_generator.state = content.random
    network.data_form = data_form or network.data_form
    network.predicts_columns = content.architecture.get("predicts_columns") is True
    return content.history


def _save(
    path: str | os.PathLike[str],
    parameters: dict[str, NDArray[Any]],
    network: Model,
    optimizer: Optimizer,
    history: History,
) -> None:
    from fastfnn.files.checkpoint_file import CheckpointContent, write_checkpoint

    content = CheckpointContent(
        architecture=network.architecture,
        data_form=None if network.data_form is None else to_entry(network.data_form),
        parameters=parameters,
        optimizer=_state_of(optimizer),
        random=network.rng.bit_generator.state,
        history=history,
    )
    write_checkpoint(path, content)


def _state_of(optimizer: Optimizer) -> OptimizerState:
    from fastfnn.files.checkpoint_file import OptimizerState, with_plain_numbers

    options = with_plain_numbers(optimizer.options)
    described = {
        name: value for name, value in options.items() if value is None or isinstance(value, (int, float, str))
    }
    rate = optimizer.own_learning_rate
    return OptimizerState(type(optimizer).__name__, described, optimizer.n_steps, rate, optimizer.state)


def _check_optimizer(name: str, saved: OptimizerState, given: OptimizerState) -> None:
    """Raise ValueError if an optimizer is not constructed like that of the file; its learning rate may differ."""
    from fastfnn.files.described import in_brief, is_same

    if saved.kind != given.kind:
        raise ValueError(f"{name} holds the state of {in_brief(saved.kind)}; got the optimizer {given.kind}")
    if not is_same(saved.options, given.options):
        raise ValueError(
            f"{name} holds the state of {saved.kind} with {in_brief(repr(saved.options))}; got {given.options}: "
            f"construct it with the same options"
        )
