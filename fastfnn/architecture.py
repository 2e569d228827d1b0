"""Layers in a row: whether they fit, and how a model file describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastfnn.initializers import zeros
from fastfnn.layers import ELU, GELU, Dense, Dropout, Identity, Layer, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from fastfnn.names import unknown_name

# The layers that a model file may name.
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Identity, ReLU, Sigmoid, Tanh, LeakyReLU, ELU, Softplus, GELU, Dropout)
}


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
    if kind not in LAYERS:
        raise unknown_name("layer", kind, LAYERS)
    return LAYERS[kind](**arguments)


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
