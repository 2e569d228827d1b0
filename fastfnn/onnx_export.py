"""Networks as ONNX models, for the runtimes that read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastfnn_kernels import __version__
from numpy.typing import NDArray

from fastfnn.layers import Activation, Dense, Layer
from fastfnn.model_files import write_and_rename

if TYPE_CHECKING:
    from fastfnn.network import Network

# Of the operators and of the file: both of ONNX 1.15, of 2023, so that a runtime need not be the newest.
OPSET, IR_VERSION = 20, 9

# Bytes of a protocol buffer, which an ONNX file is.
LARGEST_FILE = 2**31 - 1

INPUT, OUTPUT = "X", "probabilities"


class Graph:
    """Operators in the order they run; values are known by their names.

    Parameters
    ----------
    onnx : module
        Makes the parts.

    Attributes
    ----------
    nodes, constants : list
        ONNX's messages.
    """

    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def apply(self, operator: str, *inputs: str, result: str | None = None, **attributes: float | str) -> str:
        """Add an operator, and return the name of its result."""
        name = f"{operator}_{len(self.nodes)}"
        result = result or name
        self.nodes.append(self._onnx.helper.make_node(operator, inputs, [result], name, **attributes))
        return result

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add an array, and return its name."""
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name


# Each activation of the value x in operators of ONNX.
ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda graph, x: x,
    "relu": lambda graph, x: graph.apply("Relu", x),
    "sigmoid": lambda graph, x: graph.apply("Sigmoid", x),
    "tanh": lambda graph, x: graph.apply("Tanh", x),
}


def write_onnx(path: str | os.PathLike[str], network: Network) -> None:
    """Write a network as an ONNX model beside `path` and rename it; see `Network.to_onnx`."""
    network.require_finite()
    n_bytes = sum(parameter.nbytes for parameter in network.parameters.values())
    if n_bytes > LARGEST_FILE:
        raise ValueError(
            f"an ONNX file holds up to {LARGEST_FILE:,} bytes; got parameters of {n_bytes:,}: "
            f"use float32, or smaller layers"
        )
    content = model_of(network).SerializeToString()
    write_and_rename(path, lambda beside: beside.write_bytes(content))


def model_of(network: Network) -> Any:
    """Return the `onnx.ModelProto` that computes what `Network.predict_proba` does."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ImportError(
            'an ONNX model is made by onnx, which is not installed: pip install "fastfnn[onnx]"'
        ) from error
    graph, value = Graph(onnx), INPUT
    for i, layer in enumerate(network.layers):
        value = _add_layer(graph, i, layer, value)
    graph.apply("Softmax", value, result=OUTPUT, axis=1)

    kind = onnx.helper.np_dtype_to_tensor_dtype(network.dtype)
    ends = [
        onnx.helper.make_tensor_value_info(name, kind, ["n_samples", width])
        for name, width in ((INPUT, network.n_inputs), (OUTPUT, network.n_outputs))
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "network", ends[:1], ends[1:], graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fastfnn",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, {"input_scale": repr(network.input_scale)})
    return model


def _add_layer(graph: Graph, i: int, layer: Layer, x: str) -> str:
    """Add a layer of the value x, and return the name of its output."""
    if not isinstance(layer, (Dense, Activation)) or layer.activation not in ACTIVATIONS:
        raise ValueError(
            f"ONNX export knows Dense and the layers of the activations {', '.join(ACTIVATIONS)}; "
            f"got {layer!r} as layer {i}: export a network without it"
        )
    if isinstance(layer, Dense):
        parameters = [graph.constant(f"{i}.{name}", array) for name, array in layer.parameters.items()]
        x = graph.apply("Gemm", x, *parameters)
    return ACTIVATIONS[layer.activation](graph, x)
