"""What every kernel asks of its arguments, checked before anything is computed or written.

`checked` puts the check of the same name in front of a kernel. Both backends are wrapped by it, so that they
refuse the same arguments with the same words, and neither the reference nor the jitted code checks anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import Compressed, Packed, PackedBatches

ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
SOURCES = (np.dtype(np.uint8), *DTYPES)

P = ParamSpec("P")
R = TypeVar("R")


def checked(kernel: Callable[P, R]) -> Callable[P, R]:
    """Return the kernel with the check of its name before it."""
    check = _CHECKS[kernel.__name__]

    @functools.wraps(kernel)
    def checked_kernel(*args: P.args, **kwargs: P.kwargs) -> R:
        check(*args, **kwargs)
        return kernel(*args, **kwargs)

    return checked_kernel


def dense_forward(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `dense_forward`."""
    _floats("x", x, 2)
    _like("weights", weights, x.dtype, (x.shape[1], None))
    _forward_rest(x.shape[0], weights, bias, activation, out, ("x", x))


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None) -> None:
    """Check the arguments of `pack_rows` and `compress_rows`."""
    _source("x", x)
    _target(dtype)
    if rows is not None:
        _integers("rows", rows)
        _range("rows", rows, len(x), "the rows of x")


def pack_batches(
    x: NDArray[Any], dtype: Any, batch_size: int, scale: float = 1.0, rows: NDArray[np.int64] | None = None
) -> None:
    """Check the arguments of `pack_batches`."""
    pack_rows(x, dtype, scale, rows)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")


def similar_rows(x: NDArray[Any]) -> None:
    """Check the argument of `similar_rows`."""
    _source("x", x)


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `sparse_forward`."""
    _packed("rows", rows)
    _like("weights", weights, rows.values.dtype, (rows.shape[1], None))
    _forward_rest(rows.shape[0], weights, bias, activation, out)


def dense_weight_gradient(
    x: NDArray[Any],
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> None:
    """Check the arguments of `dense_weight_gradient`."""
    _floats("x", x, 2)
    _like("grad", grad, x.dtype, (x.shape[0], None))
    _gradient_rest(x.shape[1], grad, out, out_bias, ("x", x))


def sparse_weight_gradient(
    rows: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> None:
    """Check the arguments of `sparse_weight_gradient`."""
    _packed("rows", rows)
    _like("grad", grad, rows.values.dtype, (rows.shape[0], None))
    _gradient_rest(rows.shape[1], grad, out, out_bias)


def dense_input_gradient(
    grad: NDArray[Any],
    weights: NDArray[Any],
    x: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `dense_input_gradient`."""
    _floats("grad", grad, 2)
    _like("weights", weights, grad.dtype, (None, grad.shape[1]))
    _activation(activation)
    shape = (grad.shape[0], weights.shape[0])
    if x is not None:
        _like("x", x, grad.dtype, shape)
    elif activation != "identity":
        raise ValueError(f"x is needed for the derivative of {activation}: pass the layer's inputs, of shape {shape}")
    if out is not None:
        _output("out", out, grad.dtype, shape, ("grad", grad), ("weights", weights), ("x", grad if x is None else x))


def stack_forward(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    skip_zeros: bool = False,
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `stack_forward`."""
    _floats("x", x, 2)
    _same_lengths(weights, biases, activations)
    width: int = x.shape[1]
    for layer, (w, b, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        _like(f"weights[{layer}]", w, x.dtype, (width, None))
        width = w.shape[1]
        if b is not None:
            _like(f"biases[{layer}]", b, x.dtype, (width,))
        _activation(activation)
    if out is not None:
        arrays = (("x", x), *((f"weights[{layer}]", w) for layer, w in enumerate(weights)))
        others = ((f"biases[{layer}]", b) for layer, b in enumerate(biases) if b is not None)
        _output("out", out, x.dtype, (x.shape[0], width), *arrays, *others)


def activation_forward(z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `activation_forward`."""
    _floats("z", z, 2)
    _activation(activation)
    if out is not None:
        _output("out", out, z.dtype, z.shape, ("z", z))


def activation_gradient(
    y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
) -> None:
    """Check the arguments of `activation_gradient`."""
    _floats("y", y, 2)
    _like("grad", grad, y.dtype, y.shape)
    _activation(activation)
    if out is not None:
        _output("out", out, y.dtype, y.shape, ("y", y), ("grad", grad))


def softmax(logits: NDArray[Any], out: NDArray[Any] | None = None) -> None:
    """Check the arguments of `softmax`."""
    _logits(logits)
    if out is not None:
        _output("out", out, logits.dtype, logits.shape, ("logits", logits))


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    scale: float | None = None,
    out: NDArray[Any] | None = None,
) -> None:
    """Check the arguments of `softmax_cross_entropy`."""
    _logits(logits)
    _labels(labels, *logits.shape)
    if out is not None:
        _output("out", out, logits.dtype, logits.shape, ("logits", logits))


def count_correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> None:
    """Check the arguments of `count_correct`."""
    _logits(logits)
    _labels(labels, *logits.shape)


def sgd_samples(
    samples: Compressed,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> None:
    """Check the arguments of `sgd_samples`."""
    _compressed("samples", samples)
    _sgd_rest("samples", samples, labels, weights, biases, activations)


def sgd_batches(
    batches: PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> None:
    """Check the arguments of `sgd_batches`."""
    _packed_batches("batches", batches)
    _sgd_rest("batches", batches, labels, weights, biases, activations)


def sgd(parameter: NDArray[Any], gradient: NDArray[Any], learning_rate: float) -> None:
    """Check the arguments of `sgd`."""
    _update(parameter, gradient)


def momentum(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    velocity: NDArray[Any],
    learning_rate: float,
    momentum: float,
    nesterov: bool = False,
) -> None:
    """Check the arguments of `momentum`."""
    _update(parameter, gradient, velocity=velocity)


def rmsprop(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: NDArray[Any],
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Check the arguments of `rmsprop`."""
    _update(parameter, gradient, mean_square=mean_square)


def rmsprop_tensor(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: float,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Check the arguments of `rmsprop_tensor`."""
    _update(parameter, gradient)


def adamw(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    first_moment: NDArray[Any],
    second_moment: NDArray[Any],
    step: int,
    *scalars: float,
    **named_scalars: float,
) -> None:
    """Check the arguments of `adamw` and `adam`."""
    _update(parameter, gradient, first_moment=first_moment, second_moment=second_moment)
    if step < 1:
        raise ValueError(f"step must be 1 for the first step and grow from there; got {step}")


def squared_norm(values: NDArray[Any]) -> None:
    """Check the arguments of `squared_norm`."""
    _floats("values", values, None)


def _forward_rest(
    n_rows: int,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    activation: str,
    out: NDArray[Any] | None,
    *inputs: tuple[str, NDArray[Any]],
) -> None:
    n_outputs = weights.shape[1]
    _activation(activation)
    if bias is not None:
        _like("bias", bias, weights.dtype, (n_outputs,))
    if out is not None:
        others = (("weights", weights), ("bias", weights if bias is None else bias))
        _output("out", out, weights.dtype, (n_rows, n_outputs), *inputs, *others)


def _gradient_rest(
    n_inputs: int,
    grad: NDArray[Any],
    out: NDArray[Any] | None,
    out_bias: NDArray[Any] | None,
    *inputs: tuple[str, NDArray[Any]],
) -> None:
    if out is not None:
        _output("out", out, grad.dtype, (n_inputs, grad.shape[1]), *inputs, ("grad", grad))
    if out_bias is not None:
        others = (("grad", grad), ("out", grad if out is None else out))
        _output("out_bias", out_bias, grad.dtype, (grad.shape[1],), *inputs, *others)


def _sgd_rest(
    name: str,
    x: Compressed | PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
) -> None:
    _same_lengths(weights, biases, activations)
    others = [(f"{name}.values", x.values)]
    width: int = x.shape[1]
    for layer, (w, b, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        _parameter(f"weights[{layer}]", w, x.values.dtype, (width, None), others)
        width = w.shape[1]
        if b is not None:
            _parameter(f"biases[{layer}]", b, x.values.dtype, (width,), others)
        _activation(activation)
    if width == 0:
        raise ValueError(
            f"weights[{len(weights) - 1}] must have at least one column, a class; got {weights[-1].shape}"
        )
    _labels(labels, x.shape[0], width)


def _same_lengths(weights: Sequence[Any], biases: Sequence[Any], activations: Sequence[Any]) -> None:
    if not len(weights) == len(biases) == len(activations) > 0:
        lengths = f"{len(weights)}, {len(biases)} and {len(activations)}"
        raise ValueError(f"weights, biases and activations must have an element for each layer; got {lengths}")


def _update(parameter: NDArray[Any], gradient: NDArray[Any], **state: NDArray[Any]) -> None:
    _floats("parameter", parameter, None)
    _like("gradient", gradient, parameter.dtype, parameter.shape)
    others = [("gradient", gradient)]
    for name, array in (("parameter", parameter), *state.items()):
        _parameter(name, array, parameter.dtype, parameter.shape, others)


def _parameter(
    name: str,
    array: Any,
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...],
    others: list[tuple[str, NDArray[Any]]],
) -> None:
    """Refuse what cannot be trained, and add the parameter to the others."""
    _output(name, array, dtype, shape, *others)
    others.append((name, array))


# The four functions below look first whether all is well, in as few steps as Python allows: a call of a small kernel
# takes no longer than they do. What is wrong is found out afterwards.


def _array(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(array).__name__}: convert it with numpy.asarray")


def _floats(name: str, array: Any, ndim: int | None) -> None:
    """Refuse what is not a C-contiguous float array of `ndim` dimensions (any, when None)."""
    if (
        type(array) is np.ndarray
        and array.dtype in DTYPES
        and (ndim is None or array.ndim == ndim)
        and array.flags.c_contiguous
    ):
        return
    _array(name, array)
    if array.dtype not in DTYPES:
        raise TypeError(f"{name} must be float32 or float64; got {array.dtype}: convert it with {name}.astype")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions; got shape {array.shape}")
    _contiguous(name, array)


def _source(name: str, array: Any) -> None:
    """Refuse what cannot be packed: anything but a C-contiguous matrix of pixels or floats."""
    _array(name, array)
    if array.dtype not in SOURCES:
        raise TypeError(f"{name} must be uint8, float32 or float64; got {array.dtype}: convert it with {name}.astype")
    if array.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions; got shape {array.shape}")
    _contiguous(name, array)


def _target(dtype: Any) -> None:
    if np.dtype(dtype) not in DTYPES:
        raise TypeError(f"dtype must be float32 or float64; got {np.dtype(dtype)}: packed values are multiplied")


def _integers(name: str, array: Any) -> None:
    """Refuse what is no contiguous vector of int64."""
    _array(name, array)
    if array.dtype != np.int64:
        raise TypeError(f"{name} must be int64; got {array.dtype}: convert them with {name}.astype(numpy.int64)")
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension; got shape {array.shape}")
    _contiguous(name, array)


def _range(name: str, numbers: NDArray[np.int64], end: int, meaning: str) -> None:
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < end:
        raise ValueError(f"{name} must lie from 0 to {end - 1}, {meaning}; got {numbers.min()} to {numbers.max()}")


def _contiguous(name: str, array: NDArray[Any]) -> None:
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; got strides {array.strides}: use numpy.ascontiguousarray")


def _like(name: str, array: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> None:
    """Refuse an array of another dtype or shape; None in `shape` fits any length."""
    if type(array) is np.ndarray and array.dtype is dtype and array.flags.c_contiguous:
        if array.shape == shape:
            return
        if len(shape) == 2 == array.ndim:
            n_rows, n_columns = array.shape
            if shape[0] in (None, n_rows) and shape[1] in (None, n_columns):
                return
    _floats(name, array, len(shape))
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype} as the first argument is; got {array.dtype}: use one dtype")
    for wanted, length in zip(shape, array.shape, strict=True):
        if wanted is not None and wanted != length:
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"{name} must have shape ({expected}); got {array.shape}")


def _output(
    name: str, array: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...], *others: tuple[str, Any]
) -> None:
    """Refuse an output that cannot be written, or that shares memory with another argument."""
    _like(name, array, dtype, shape)
    if not array.flags.writeable:
        raise ValueError(f"{name} is written to, but is read-only: pass a copy")
    owns_its_memory = array.base is None
    for other_name, other in others:
        if owns_its_memory and other is not array and other.base is None:
            continue
        if np.may_share_memory(array, other) and np.shares_memory(array, other):
            raise ValueError(f"{name} shares memory with {other_name}: pass an array of its own")


def _activation(activation: Any) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}")


def _packed(name: str, packed: Any) -> None:
    if not isinstance(packed, Packed):
        raise TypeError(f"{name} must be a Packed matrix; got {type(packed).__name__}: pack it with pack_rows")
    _floats(f"{name}.values", packed.values, 2)


def _compressed(name: str, compressed: Any) -> None:
    if not isinstance(compressed, Compressed):
        kind = type(compressed).__name__
        raise TypeError(f"{name} must be a Compressed matrix; got {kind}: store it with compress_rows")
    _floats(f"{name}.values", compressed.values, 1)


def _packed_batches(name: str, batches: Any) -> None:
    if not isinstance(batches, PackedBatches):
        kind = type(batches).__name__
        raise TypeError(f"{name} must be PackedBatches; got {kind}: pack them with pack_batches")
    _floats(f"{name}.values", batches.values, 2)


def _logits(logits: Any) -> None:
    _floats("logits", logits, 2)
    if logits.shape[1] == 0:
        raise ValueError(f"logits must have at least one class; got shape {logits.shape}")


def _labels(labels: Any, n_rows: int, n_classes: int) -> None:
    _array("labels", labels)
    if labels.dtype != np.int64:
        raise TypeError(f"labels must be int64; got {labels.dtype}: convert them with labels.astype(numpy.int64)")
    if labels.shape != (n_rows,):
        raise ValueError(f"labels must have shape ({n_rows},), one a row of logits; got {labels.shape}")
    if not labels.flags.c_contiguous:
        raise ValueError(f"labels must be C-contiguous; got strides {labels.strides}: use numpy.ascontiguousarray")
    # As an unsigned number a negative one is larger than any class.
    if n_rows and np.maximum.reduce(labels.view(np.uint64)) >= n_classes:
        raise ValueError(f"labels must lie from 0 to {n_classes - 1}; got {labels.min()} to {labels.max()}")


_CHECKS: dict[str, Callable[..., None]] = {
    check.__name__: check
    for check in (
        dense_forward,
        dense_weight_gradient,
        dense_input_gradient,
        stack_forward,
        pack_rows,
        pack_batches,
        similar_rows,
        sparse_forward,
        sparse_weight_gradient,
        activation_forward,
        activation_gradient,
        softmax,
        softmax_cross_entropy,
        count_correct,
        sgd_samples,
        sgd_batches,
        sgd,
        momentum,
        rmsprop,
        rmsprop_tensor,
        adamw,
        squared_norm,
    )
} | {"adam": adamw, "compress_rows": pack_rows}
