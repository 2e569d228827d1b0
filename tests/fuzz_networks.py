"""Damaged models, checkpoints and state_dicts, with the checksums that they had and with right ones."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import OF_BYTES, OF_TEXT, Rng, damaged, damaged_tree
from fuzz_format import Format, plain
from networks import samples, small_network
from safetensors.numpy import load, save

import fastfnn
from fastfnn import SGD, Adam, Dense, Dropout, Network, RMSprop, losses
from fastfnn.checkpoints import load_checkpoint, save_checkpoint
from fastfnn.data_form import DataForm
from fastfnn.files.container import ENTRY, digest_of
from fastfnn.state_dict import load_state_dict, save_state_dict

X, Y = samples(9)

Optimizer = Callable[[], fastfnn.Optimizer]
OPTIMIZERS: tuple[Optimizer, ...] = (
    lambda: SGD(0.1, momentum=0.9),
    lambda: Adam(0.01),
    lambda: RMSprop(0.1, granularity="tensor", initial=1.0, reset_every=3),
)


def formats() -> list[Format]:
    """Return the formats of networks."""
    models, state_dicts = tuple(map(_saved, networks())), (_state_dict(3), _state_dict(4))
    damage = functools.partial(_damaged, (*OF_BYTES, *OF_TEXT))
    found = [
        Format("model", models, damage, "model.safetensors", _read_model),
        Format("model header", models, _header_damaged, "model.safetensors", _read_model),
        Format("model sealed", models, _sealed_damaged, "model.safetensors", _read_model, _right_model),
        Format("state_dict", state_dicts, damage, "state.safetensors", _read_state_dict, _right_state_dict),
        Format("state_dict header", state_dicts, _header_damaged, "state", _read_state_dict, _right_state_dict),
    ]
    for make in OPTIMIZERS:
        kind = type(make()).__name__
        contents, read = _checkpoints(make), functools.partial(_read_checkpoint, make)
        name = f"checkpoint {kind}"
        found += [
            Format(name, contents, damage, "checkpoint", read),
            Format(f"{name} sealed", contents, _sealed_damaged, "checkpoint", read, _right_checkpoint),
        ]
    return found


def networks() -> tuple[Network, ...]:
    """Return networks of many kinds of layers and losses."""
    named = small_network()
    named.data_form = DataForm(("a", "b", "c", "d"), False)
    loss = losses.SoftmaxCrossEntropy(class_weight=[1.0, 0.5, 2.0])
    layers = (fastfnn.LeakyReLU(), Dense(4, 5, "elu"), Dropout(0.25), Dense(5, 2, use_bias=False))
    huber = Network(layers, "numpy", "float64", 1, loss=losses.Huber(2.0))
    return named, small_network(input_scale=1 / 255, loss=loss, dtype="float32"), huber


def _damaged(damages: Any, rng: Rng, content: bytes, other: bytes) -> bytes:
    return damaged(rng, damages, content, other)


def _header_damaged(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Damage the header as JSON, or as text, and write its length anew."""
    size = int.from_bytes(content[:8], "little")
    header, rest = content[8 : 8 + size], content[8 + size :]
    if rng.integers(2):
        header = json.dumps(damaged_tree(rng, json.loads(header))).encode()
    else:
        header = damaged(rng, OF_TEXT, header, other[8 : 8 + size])
    return len(header).to_bytes(8, "little") + header + rest


def _sealed_damaged(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Damage what a file describes, or its tensors, and write it with the right SHA-256."""
    described, tensors = _content(content)
    described = damaged_tree(rng, described) if rng.integers(4) else described
    if not rng.integers(3):
        tensors = _tensors_damaged(rng, tensors)
    sealed = described | {"sha256": digest_of(described, tensors)}
    return save(tensors, {ENTRY: json.dumps(sealed)})


def _content(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][ENTRY])
    described.pop("sha256", None)
    return described, load(content)


def _tensors_damaged(rng: Rng, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors = dict(tensors)
    name, other = rng.choice(list(tensors), 2).tolist()
    tensor, kind = tensors[name], int(rng.integers(7))
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name + "0"] = tensors.pop(name)
    elif kind == 2:
        tensors[name] = tensors[other]
    elif kind == 3:
        tensors[name] = tensor.astype(rng.choice(["f4", "f8", "i8", "u1", "?"]))
    elif kind == 4:
        tensors[name] = np.ascontiguousarray(tensor.T[..., np.newaxis] if rng.integers(2) else tensor[:0])
    elif kind == 5:
        tensors["x"] = tensor
    else:
        tensors[name] = tensor.copy()
        tensors[name].flat[0] = rng.choice([np.nan, np.inf, -1.0, 0.0, 1e30])
    return tensors


def _saved(network: Network) -> bytes:
    return _written(network.save)


def _written(write: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def _parameters(network: Network) -> dict[str, Any]:
    return {name: plain(array) for name, array in network.parameters.items()}


def _read_model(path: Path) -> Any:
    network = Network.load(path, "numpy")
    with np.errstate(all="ignore"):
        assert len(network.predict(X[:, : network.n_inputs])) == len(X)
    form = network.data_form
    described = None if form is None else {"columns": form.columns, "is_bytes": form.is_bytes}
    return network.architecture, described, _parameters(network)


def _right_model(content: bytes) -> Any:
    described, tensors = _content(content)
    form = described.pop("data_form", None)
    assert described.pop("format") == 2
    described.setdefault("loss", {"type": "SoftmaxCrossEntropy", "label_smoothing": 0.0, "class_weight": None})
    return described, form, {name: plain(tensor) for name, tensor in tensors.items()}


def _state_dict(seed: int) -> bytes:
    return _written(functools.partial(save_state_dict, network=small_network(seed=seed)))


def _read_state_dict(path: Path) -> Any:
    network = small_network(seed=5)
    before = _parameters(network)
    try:
        load_state_dict(path, network)
    except BaseException:
        assert _parameters(network) == before, "a refused file changed the network"
        raise
    return list(_parameters(network).values())


def _right_state_dict(content: bytes) -> Any:
    """Return the tensors of layers in the order of their numbers, weights before biases."""
    tensors = load(content)
    names = sorted(tensors, key=lambda name: (int(name.partition(".")[0]), name.endswith(".bias")))
    return [plain(np.ascontiguousarray(tensors[name].T)) for name in names]


def _checkpoints(make: Optimizer) -> tuple[bytes, ...]:
    """Return a checkpoint between epochs and one within an epoch."""

    def stop(step: fastfnn.Step) -> None:
        if step.number == 8:
            raise fastfnn.StopTraining

    contents = []
    for options in ({"epochs": 2}, {"epochs": 3, "batch_size": 2, "step_callbacks": [stop]}):
        network, optimizer = small_network(), make()
        history = network.fit(X, Y, optimizer, **options)
        contents.append(
            _written(functools.partial(save_checkpoint, network=network, optimizer=optimizer, history=history))
        )
    return tuple(contents)


def _state(network: Network, optimizer: fastfnn.Optimizer) -> Any:
    state = {
        name: [plain(value) if isinstance(value, np.ndarray) else value for value in values]
        for name, values in optimizer.state.items()
    }
    rates = optimizer.n_steps, optimizer.learning_rate, optimizer.options
    return _parameters(network), network.rng.bit_generator.state, state, *rates


def _read_checkpoint(make: Optimizer, path: Path) -> Any:
    network, optimizer = small_network(seed=5), make()
    before = copy.deepcopy(_state(network, optimizer))
    try:
        history = load_checkpoint(path, network, optimizer)
    except BaseException:
        assert _state(network, optimizer) == before, "a refused file changed the network or the optimizer"
        raise
    unfinished = None if history.unfinished is None else dataclasses.asdict(history.unfinished)
    loaded = copy.deepcopy((_state(network, optimizer), history.records, unfinished))
    _resume(network, optimizer, history, path)
    return loaded


def _resume(network: Network, optimizer: fastfnn.Optimizer, history: fastfnn.History, path: Path) -> None:
    batch_size = None if history.unfinished is None else 2
    try:
        with np.errstate(all="ignore"):
            network.fit(X, Y, optimizer, len(history) + 1, batch_size, history=history)
    except (ValueError, fastfnn.TrainingWarning) as error:  # which does not know the file
        raise ValueError(f"{path.name}: {error}") from error


def _right_checkpoint(content: bytes) -> Any:
    described, tensors = _content(content)
    optimizer = described["optimizer"]
    arrays = {name: plain(tensor) for name, tensor in tensors.items()}
    state = {
        name: [arrays.get(f"optimizer.{name}.{i}", value) for i, value in enumerate(values)]
        for name, values in optimizer["state"].items()
    }
    parameters = {name.removeprefix("network."): each for name, each in arrays.items() if name.startswith("network.")}
    rates = optimizer["n_steps"], float(optimizer["learning_rate"]), optimizer["options"]
    state_of_training = parameters, described["random"], state, *rates
    return state_of_training, described["history"], described["unfinished"]
