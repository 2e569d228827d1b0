"""Layers in a row: whether they fit, and how a model file describes them."""

from __future__ import annotations

from collections.abc import Sequence
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


def output_widths(layers: Sequence[Layer]) -> list[int]:
    """Return the width of every layer's output.

    Raises
    ------
    TypeError
        If there is something else than layers.
    ValueError
        If there is no Dense layer, a layer stands twice, or two widths do not fit.
    """
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must be instances of Layer, such as ReLU(); got {layer!r}")
    if not any(isinstance(layer, Dense) for layer in layers):
        raise ValueError("a network needs at least one Dense layer")
    if len({id(layer) for layer in layers}) != len(layers):
        raise ValueError("a layer stands twice in the network: make one for each place")
    widths: list[int | None] = []
    for layer in layers:
        widths.append(layer.n_outputs_for(widths[-1] if widths else None))
    first_dense = next(layer for layer in layers if isinstance(layer, Dense))
    return [first_dense.n_inputs if width is None else width for width in widths]
