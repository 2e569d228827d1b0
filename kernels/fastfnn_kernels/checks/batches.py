"""Check of the arguments of `train_batches`."""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import (
    FLOAT64,
    FUSED_ACTIVATIONS,
    require_activation,
    require_another_output,
    require_array,
    require_floats,
    require_indices,
    require_integers,
    require_matrix,
    require_workspace,
)
from fastfnn_kernels.batches import (
    NUMBERS,
    STATES,
    RowLosses,
    Rule,
    Stack,
    StackLayer,
    StepOptions,
)
from fastfnn_kernels.checks.row_losses import require_kind, require_row_losses
from fastfnn_kernels.packing import PackedBatches
from fastfnn_kernels.workspace import Workspace

Arrays = dict[str, NDArray[Any] | None]


def train_batches(
    x: NDArray[Any] | PackedBatches,
    rows: NDArray[np.int64] | None,
    losses: RowLosses,
    stack: Stack,
    parameters: NDArray[Any],
    gradient: NDArray[Any],
    rule: Rule,
    options: StepOptions,
    workspace: Workspace | None = None,
) -> None:
    """Check the arguments of `train_batches`."""
    for name, argument, kind in (
        ("losses", losses, RowLosses),
        ("stack", stack, Stack),
        ("rule", rule, Rule),
        ("options", options, StepOptions),
    ):
        require_kind(name, argument, kind)
    of_stack = _checked(stack)
    if isinstance(x, PackedBatches):
        n_rows, values = _packed(x, rows, stack, options)
    else:
        n_rows, values = _samples(x, rows, stack.n_inputs)
    dtype = values.dtype
    require_row_losses(losses, n_rows, of_stack.n_outputs, dtype)
    _options(options, n_rows, len(stack.layers), of_stack.drops)
    others: Arrays = {"x": values, "losses.targets": losses.targets, "losses.weights": losses.weights}
    require_floats("parameters", parameters, 1)
    require_another_output("parameters", parameters, dtype, parameters.shape, others)
    if parameters.size < of_stack.n_parameters:
        raise ValueError(
            f"parameters must have at least {of_stack.n_parameters} numbers, where the layers' parameters end; "
            f"got {parameters.size}"
        )
    require_another_output("gradient", gradient, dtype, parameters.shape, others)
    _rule(rule, parameters, of_stack.n_tensors, others)
    require_workspace(workspace)


class _OfStack(NamedTuple):
    """Sizes that follow from the layers."""

    n_outputs: int
    n_tensors: int
    n_parameters: int  # up to the end of the last tensor
    drops: bool


def _checked(stack: Stack) -> _OfStack:
    """Check the layers, once for all calls with the same."""
    if type(stack.layers) is not tuple:
        raise TypeError(f"stack.layers must be a tuple of StackLayers; got {type(stack.layers).__name__}: convert it")
    return _sizes_of(stack)


@functools.lru_cache
def _sizes_of(stack: Stack) -> _OfStack:
    parts: list[tuple[int, int, str]] = []
    width, drops = stack.n_inputs, False
    _whole("stack.n_inputs", width)
    for i, layer in enumerate(stack.layers):
        name = f"stack.layers[{i}]"
        if not isinstance(layer, StackLayer):
            raise TypeError(f"{name} must be a StackLayer; got {type(layer).__name__}: build one")
        if layer.weights_at is None:
            _dropout_layer(name, layer, width)
            drops = drops or layer.drop_rate > 0
        else:
            parts += _dense_layer(name, layer, width)
        width = layer.n_outputs
    if not parts:
        raise ValueError(f"stack.layers must contain a layer with weights; got {stack.layers}: add a dense layer")
    if width == 0:
        raise ValueError(f"stack.layers must end with at least one output; got {stack.layers[-1]}")
    parts.sort()
    for (_, end, one), (first, _, other) in pairwise(parts):
        if first < end:
            raise ValueError(f"{other} begin at {first}, before {one} end at {end}: parameters must not overlap")
    return _OfStack(width, len(parts), max(end for _, end, _ in parts), drops)


def _dense_layer(name: str, layer: StackLayer, n_inputs: int) -> list[tuple[int, int, str]]:
    """Check a dense layer; return where its weights and its bias begin and end, and their names."""
    require_activation(layer.activation, FUSED_ACTIVATIONS)
    _whole(f"{name}.n_outputs", layer.n_outputs)
    if layer.drop_rate != 0:
        raise ValueError(f"{name}.drop_rate must be 0, as the layer has weights; got {layer.drop_rate}: add a layer")
    if not 0 <= layer.learning_rate_factor < math.inf:
        factor = layer.learning_rate_factor
        raise ValueError(f"{name}.learning_rate_factor must be a finite number from 0 up; got {factor}")
    parts = []
    for kind, at, size in (
        ("weights", layer.weights_at, n_inputs * layer.n_outputs),
        ("bias", layer.bias_at, layer.n_outputs),
    ):
        if at is not None:
            _whole(f"{name}.{kind}_at", at)
            parts.append((at, at + size, f"the {kind} of {name}"))
    return parts


def _dropout_layer(name: str, layer: StackLayer, n_inputs: int) -> None:
    """Check a dropout layer."""
    if layer.bias_at is not None or layer.activation != "identity":
        raise ValueError(f"{name} must have neither a bias nor an activation, as it has no weights; got {layer}")
    if layer.n_outputs != n_inputs:
        raise ValueError(f"{name}.n_outputs must be {n_inputs}, as the layer has no weights; got {layer.n_outputs}")
    if not 0 <= layer.drop_rate < 1:
        raise ValueError(f"{name}.drop_rate must lie from 0 to below 1; got {layer.drop_rate}")


def _whole(name: str, number: Any) -> None:
    if not isinstance(number, (int, np.integer)) or number < 0:
        raise ValueError(f"{name} must be a whole number from 0 up; got {number!r}")


def _samples(x: Any, rows: Any, n_inputs: int) -> tuple[int, NDArray[Any]]:
    """Check the inputs of all steps; return their number of rows and the array of their numbers."""
    require_floats("x", x, 2)
    require_matrix("x", x, x.dtype, None, n_inputs)
    require_indices("rows", rows, len(x), ", the rows of x")
    return len(rows), x


def _packed(x: PackedBatches, rows: Any, stack: Stack, options: StepOptions) -> tuple[int, NDArray[Any]]:
    """Check packed batches; return their number of rows and the array of their numbers."""
    require_floats("x.values", x.values, 2)
    n_rows, n_columns = x.shape
    if rows is not None:
        raise ValueError("rows must be None, as x holds packed batches, each with its rows")
    if n_columns != stack.n_inputs:
        raise ValueError(f"x must have {stack.n_inputs} columns, the inputs of the stack; got {n_columns}")
    if x.batch_size != options.batch_size and n_rows > min(x.batch_size, options.batch_size):
        raise ValueError(
            f"x must be packed in batches of options.batch_size, {options.batch_size}; got {x.batch_size}"
        )
    if stack.layers[0].weights_at is None:
        raise ValueError("stack.layers[0] must have weights, as x is packed; got a dropout layer")
    return n_rows, x.values


def _options(options: StepOptions, n_rows: int, n_layers: int, drops: bool) -> None:
    batch_size, seeds = options.batch_size, options.seeds
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"options.batch_size must be a whole number from 1 up; got {batch_size!r}")
    for name, bound in (("clip_value", options.clip_value), ("clip_norm", options.clip_norm)):
        if not bound > 0:
            raise ValueError(f"options.{name} must be a number above 0; got {bound}")
    if seeds is None:
        if drops:
            raise ValueError("options.seeds must be given, as a layer drops inputs; got None: draw one for each step")
        return
    require_integers("options.seeds", seeds, 2)
    shape = (-(-n_rows // batch_size), n_layers)
    if seeds.shape != shape:
        raise ValueError(f"options.seeds must have shape {shape}, one a step and layer; got {seeds.shape}")
    if seeds.size and np.minimum.reduce(seeds, axis=None) < 0:
        raise ValueError(f"options.seeds must lie from 0 to 2**63 - 1; got {seeds.min()}")


def _rule(rule: Rule, parameters: NDArray[Any], n_tensors: int, others: Arrays) -> None:
    if rule.name not in STATES:
        raise ValueError(f"rule.name must be one of {', '.join(STATES)}; got {rule.name!r}")
    if rule.numbers.keys() != NUMBERS[rule.name]:
        expected, got = (", ".join(sorted(names)) or "none" for names in (NUMBERS[rule.name], rule.numbers))
        raise ValueError(f"rule.numbers of {rule.name} must be {expected}; got {got}")
    if len(rule.states) != STATES[rule.name]:
        raise ValueError(f"rule.states of {rule.name} must have length {STATES[rule.name]}; got {len(rule.states)}")
    if rule.n_before < 0:
        raise ValueError(f"rule.n_before must be 0 or more; got {rule.n_before}")
    dtype, shape = parameters.dtype, parameters.shape
    if rule.name == "rmsprop_tensor":
        dtype, shape = FLOAT64, (n_tensors,)
    for i, state in enumerate(rule.states):
        name = f"rule.states[{i}]"
        require_array(name, state)
        if state.dtype != dtype:
            raise TypeError(
                f"{name} of {rule.name} must be {dtype}; got {state.dtype}: convert it with {name}.astype"
            )
        require_another_output(name, state, dtype, shape, others)
