"""Networks to and from model files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastfnn.architecture import layer_from
from fastfnn.backends import get_backend
from fastfnn.losses import SoftmaxCrossEntropy, loss_from
from fastfnn.model_files import fill, read_model, require_finite, write_model

if TYPE_CHECKING:
    from fastfnn.network import Network


def save_network(path: str | os.PathLike[str], network: Network) -> None:
    """Write a network to a model file; see `Network.save`."""
    require_finite(network.parameters)
    write_model(path, network.architecture, network.parameters)


def load_network(kind: type[Network], path: str | os.PathLike[str], backend: str) -> Network:
    """Build a network of class `kind` as a model file describes it; see `Network.load`."""
    get_backend(backend)
    architecture, tensors = read_model(path)
    if architecture.get("kind") == "checkpoint":
        raise ValueError(
            f"{os.fspath(path)} is a checkpoint, not a model: load it with fastfnn.checkpoints.load_checkpoint"
        )
    try:
        layers = [layer_from(config, tensors, i) for i, config in enumerate(architecture["layers"])]
        dtype, input_scale = architecture["dtype"], architecture["input_scale"]
        loss = loss_from(architecture["loss"]) if "loss" in architecture else SoftmaxCrossEntropy()
        network = kind(layers, backend, dtype, input_scale=input_scale, loss=loss)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} describes no network that this version can build: {error}") from error
    fill(network.parameters, tensors, path)
    return network
