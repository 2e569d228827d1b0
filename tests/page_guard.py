"""Calls kernels on arrays at the edge of memory: one element further, in or out, kills the process.

`python page_guard.py` runs all kernels, or those of the families that are named, and prints each call before it is
made, so that the last line names the one that died. `test_page_guard.py` runs it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import cycle, product
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from arrays import integers, mostly_zeros, normals, one_hot_layer
from batch_cases import NUMBERS, drawn_parameters, rule_with
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.arguments import ACTIVATIONS, LOSSES
from fastfnn_kernels.batches import RowLosses, Stack, StackLayer, StepOptions
from fastfnn_kernels.jitted import dense as jitted_dense
from fastfnn_kernels.packing import Packed, pack_columns
from fastfnn_kernels.reference import compress_rows, pack_batches, pack_rows
from layer_stacks import joined
from numpy.typing import NDArray

LIBC = ctypes.CDLL(None, use_errno=True)
PROT_NONE = 0  # of POSIX's <sys/mman.h>, of which Python's mmap lacks this one

EDGES = ("end", "begin")
DTYPES = (np.float32, np.float64)

# Kernels that return more than what they write.
RETURNING = (
    "softmax_cross_entropy",
    "elementwise_loss",
    "l2_penalty",
    "dense_cross_entropy",
    "stack_gradient",
    "rmsprop_tensor",
    "sgd_samples",
    "sgd_batches",
    "train_batches",
)

# Tails: around the widths of vectors (2 to 16 numbers), tiles (6 or 14 rows; up to 4 vectors) and blocks of them.
ROWS = [*range(1, 31), 41, 42, 43, 55, 56, 57, 111, 113]
COLUMNS = [*range(1, 71), 95, 97, 127, 128, 129]
DEPTHS = [1, 2, 3, 7, 8, 63, 64, 511, 512, 513, 1024]
LARGE = [(701, 733, 3), (930, 140, 512)]  # for every kernel enough to be run on many threads
SAMPLE = 150


class Call(NamedTuple):
    """A call of the kernel `name`, which changes the arguments that are `written`."""

    name: str
    arguments: dict[str, Any]
    written: tuple[str, ...] = ()


def place(array: NDArray[Any], edge: str, *, writable: bool) -> NDArray[Any]:
    """Copy an array to where memory ends behind its last byte, or begins with its first (`edge`)."""
    data_bytes = max(1, -(-array.nbytes // mmap.PAGESIZE)) * mmap.PAGESIZE
    memory = mmap.mmap(-1, data_bytes + mmap.PAGESIZE)
    data, guard = (0, data_bytes) if edge == "end" else (mmap.PAGESIZE, 0)
    offset = data_bytes - array.nbytes if edge == "end" else data
    placed = np.ndarray(array.shape, array.dtype, memory, offset)
    placed[...] = array
    start = np.frombuffer(memory, np.uint8).ctypes.data
    _protect(start + guard, mmap.PAGESIZE, PROT_NONE)
    if not writable:
        _protect(start + data, data_bytes, mmap.PROT_READ)
    return placed


def _protect(address: int, size: int, access: int) -> None:
    if LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), access):
        raise OSError(ctypes.get_errno(), f"mprotect: {os.strerror(ctypes.get_errno())}")


def dense(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw products of which the output has `rows` and `columns`, and `depth` is summed over."""
    activation = str(rng.choice(["identity", "relu", "sigmoid", "tanh"]))
    a, b, bias = (integers(rng, shape, dtype) for shape in ((rows, depth), (depth, columns), (columns,)))
    out = integers(rng, (rows, columns), dtype)
    yield Call("dense_forward", {"x": a, "weights": b, "bias": bias, "activation": activation, "out": out}, ("out",))
    gradients = {"x": transposed(a), "grad": b, "out": out, "out_bias": bias, "accumulate": bool(rng.integers(2))}
    yield Call("dense_weight_gradient", gradients, ("out", "out_bias"))
    y = integers(rng, (rows, columns), dtype)
    back = {"grad": a, "weights": transposed(b), "x": y, "activation": activation, "out": out}
    yield Call("dense_input_gradient", back, ("out",))


def sparse(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw products with a mostly-zero input, sometimes an empty one."""
    activation = str(rng.choice(["identity", "relu", "sigmoid", "tanh"]))
    a = mostly_zeros(rng, (rows, depth), dtype) * dtype(rng.integers(4))
    b, bias = integers(rng, (depth, columns), dtype), integers(rng, (columns,), dtype)
    out = integers(rng, (rows, columns), dtype)
    forward = {
        "rows": packed_in_any_order(rng, a, dtype),
        "weights": b,
        "bias": bias,
        "activation": activation,
        "out": out,
    }
    yield Call("sparse_forward", forward, ("out",))
    x = transposed(a)
    packed = packed_in_any_order(rng, x, dtype)
    by_columns = pack_columns(pack_rows, x, dtype, 1.0, rng.permutation(x.shape[1]))
    for stored in (packed, packed._replace(by_columns=by_columns)):
        gradients = {"rows": stored, "grad": b, "out": out, "out_bias": bias, "accumulate": bool(rng.integers(2))}
        yield Call("sparse_weight_gradient", gradients, ("out", "out_bias"))


def packed_in_any_order(rng: np.random.Generator, x: NDArray[Any], dtype: Any) -> Packed:
    order = rng.permutation(len(x))
    return pack_rows(x, dtype, 1.0, order)._replace(order=order.astype(np.int32))


def packing(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw mostly-zero inputs to pack, some rows of them; there is nothing to sum over."""
    x = mostly_zeros(rng, (rows, columns), rng.choice([np.uint8, dtype]))
    for taken in (None, rng.integers(0, rows, rows + 1)):
        for name, sizes in (("pack_rows", {}), ("compress_rows", {}), ("pack_batches", {"batch_size": 5})):
            yield Call(name, {"x": x, "dtype": dtype, "scale": 0.5, "rows": taken} | sizes)
    yield Call("similar_rows", {"x": x[:60]})


def training(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw steps of two layers on a few samples each."""
    samples = compress_rows(mostly_zeros(rng, (min(rows, 9), depth), dtype), dtype)
    layers = [(depth, columns), (columns, 5)]
    weights = [integers(rng, shape, dtype) / dtype(8 * shape[0]) for shape in layers]
    biases = [integers(rng, shape[1], dtype) for shape in layers]
    rest = {"weights": weights, "biases": biases, "activations": ["tanh", "identity"], "learning_rate": 0.125}
    yield Call(
        "sgd_samples",
        {"samples": samples, "labels": np.arange(len(samples.offsets) - 1) % 5} | rest,
        ("weights", "biases"),
    )
    rows = min(rows, 60)  # few steps, since rounding errors grow with each
    batches = pack_batches(mostly_zeros(rng, (rows, depth), dtype), dtype, min(rows, 20))
    labels = np.arange(rows) % 5
    yield Call("sgd_batches", {"batches": batches, "labels": labels} | rest, ("weights", "biases"))


def stack_forward(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw three layers."""
    widths = [(depth, columns), (columns, 20), (20, int(rng.integers(1, 20)))]
    weights = [integers(rng, shape, dtype) / dtype(8 * shape[0]) for shape in widths]
    biases = [integers(rng, shape[1], dtype) for shape in widths]
    x, out = mostly_zeros(rng, (rows, depth), dtype), integers(rng, (rows, widths[-1][1]), dtype)
    layers = {"weights": weights, "biases": biases, "activations": ["relu", "tanh", "identity"]}
    yield Call("stack_forward", {"x": x, "max_density": 2.0 * rng.integers(2), "out": out} | layers, ("out",))


def dense_cross_entropy(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw an output layer whose gradients are whole numbers."""
    weights, bias = one_hot_layer(rng, columns, depth, dtype)
    x, out, out_weights = (integers(rng, shape, dtype) for shape in ((rows, columns), (rows, columns), weights.shape))
    layer = {"x": x, "weights": weights, "bias": bias, "labels": rng.integers(0, depth, rows), "scale": 1.0}
    rest = {"activation": str(rng.choice(["identity", "relu"])), "accumulate": bool(rng.integers(2))}
    outputs = {"out": out, "out_weights": out_weights, "out_bias": integers(rng, depth, dtype)}
    yield Call("dense_cross_entropy", layer | rest | outputs, tuple(outputs))


def stack_gradient(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw networks whose gradients are whole numbers, with few classes, as many as fill vectors, and some more."""
    n_classes = int(rng.choice([1, 3, 8, 16, 19, 35]))
    last_weights, last_bias = one_hot_layer(rng, columns, n_classes, dtype)
    # Hidden weights from -1 to 1: sums stay below 2**24.
    weights, biases = (
        [integers(rng, (depth, columns), dtype) // 4, last_weights],
        [integers(rng, columns, dtype), last_bias],
    )
    parameters = joined(weights, biases)
    network = {
        "parameters": parameters,
        "widths": (columns, n_classes),
        "activations": (str(rng.choice(["identity", "relu"])), "identity"),
        "use_bias": (True, True),
    }
    rest = {"scale": 1.0, "l2": 2.0 * rng.integers(2), "l2_bias": 4.0, "accumulate": bool(rng.integers(2))}
    weights = np.abs(integers(rng, rows, dtype)) if rng.integers(2) else None
    classes = RowLosses("softmax_cross_entropy", rng.integers(0, n_classes, rows))
    numeric = RowLosses("huber", integers(rng, (rows, n_classes), dtype), weights)
    given = {"x": integers(rng, (rows, depth), dtype), "losses": numeric if rng.integers(2) else classes}
    out = {"out": integers(rng, parameters.size, dtype)}
    yield Call("stack_gradient", given | network | rest | out, tuple(out))


def train_batches(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw two steps of two layers, whose parameters fill a vector in any order, with dropout anywhere or nowhere."""
    n_outputs, place, order = int(rng.choice([1, 3, 8, 19])), int(rng.integers(6)), rng.permutation(4)
    sizes = np.array([depth * columns, columns, columns * n_outputs, n_outputs])
    starts = dict(zip(order.tolist(), np.cumsum([0, *sizes[order]]).tolist(), strict=False))
    layers = [
        StackLayer(columns, "tanh", starts[0], starts[1]),
        StackLayer(n_outputs, "identity", starts[2], starts[3]),
    ]
    if place < 3:
        layers.insert(place, StackLayer((depth, columns, n_outputs)[place], drop_rate=0.25))
    stack = Stack(depth, tuple(layers))
    parameters = drawn_parameters(rng, stack, int(sizes.sum()), dtype)
    name = str(rng.choice(list(NUMBERS)))
    numbers = {number: values[0] for number, values in NUMBERS[name].items()}
    weights = rng.random(rows).astype(dtype) if rng.integers(2) else None
    classes = RowLosses("softmax_cross_entropy", rng.integers(0, n_outputs, rows), weights)
    numeric = RowLosses("squared_error", rng.random((rows, n_outputs)).astype(dtype), weights)
    batch_size = rows // 2 + 1
    seeds = rng.integers(0, 2**63, (-(-rows // batch_size), len(layers)))
    given = {
        "x": normals(rng, (rows, depth), dtype),
        "rows": rng.integers(0, rows, rows),
        "losses": numeric if rng.integers(2) else classes,
        "stack": stack,
        "parameters": parameters,
        "gradient": normals(rng, parameters.shape, dtype),
        "rule": rule_with(rng, name, numbers, stack, parameters),
        "options": StepOptions(batch_size, 0.5, 0.5, clip_norm=1.0, seeds=seeds),
    }
    yield Call("train_batches", given, ("parameters", "gradient", "rule"))


def elementwise(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw activations, softmax and what is computed from it; there is nothing to sum over."""
    z, grad, out = (integers(rng, (rows, columns), dtype) for _ in range(3))
    labels = rng.integers(0, columns, rows)
    for activation in ACTIVATIONS:
        yield Call("activation_forward", {"z": z, "activation": activation, "out": out}, ("out",))
        gradient = {"y": z, "grad": grad, "activation": activation, "out": out}
        yield Call("activation_gradient", gradient, ("out",))
    yield Call("gelu_forward", {"z": z, "out": out}, ("out",))
    yield Call("gelu_gradient", {"z": z, "grad": grad, "out": out}, ("out",))
    yield Call("dropout", {"x": z, "rate": 0.25, "seed": 3, "first_row": int(rng.integers(9)), "out": out}, ("out",))
    yield Call("softmax", {"logits": z, "out": out}, ("out",))
    weights = np.abs(integers(rng, (rows,), dtype))
    for weighted in ({}, {"weights": weights, "label_smoothing": 0.25}):
        classes = {"logits": z, "labels": labels, "scale": 0.5, "out": out}
        yield Call("softmax_cross_entropy", classes | weighted, ("out",))
    for given in (None, weights):
        numbers = {"outputs": z, "targets": grad, "loss": str(rng.choice(LOSSES)), "weights": given, "out": out}
        yield Call("elementwise_loss", numbers, ("out",))
    yield Call("count_correct", {"logits": z, "labels": labels})


def updates(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw steps of every optimizer, for a matrix; there is nothing to sum over."""
    w, g, m = (integers(rng, (rows, columns), dtype) for _ in range(3))
    step = {"parameter": w, "gradient": g, "learning_rate": 0.5}
    yield Call("sgd", step, ("parameter",))
    for nesterov, of_steps in product((False, True), repeat=2):
        moving = {"velocity": m, "momentum": 0.5, "nesterov": nesterov, "velocity_of_steps": of_steps}
        yield Call("momentum", step | moving, ("parameter", "velocity"))
    scaled = step | {"rho": 0.5, "epsilon": 1.0}
    yield Call("rmsprop", scaled | {"mean_square": np.abs(m)}, ("parameter", "mean_square"))
    yield Call("rmsprop_tensor", scaled | {"mean_square": 1.0}, ("parameter",))
    moments = {"first_moment": m, "second_moment": np.abs(m), "step": 3, "beta1": 0.5, "beta2": 0.5, "epsilon": 1.0}
    changed = ("parameter", "first_moment", "second_moment")
    yield Call("adam", step | moments, changed)
    yield Call("adamw", step | moments | {"weight_decay": 0.5}, changed)
    yield Call("squared_norm", {"values": g})
    yield Call("l2_penalty", {"parameter": w, "gradient": g, "l2": 0.5}, ("gradient",))


def laid_out(rng: np.random.Generator, dtype: Any, rows: int, columns: int, depth: int) -> Iterator[Call]:
    """Draw dense products none of which counts as small."""
    with mock.patch.multiple(jitted_dense, SMALL_BYTES=-1, FEW_INPUTS=0):
        yield from dense(rng, dtype, rows, columns, depth)


FAMILIES = {
    family.__name__: family
    for family in (
        dense,
        laid_out,
        sparse,
        stack_forward,
        dense_cross_entropy,
        stack_gradient,
        train_batches,
        packing,
        training,
        elementwise,
        updates,
    )
}


def transposed(matrix: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(matrix.T)


def shapes(rng: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    """Draw (rows, columns, depth), each of the lists above in an order of its own, again and again."""
    drawn = zip(*(cycle(rng.permutation(sizes).tolist()) for sizes in (ROWS, COLUMNS, DEPTHS)), strict=True)
    yield from (next(drawn) for _ in range(SAMPLE))
    yield from LARGE


def copied(argument: Any) -> Any:
    if isinstance(argument, (list, tuple)):
        return made_of(argument, map(copied, argument))
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def made_of(like: Any, parts: Iterable[Any]) -> Any:
    """Make a list, a tuple or a NamedTuple of other parts."""
    return like._make(parts) if hasattr(like, "_make") else type(like)(parts)


def placed(argument: Any, edge: str, *, writable: bool) -> Any:
    """Place what is an array, or made of arrays."""
    if isinstance(argument, (list, tuple)):
        return made_of(argument, (placed(part, edge, writable=writable) for part in argument))
    return place(argument, edge, writable=writable) if isinstance(argument, np.ndarray) else argument


def described(argument: Any) -> str:
    shape = getattr(argument, "shape", None)
    if isinstance(argument, (list, tuple)) and shape is None:
        return "[" + ",".join(map(described, argument)) + "]"
    return str(argument if shape is None else shape).replace(" ", "")


def check(call: Call, dtype: Any) -> None:
    """Announce a call, make it at each edge, and see the reference's results."""
    arguments = " ".join(f"{name}={described(argument)}" for name, argument in call.arguments.items())
    expected = {name: copied(argument) for name, argument in call.arguments.items()}
    expected_value = getattr(reference, call.name)(**expected)
    for edge in EDGES:
        print(call.name, np.dtype(dtype), f"at the {edge}:", arguments, flush=True)
        actual = {
            name: placed(argument, edge, writable=name in call.written) for name, argument in call.arguments.items()
        }
        actual_value = getattr(jitted, call.name)(**actual)
        # Where the numbers are whole, a wrong one is off by one at least: far more than this.
        tolerance = 200 * np.finfo(dtype).eps
        for name in call.written:
            assert_alike(actual[name], expected[name], tolerance)
        if not call.written or call.name in RETURNING:
            assert_alike(actual_value, expected_value, tolerance)


def assert_alike(actual: Any, expected: Any, tolerance: float) -> None:
    """Compare numbers, arrays, and what is made of them."""
    if isinstance(expected, (tuple, list)):
        for one, other in zip(actual, expected, strict=True):
            assert_alike(one, other, tolerance)
    elif expected is None or isinstance(expected, (str, dict)):
        assert actual == expected
    else:
        assert np.allclose(actual, expected, tolerance, tolerance), f"{actual} is not the reference's {expected}"


def main(family: str) -> None:
    """Run a family of kernels on every dtype, at both edges."""
    rng = np.random.default_rng(20261121)
    for dtype in DTYPES:
        for shape in shapes(rng):
            for call in FAMILIES[family](rng, dtype, *shape):
                check(call, dtype)


if __name__ == "__main__":
    for family in sys.argv[1:] or FAMILIES:
        main(family)
