"""Layers as the entries of a model file, and back."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastfnn.initializers import zeros
from fastfnn.layers import Activation, Dense, Layer


def describe_layer(layer: Layer) -> dict[str, Any]:
    """Return what `layer_from` makes a layer like this one of."""
    return {"type": type(layer).__name__, **layer.config()}


def layer_from(config: dict[str, Any], tensors: dict[str, NDArray[Any]], index: int) -> Layer:
    """Build a layer of a model file; its weights, which must be there, follow."""
    kind = config["type"]
    arguments = {name: value for name, value in config.items() if name != "type"}
    if kind == "Dense":
        layer = Dense(**arguments, initializer=zeros)
        # Looked at before an array of the shape that the file names is made.
        found = tensors[f"{index}.weights"].shape if f"{index}.weights" in tensors else "none"
        if found != (layer.n_inputs, layer.n_outputs):
            raise ValueError(
                f"the tensors are of another architecture: {layer} needs weights of its shape; got {found}"
            )
        return layer
    activation = next((known for known in Activation.__subclasses__() if known.__name__ == kind), None)
    if activation is None:
        raise ValueError(f"unknown layer {kind!r}")
    return activation(**arguments)
