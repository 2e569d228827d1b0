"""Networks written to and read from model files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import FLOAT_DTYPES, check_flag, unknown_name
from fastfnn.backends import get_backend
from fastfnn.data_form import from_entry, to_entry
from fastfnn.files.container import fill, read_model, write_model
from fastfnn.files.described import (
    Check,
    check_fields,
    check_finite_number,
    check_object,
    check_text,
    faults_naming,
    is_same,
    list_of,
    one_of,
)
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
T = TypeVar("T")
B = TypeVar("B", bound=Layer | Loss)

Fields = dict[str, Any]


# Fields of a model file; files that are older than the losses have none.
REQUIRED: dict[str, Check] = {
    "dtype": one_of(FLOAT_DTYPES),
    "input_scale": check_finite_number,
    "layers": list_of(check_object),
}
OPTIONAL: dict[str, Check] = {"loss": check_object, "data_form": check_object, "predicts_columns": check_flag}


def save_network(path: str | os.PathLike[str], model: Model) -> None:
    """Write a network to a model file; see `fastfnn.Network.save`."""
    described = model.architecture
    if model.data_form is not None:
        described["data_form"] = to_entry(model.data_form)
    write_model(path, described, model.parameters)


def load_network(kind: type[M], path: str | os.PathLike[str], backend: str) -> M:
    """Build a network of class `kind` from a model file; see `fastfnn.Network.load`."""
    get_backend(backend)
    architecture, tensors = read_model(path)
    if architecture.get("kind") == "checkpoint":
        raise ValueError(
            f"{os.fspath(path)} is a checkpoint, not a model: load it with fastfnn.checkpoints.load_checkpoint"
        )
    with faults_naming(path, "describes no network that this version can build"):
        fields = check_fields("the model", architecture, REQUIRED, OPTIONAL)
        layers = [layer_from(config, tensors, i) for i, config in enumerate(fields["layers"])]
        loss = loss_from(fields["loss"]) if "loss" in fields else SoftmaxCrossEntropy()
        model = kind(layers, backend, fields["dtype"], input_scale=fields["input_scale"], loss=loss)
        model.data_form = from_entry(fields.get("data_form"), model.n_inputs)
        model.predicts_columns = fields.get("predicts_columns", False)
        check_class_weight(model)
    fill(model.parameters, tensors, path)
    return model


def layer_from(config: dict[str, Any], tensors: dict[str, NDArray[Any]], index: int) -> Layer:
    """Build a layer from a model file, without its weights; a tensor for them must exist and fit."""
    kind, arguments = _kind_and_arguments("layer", config, LAYERS)
    if kind is not Dense:
        return _complete(kind(**arguments), arguments)
    layer = _complete(Dense(**arguments, initializer=zeros), arguments)
    # Checked before an array of the file's shape is allocated.
    found = tensors[f"{index}.weights"].shape if f"{index}.weights" in tensors else "none"
    if found != (layer.n_inputs, layer.n_outputs):
        raise ValueError(f"the tensors are of another architecture: {layer} needs weights of its shape; got {found}")
    return layer


def loss_from(config: dict[str, Any]) -> Loss:
    """Build the loss from a model file."""
    kind, arguments = _kind_and_arguments("loss", config, LOSSES_BY_CLASS)
    return _complete(kind(**arguments), arguments)


def check_class_weight(model: Model) -> None:
    """Check that the weights of classes fit the network, which `fit` would find too late.

    Raises
    ------
    ValueError
        If their number is not that of the outputs, or the network's dtype cannot hold one.
    """
    weights = model.loss.class_weight if isinstance(model.loss, SoftmaxCrossEntropy) else None
    if weights is None:
        return
    if len(weights) != model.n_outputs:
        raise ValueError(f"class_weight must have {model.n_outputs} numbers, one a class; got {len(weights)}")
    if weights.max() > np.finfo(model.dtype).max:
        raise ValueError(f"class_weight must hold numbers of {model.dtype}; got {weights.max()}")


def _kind_and_arguments(what: str, config: dict[str, Any], kinds: Mapping[str, type[T]]) -> tuple[type[T], Fields]:
    """Return the class that a description names, and the arguments that it holds."""
    name = check_text("type", config.get("type"))
    if name not in kinds:
        raise unknown_name(what, name, kinds)
    return kinds[name], {key: value for key, value in config.items() if key != "type"}


def _complete(built: B, arguments: Fields) -> B:
    """Return what was built from these arguments, if it has all of them and none was left to its default."""
    for name, value in built.config().items():
        if name not in arguments:
            raise ValueError(f"{built!r} lacks {name}")
        if not is_same(value, arguments[name]):
            raise ValueError(f"{built!r} has the {name} {value!r}; got {arguments[name]!r}")
    return built
