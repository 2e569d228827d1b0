"""Weights in safetensors files under the names of PyTorch's `state_dict`; PyTorch itself is not needed.

The names are those of the `torch.nn.Sequential` that computes the last layer's outputs, without the softmax, sigmoid
or exponential of the loss. There, the activation of a `Dense` is a separate module, like every other layer:
Dense(784, 256, "relu"), Dropout(), Dense(256, 10) is Linear, ReLU, Dropout, Linear, with the parameters "0.weight",
"0.bias", "3.weight" and "3.bias". A "weight" has shape (n_outputs, n_inputs): it is the transpose of `Dense.weights`.
`GELU` is PyTorch's GELU(approximate="tanh"); the other activations are PyTorch's modules with default arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fastfnn.files.atomic import write_and_rename
from fastfnn.files.container import require_finite
from fastfnn.files.described import in_brief
from fastfnn.files.tensor_file import Entry, opened
from fastfnn.layers import Dense
from fastfnn.model import Model

NAME = re.compile(r"(?P<number>0|[1-9][0-9]{0,8})\.(?P<parameter>weight|bias)")

# Names of a network's dtypes in safetensors.
KINDS = {"float32": "F32", "float64": "F64"}


def save_state_dict(path: str | os.PathLike[str], network: Model) -> None:
    """Write a network's weights as a `state_dict` that `safetensors.torch.load_file` reads.

    The file does not hold `input_scale`: in PyTorch, multiply bytes by it first.

    Parameters
    ----------
    path : path-like
        The file.
    network : Network
        Network of Dense layers, and of layers without parameters.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file stays unchanged.
    ValueError
        If a parameter holds NaN or inf, or a layer other than Dense has parameters.
    """
    require_finite(network.parameters)
    tensors = {name: np.ascontiguousarray(view) for name, view in named_views(network).items()}
    content = save(tensors, {"format": "pt"})
    write_and_rename(path, content)


def load_state_dict(path: str | os.PathLike[str], network: Model) -> None:
    """Read a network's weights from a `state_dict` that `safetensors.torch.save_file` or `save_state_dict` wrote.

    Layer numbers in the file may differ from the network's, for example if a Sequential has extra modules: both are
    matched in increasing order. The file holds no checksum: a damaged header is detected, a wrong bit in a weight is
    not.

    Parameters
    ----------
    path : path-like
        The file.
    network : Network
        Network of the same widths, biases and dtype; its parameters are overwritten.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or damaged, its names, shapes or dtypes do not fit, or it holds NaN or inf; nothing
        is changed then.
    """
    views = named_views(network)
    with opened(path) as file:
        names = _names_in_file(file.entries, views, path)
        for name, view in views.items():
            _check_form(file.entries[names[name]], view, names[name], path)
        tensors = {name: file.read(names[name]) for name in views}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(
                f"{os.fspath(path)}: {names[name]} holds NaN or inf: save the weights before they diverge"
            )
    for name, view in views.items():
        view[...] = tensors[name]


def named_views(network: Model) -> dict[str, NDArray[Any]]:
    """Return views of a network's parameters under the names of a `state_dict`.

    Raises
    ------
    ValueError
        If a layer other than Dense has parameters.
    """
    views: dict[str, NDArray[Any]] = {}
    position = 0
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Dense):
            views[f"{position}.weight"] = layer.weights.T
            if layer.bias is not None:
                views[f"{position}.bias"] = layer.bias
            position += layer.activation != "identity"
        elif layer.parameters:
            raise ValueError(
                f"a state_dict can hold parameters of Dense layers only; got {layer!r} as layer {i}: "
                f"save the network with Network.save"
            )
        position += 1
    return views


def _names_in_file(found: Iterable[str], expected: Iterable[str], path: str | os.PathLike[str]) -> dict[str, str]:
    """Map each name in the network to the name in the file."""
    in_file, in_network = _by_place(found), _by_place(expected)
    if in_file.keys() != in_network.keys():
        got = in_brief(repr(list(in_file.values())))
        raise ValueError(
            f"{os.fspath(path)} is of another architecture: expected {list(in_network.values())}, or other numbers "
            f"in the same order; got {got}: rename the tensors, or build a network of those layers"
        )
    return {name: in_file[place] for place, name in in_network.items()}


def _by_place(names: Iterable[str]) -> dict[tuple[int, str], str]:
    """Return names in layer order, keyed by the layer's position among those with parameters.

    A name of another form is its own key, before all layers.
    """
    matches = {name: NAME.fullmatch(name) for name in names}
    numbers = sorted({int(match["number"]) for match in matches.values() if match})
    place_of = {number: place for place, number in enumerate(numbers)}
    places = {
        (place_of[int(match["number"])], match["parameter"]) if match else (-1, name): name
        for name, match in matches.items()
    }
    return dict(sorted(places.items()))


def _check_form(tensor: Entry, view: NDArray[Any], name: str, path: str | os.PathLike[str]) -> None:
    """Check dtype and shape, which are known before a tensor is read."""
    expected = KINDS[view.dtype.name], view.shape
    if (tensor.dtype, tensor.shape) != expected:
        found = in_brief(f"{tensor.dtype} {tensor.shape}")
        raise ValueError(
            f"{os.fspath(path)}: {name} should be {expected[0]} {expected[1]}; got {found}: "
            f"convert the state_dict, or build the network with its dtype and widths"
        )
