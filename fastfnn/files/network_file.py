"""Networks written to and read from model files."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from numpy.typing import NDArray

from fastfnn._checks import unknown_name
from fastfnn.backends import get_backend
from fastfnn.files.container import fill, read_model, require_finite, write_model
from fastfnn.initializers import zeros
from fastfnn.layers import ELU, GELU, Dense, Dropout, Identity, Layer, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from fastfnn.losses import LOSSES, Loss, SoftmaxCrossEntropy
from fastfnn.model import Model

# Layers and losses that a model file may name.
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Identity, ReLU, Sigmoid, Tanh, LeakyReLU, ELU, Softplus, GELU, Dropout)
}
LOSSES_BY_CLASS: dict[str, type[Loss]] = {kind.__name__: kind for kind in LOSSES.values()}

M = TypeVar("M", bound=Model)


def save_network(path: str | os.PathLike[str], model: Model) -> None:
    """Write a network to a model file; see `fastfnn.Network.save`."""
    require_finite(model.parameters)
    write_model(path, model.architecture, model.parameters)


def load_network(kind: type[M], path: str | os.PathLike[str], backend: str) -> M:
    """Build a network of class `kind` from a model file; see `fastfnn.Network.load`."""
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
        model = kind(layers, backend, dtype, input_scale=input_scale, loss=loss)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} describes no network that this version can build: {error}") from error
    fill(model.parameters, tensors, path)
    model.predicts_columns = architecture.get("predicts_columns") is True
    return model


def layer_from(config: dict[str, Any], tensors: dict[str, NDArray[Any]], index: int) -> Layer:
    """Build a layer from a model file, without its weights; a tensor for them must exist and fit."""
    kind = config["type"]
    arguments = {name: value for name, value in config.items() if name != "type"}
    if kind == "Dense":
        layer = Dense(**arguments, initializer=zeros)
        # Checked before an array of the file's shape is allocated.
        found = tensors[f"{index}.weights"].shape if f"{index}.weights" in tensors else "none"
        if found != (layer.n_inputs, layer.n_outputs):
            raise ValueError(
                f"the tensors are of another architecture: {layer} needs weights of its shape; got {found}"
            )
        return layer
    if kind not in LAYERS:
        raise unknown_name("layer", kind, LAYERS)
    return LAYERS[kind](**arguments)


def loss_from(config: dict[str, Any]) -> Loss:
    """Build the loss from a model file."""
    arguments = {name: value for name, value in config.items() if name != "type"}
    if config["type"] not in LOSSES_BY_CLASS:
        raise unknown_name("loss", config["type"], LOSSES_BY_CLASS)
    return LOSSES_BY_CLASS[config["type"]](**arguments)
