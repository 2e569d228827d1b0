"""Obstacles: each function returns why a faster path cannot be used, or None if it can."""

from __future__ import annotations

from typing import Any

from fastfnn_kernels.arguments import FUSED_ACTIVATIONS

from fastfnn.execution import thresholds
from fastfnn.execution.options import Options
from fastfnn.inputs.density import DataProfile
from fastfnn.layers import Dense, Dropout, Layer
from fastfnn.losses import Loss, SoftmaxCrossEntropy
from fastfnn.model import Model
from fastfnn.optimizers import SGD, Optimizer
from fastfnn.parameters import FlatArrays


def to_one_call(model: Model) -> str | None:
    """Return why no kernel computes all layers in one call; a class derived from Dense may compute more."""
    for layer in model.layers:
        if type(layer) is not Dense or layer.activation not in FUSED_ACTIVATIONS:
            return f"{named(layer)} is not among the layers of one kernel"
    return None


def to_few_rows(model: Model, data: DataProfile) -> str | None:
    """Return why outputs are not computed in one call."""
    obstacle = to_one_call(model)
    if obstacle is not None:
        return obstacle
    if data.is_sparse:
        return "X is a sparse array"
    most = most_few_rows(model)
    return f"there are more than {most} rows" if data.n_rows > most else None


def most_few_rows(model: Model) -> int:
    """Return the number of rows up to which one kernel predicts through all layers."""
    n_bytes = parameter_bytes(model)
    return next(rows for most_bytes, rows in thresholds.FEW_ROWS_BY_BYTES if n_bytes <= most_bytes)


def to_whole_stack(model: Model, packed: bool) -> str | None:
    """Return why a gradient is not computed in one call."""
    obstacle = to_one_call(model)
    if obstacle is not None:
        return obstacle
    if not model.loss.has_row_losses:
        return f"the loss is {model.loss!r}"
    if packed:
        return "inputs are packed"
    parameters, n_bytes = model.parameter_arrays, parameter_bytes(model)
    if n_bytes > thresholds.WHOLE_STACK_BYTES:
        return f"the parameters take {n_bytes:,} bytes, more than {thresholds.WHOLE_STACK_BYTES:,}"
    if not (isinstance(parameters, FlatArrays) and parameters.layout.is_contiguous):
        return f"the parameters, {n_bytes:,} bytes, are not stored without gaps"
    return None


def to_output_layer(model: Model, data: DataProfile) -> str | None:
    """Return why the output layer is not computed together with the loss."""
    last = model.layers[-1]
    if not _is_plain_softmax(model.loss):
        return f"the loss is {model.loss!r}"
    if data.is_weighted:
        return "samples have weights"
    if len(model.layers) == 1:
        return "there is no layer before the output layer"
    if not (type(last) is Dense and last.activation == "identity"):
        return f"the last layer, {named(last)}, is not a Dense layer without activation"
    before = model.layers[-2]
    if before.activation not in FUSED_ACTIVATIONS:
        return f"the activation before the output layer, {before.activation}, is not fused"
    if last.weights.nbytes > thresholds.OUTPUT_LAYER_BYTES:
        return f"the output layer's weights take {last.weights.nbytes:,} bytes"
    return None


def to_sgd_kernels(
    model: Model, data: DataProfile, options: Options, optimizer: Optimizer, packed_rows: int
) -> str | None:
    """Return why one call does not take many steps; `packed_rows` are those of a packed block, 0 for dense inputs."""
    size = options.batch_size
    if options.communicator is not None:
        return "the gradients of shares are added in every step"
    if size is None:
        return "a full batch has one step an epoch"
    # A class derived from SGD may compute more.
    if type(optimizer) is not SGD or optimizer.momentum:
        return f"the optimizer, {type(optimizer).__name__}, is not plain SGD"
    if options.penalty:
        return "there is a penalty (l2 or l2_bias)"
    if options.clipping:
        return "gradients are clipped"
    if has_rate_factors(model):
        return "layers have learning rate factors"
    if data.is_weighted:
        return "samples have weights"
    if any(map(_reads_gradients, options.step_callbacks)):
        return "a step callback reads gradients"
    if not _is_plain_softmax(model.loss):
        return f"the loss is {model.loss!r}"
    obstacle = to_one_call(model)
    if obstacle is not None:
        return obstacle
    if size > 1 and packed_rows == 0:
        return "batches of dense inputs are not among the kernels of SGD"
    largest = min(thresholds.SGD_BATCH_ROWS, packed_rows or thresholds.SGD_BATCH_ROWS)
    if size > largest:
        return f"batches have more than {largest:,} rows"
    if callable(options.shuffle):
        return None  # an epoch has as many batches as the function chooses
    n_used = data.n_rows // size * size if options.drop_last else data.n_rows
    return "an epoch has one batch" if size >= n_used else None


def to_batches(
    model: Model, data: DataProfile, options: Options, optimizer: Optimizer, rows_of_block: int
) -> str | None:
    """Return why one call does not take many steps of any optimizer."""
    size = options.batch_size
    if options.communicator is not None:
        return "the gradients of shares are added in every step"
    if size is None:
        return "a full batch has one step an epoch"
    if not optimizer.has_rule:
        return f"the optimizer, {type(optimizer).__name__}, is a class of its own"
    for layer in model.layers:
        if type(layer) is not Dropout and (type(layer) is not Dense or layer.activation not in FUSED_ACTIVATIONS):
            return f"{named(layer)} is not among the layers of one kernel"
    if not model.loss.has_row_losses:
        return f"the loss is {model.loss!r}"
    return f"batches have more than {rows_of_block:,} rows" if size > rows_of_block else None


def named(layer: Layer) -> str:
    """Return the name of a layer in a reason: its repr, or its class if the repr does not name that."""
    kind = type(layer).__name__
    return repr(layer) if repr(layer).startswith(f"{kind}(") else kind


def _is_plain_softmax(loss: Loss) -> bool:
    """Tell whether a loss is exactly softmax cross-entropy, without label smoothing; a derived class may do more."""
    return type(loss) is SoftmaxCrossEntropy and loss.label_smoothing == 0


def _reads_gradients(callback: Any) -> bool:
    """Tell whether a callback, the object of a method, or the function of a partial says that it reads gradients."""
    function = getattr(callback, "func", None)
    parts = (callback, getattr(callback, "__self__", None), function, getattr(function, "__self__", None))
    return any(getattr(part, "reads_gradients", False) for part in parts)


def has_rate_factors(model: Model) -> bool:
    """Tell whether a layer has a learning rate factor other than 1."""
    return any(layer.learning_rate_factor != 1 for layer in model.layers if layer.parameters)


def parameter_bytes(model: Model) -> int:
    """Return the bytes of all parameters."""
    return sum(array.nbytes for array in model.parameter_arrays)
