"""Networks as ONNX models, for the runtimes that read them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np
from fastfnn_kernels import __version__
from fastfnn_kernels.reference.activations import LEAK
from fastfnn_kernels.reference.gelu import CUBIC, SLOPE
from numpy.typing import NDArray

from fastfnn.data_form import to_entry
from fastfnn.files.atomic import write_and_rename
from fastfnn.files.container import require_finite
from fastfnn.layers import (
    ELU,
    GELU,
    Activation,
    Dense,
    Dropout,
    Identity,
    Layer,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
)
from fastfnn.losses import BinaryCrossEntropy, Huber, Loss, MeanSquaredError, Poisson, SoftmaxCrossEntropy
from fastfnn.model import Model

# Versions of the operators and of the file, both from ONNX 1.15 (2023): a runtime need not be the newest.
OPSET, IR_VERSION = 20, 9

# Largest size of an ONNX file, which is a protocol buffer, in bytes.
LARGEST_FILE = 2**31 - 1

# Largest number of bytes that the operators of a layer and its names take.
BYTES_OF_LAYER = 2000

INPUT = "X"


class Graph:
    """Operators in the order they run, and the arrays they need.

    Parameters
    ----------
    onnx : module
        The onnx package, which creates the parts.
    dtype : dtype
        dtype of all values.

    Attributes
    ----------
    nodes : list
        ONNX messages of the operators.
    constants : dict
        ONNX messages of the arrays, by name.
    """

    def __init__(self, onnx: ModuleType, dtype: np.dtype[Any]) -> None:
        self._onnx = onnx
        self._dtype = dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def apply(self, operator: str, *inputs: Value, result: str | None = None) -> Value:
        """Add an operator, and return its result."""
        name = f"{operator}_{len(self.nodes)}"
        result = result or name
        names = [value.name for value in inputs]
        self.nodes.append(self._onnx.helper.make_node(operator, names, [result], name))
        return Value(self, result)

    def constant(self, name: str, array: NDArray[Any]) -> Value:
        """Add an array, unless there is one of that name."""
        if name not in self.constants:
            self.constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return Value(self, name)

    def number(self, number: float) -> Value:
        """Add a number."""
        return self.constant(repr(number), np.array(number, self._dtype))


class Value:
    """A named value of a graph; operators applied to it are added to the graph."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def apply(self, operator: str, *others: Value | float) -> Value:
        """Apply an operator to this value and others, and return its result."""
        values = [other if isinstance(other, Value) else self.graph.number(other) for other in others]
        return self.graph.apply(operator, self, *values)

    def __neg__(self) -> Value:
        return self.apply("Neg")

    def __add__(self, other: Value | float) -> Value:
        return self.apply("Add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self.apply("Sub", other)

    def __mul__(self, other: Value | float) -> Value:
        return self.apply("Mul", other)


def gelu(x: Value) -> Value:
    """Return x / (1 + exp(-u)), like `fastfnn_kernels.reference.gelu_forward`."""
    u = (x + x * x * x * CUBIC) * SLOPE
    return x * u.apply("Sigmoid")


# Outputs of the layers without parameters, in operators that runtimes have for both dtypes: onnxruntime computes
# ONNX's LeakyRelu, Elu and Softplus for float32 only, and its Gelu keeps at most 8 digits of float64.
FORMULAS: dict[type[Layer], Callable[[Value], Value]] = {
    Identity: lambda x: x,
    ReLU: lambda x: x.apply("Relu"),
    Sigmoid: lambda x: x.apply("Sigmoid"),
    Tanh: lambda x: x.apply("Tanh"),
    LeakyReLU: lambda x: x.apply("Max", x * LEAK),
    ELU: lambda x: x.apply("Relu") + (x.apply("Min", 0.0).apply("Exp") - 1.0),
    Softplus: lambda x: x.apply("Relu") + ((-x.apply("Abs")).apply("Exp") + 1.0).apply("Log"),
    GELU: gelu,
    Dropout: lambda x: x,
}

# Layers that compute an activation of Dense, by the activation's name.
ACTIVATIONS = {kind.activation: kind for kind in FORMULAS if issubclass(kind, Activation)}

# Meaning of the last layer's outputs for each loss: the name of the result, and the operator that computes it.
MEANINGS: dict[type[Loss], tuple[str, str]] = {
    SoftmaxCrossEntropy: ("probabilities", "Softmax"),
    BinaryCrossEntropy: ("probabilities", "Sigmoid"),
    MeanSquaredError: ("predictions", "Identity"),
    Huber: ("predictions", "Identity"),
    Poisson: ("predictions", "Exp"),
}


def write_onnx(path: str | os.PathLike[str], network: Model) -> None:
    """Write a network as an ONNX model beside `path` and rename it; see `Network.to_onnx`."""
    require_finite(network.parameters)
    n_bytes = sum(parameter.nbytes for parameter in network.parameters.values())
    if n_bytes > LARGEST_FILE - BYTES_OF_LAYER * len(network.layers):
        raise ValueError(
            f"an ONNX file holds up to {LARGEST_FILE:,} bytes; got parameters of {n_bytes:,}: "
            f"use float32, or smaller layers"
        )
    content = model_of(network).SerializeToString()
    write_and_rename(path, content)


def model_of(network: Model) -> Any:
    """Return the `onnx.ModelProto` that computes the network's probabilities or predictions."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ImportError(
            'an ONNX model is made by onnx, which is not installed: pip install "fastfnn[onnx]"'
        ) from error
    graph = Graph(onnx, network.dtype)
    value = Value(graph, INPUT)
    for i, layer in enumerate(network.layers):
        value = _output_of(layer, i, value)
    output, operator = _meaning_of(network.loss)
    graph.apply(operator, value, result=output)

    kind = onnx.helper.np_dtype_to_tensor_dtype(network.dtype)
    ends = [
        onnx.helper.make_tensor_value_info(name, kind, ["n_samples", width])
        for name, width in ((INPUT, network.n_inputs), (output, network.n_outputs))
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "network", ends[:1], ends[1:], list(graph.constants.values())),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fastfnn",
        producer_version=__version__,
    )
    properties = {"input_scale": repr(network.input_scale)}
    if network.data_form is not None:
        properties["data_form"] = json.dumps(to_entry(network.data_form))
    onnx.helper.set_model_props(model, properties)
    return model


def _output_of(layer: Layer, i: int, x: Value) -> Value:
    """Return the i-th layer's output for x; derived classes may compute more, so they are rejected."""
    kind = type(layer)
    if type(layer) is Dense:
        x = x.apply("Gemm", *[x.graph.constant(f"{i}.{name}", array) for name, array in layer.parameters.items()])
        kind = ACTIVATIONS[layer.activation]
    if kind not in FORMULAS:
        known = f"Dense and {_names(FORMULAS)}"
        raise ValueError(f"ONNX export knows {known}; got {layer!r} as layer {i}: export a network without it")
    return FORMULAS[kind](x)


def _meaning_of(loss: Loss) -> tuple[str, str]:
    if type(loss) not in MEANINGS:
        raise ValueError(
            f"ONNX export knows the losses {_names(MEANINGS)}; got the loss {loss!r}: "
            f"export a network of the same layers with one of these"
        )
    return MEANINGS[type(loss)]


def _names(kinds: Iterable[type]) -> str:
    return ", ".join(kind.__name__ for kind in kinds)
