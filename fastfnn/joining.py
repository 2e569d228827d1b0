"""The parameters of a small network in one vector, and so their gradients: what changes them all is called once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from fastfnn.layers import Dense, Gradient, Layer
from fastfnn.memory import SMALL_BYTES
from fastfnn.parts import Parts, parts_or_list


def parameters_of(layers: Sequence[Layer]) -> Sequence[NDArray[Any]]:
    """Return all parameters, layer by layer; they are moved into one vector if they are few and not in one yet."""
    arrays = [array for layer in layers for array in layer.parameters.values()]
    movable = all(type(layer) is Dense or not layer.parameters for layer in layers)
    if not movable or sum(array.nbytes for array in arrays) > SMALL_BYTES:
        return arrays
    parts = parts_or_list(arrays)
    if not isinstance(parts, Parts):
        parts = Parts.copied(arrays)
        for layer, of_layer in _by_layer(layers, parts):
            if isinstance(layer, Dense):
                layer.move_parameters(**of_layer)
    return parts


def start_gradients(layers: Sequence[Layer], parameters: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
    """Set the gradient of each layer to zeros, in one vector where the parameters are; return them in order."""
    if isinstance(parameters, Parts):
        parts = parameters.filled(0)
        for layer, of_layer in _by_layer(layers, parts):
            layer.gradient = Gradient(**of_layer)
        return parts
    for layer in layers:
        layer.start_gradient()
    return [getattr(layer.gradient, name) for layer in layers for name in layer.parameters]


def _by_layer(layers: Sequence[Layer], arrays: Parts) -> Iterator[tuple[Layer, dict[str, NDArray[Any]]]]:
    """Yield each layer with its arrays, which are named as its parameters are."""
    in_order = iter(arrays)
    for layer in layers:
        yield layer, {name: next(in_order) for name in layer.parameters}
