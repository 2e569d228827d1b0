"""Kernels on arguments that change after they were checked: memory outside the arrays is never touched.

`python changing_arguments.py PART` runs a part, in a process of its own because a wrong index may end it.
`test_changing_arguments.py` runs it.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.batches import RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.packing import Compressed
from numpy.typing import NDArray
from page_guard import EDGES, placed

from fastfnn import SGD, Adam, Dense, Network

# Far outside of every array, just outside, and inside.
WRONG = (-(2**63), -(2**40), -1, 0, 1, 2**31, 2**40, 2**63 - 1)
DTYPE = np.dtype(np.float32)


def wrong_numbers(n: int, end: int) -> NDArray[np.int64]:
    """Return `n` numbers, few of which are indices below `end`."""
    return np.resize(np.array([*WRONG, end, end - 1, end + 1]), n)


def as_clamped(numbers: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """Return the indices that a kernel uses in place of wrong ones."""
    return np.minimum(numbers.view(np.uint64), np.uint64(end - 1)).astype(np.int64)


def calls_with_labels(rng: np.random.Generator, n_classes: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls of every kernel that takes labels, without these."""
    x = rng.integers(0, 3, (23, 50)).astype(DTYPE)
    w, b = rng.standard_normal((50, n_classes)).astype(DTYPE), np.zeros(n_classes, DTYPE)
    logits = x @ w
    weights = np.ones(len(x), DTYPE)
    yield "softmax_cross_entropy", {"logits": logits}
    yield "softmax_cross_entropy", {"logits": logits, "weights": weights, "label_smoothing": 0.25}
    yield "dense_cross_entropy", {"x": x, "weights": w, "bias": b}
    network = {"widths": [n_classes], "activations": ["identity"], "use_bias": [True]}
    yield "stack_gradient", {"x": x, "parameters": np.append(w, b), **network}
    network = {"weights": [w], "biases": [b], "activations": ["identity"], "learning_rate": 0.125}
    yield "sgd_samples", {"samples": reference.compress_rows(x, DTYPE), **network}
    yield "sgd_batches", {"batches": reference.pack_batches(x, DTYPE, 7), **network}


def with_labels(name: str, arguments: dict[str, Any], labels: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """Yield the arguments with labels, as the kernel takes them."""
    if name == "stack_gradient":
        losses = RowLosses("softmax_cross_entropy", labels)
        yield arguments | {"losses": losses}
        yield arguments | {"losses": losses._replace(weights=np.ones(len(labels), DTYPE), label_smoothing=0.25)}
    else:
        yield arguments | {"labels": labels}


def copied(argument: Any) -> Any:
    if isinstance(argument, list):
        return [copied(each) for each in argument]
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def unchecked(kernels: Any, name: str) -> Any:
    """Return a kernel without its check, as if its arguments had changed just after that."""
    return getattr(kernels, name).__wrapped__


def results_of(name: str, kernel: Any, arguments: dict[str, Any]) -> list[bytes]:
    """Call a kernel on copies at the edges of memory; return the bytes of its numbers and of what it changes."""
    results = []
    for edge in EDGES:
        given = {
            argument: placed(copied(value), edge, writable=argument in ("weights", "biases"))
            for argument, value in arguments.items()
        }
        returned = kernel(**given)
        changed = given["weights"] + given["biases"] if name.startswith("sgd") else []
        numbers = [value for value in (*returned, *changed) if not isinstance(value, int)]  # it may count either way
        results += [np.asarray(number).tobytes() for number in numbers]
    return results


def labels() -> None:
    """Call kernels on wrong labels: the results are those of the clamped ones."""
    rng = np.random.default_rng(20261127)
    for n_classes in (1, 10, 40, 300):
        wrong = wrong_numbers(23, n_classes)
        for name, arguments in calls_with_labels(rng, n_classes):
            print(name, n_classes, flush=True)
            given = {argument: copied(value) for argument, value in arguments.items()}
            for labelled in with_labels(name, given, wrong):
                unchecked(reference, name)(**labelled)
            kernel = unchecked(jitted, name)
            clamped = with_labels(name, arguments, as_clamped(wrong, n_classes))
            for labelled, right in zip(with_labels(name, arguments, wrong), clamped, strict=True):
                assert results_of(name, kernel, labelled) == results_of(name, kernel, right), name
        logits = rng.standard_normal((23, n_classes)).astype(DTYPE)
        assert 0 <= unchecked(jitted, "count_correct")(logits, wrong) <= 23


def rows() -> None:
    """Pack wrong rows: those of the clamped row numbers, or an IndexError of NumPy."""
    x = np.arange(9 * 31).reshape(9, 31).astype(np.uint8)
    wrong = wrong_numbers(20, len(x))
    for name, sizes in (("pack_rows", {}), ("compress_rows", {}), ("pack_batches", {"batch_size": 5})):
        print(name, flush=True)
        expected = getattr(reference, name)(x, DTYPE, rows=as_clamped(wrong, len(x)), **sizes)
        for edge in EDGES:
            given = {"x": placed(x, edge, writable=False), "rows": placed(wrong, edge, writable=False)}
            packed = unchecked(jitted, name)(dtype=DTYPE, **given, **sizes)
            for array, wanted in zip(packed[:3], expected[:3], strict=True):
                assert array.tobytes() == wanted.tobytes()
            try:
                unchecked(reference, name)(dtype=DTYPE, **given, **sizes)
            except IndexError:
                continue
            raise AssertionError("NumPy has found rows that are not there")


def columns() -> None:
    """Take steps on compressed samples whose columns are wrong: the steps are those of the clamped ones."""
    rng = np.random.default_rng(20261127)
    x = rng.integers(0, 3, (23, 50)).astype(DTYPE)
    samples = reference.compress_rows(x, DTYPE)
    wrong = wrong_numbers(len(samples.indices), 50).astype(np.int32)
    network = {"weights": [rng.standard_normal((50, 4)).astype(DTYPE)], "biases": [np.zeros(4, DTYPE)]}
    network |= {"labels": np.arange(23) % 4, "activations": ["identity"], "learning_rate": 0.125}
    kernel = unchecked(jitted, "sgd_samples")
    clamped = as_clamped(wrong.astype(np.int64), 50).astype(np.int32)
    expected, actual = (
        results_of("sgd_samples", kernel, {"samples": Compressed(samples[0], each, *samples[2:])} | network)
        for each in (clamped, wrong)
    )
    assert actual == expected


def batches() -> None:
    """Train on batches with wrong rows, labels and seeds: the steps are those of the clamped rows and labels."""
    rng = np.random.default_rng(20261127)
    for n_classes, hidden in itertools.product((1, 10, 40), (False, True)):
        layers = (StackLayer(n_classes, "tanh", 0, 9 * n_classes), StackLayer(n_classes, drop_rate=0.5))
        if hidden:
            layers = (StackLayer(n_classes, "tanh", 0), StackLayer(n_classes, "tanh", 9 * n_classes))
        size = n_classes * (9 + (n_classes if hidden else 1))
        x, parameters = rng.standard_normal((13, 9)).astype(DTYPE), rng.standard_normal(size).astype(DTYPE)
        wrong_rows, wrong_labels = wrong_numbers(40, len(x)), wrong_numbers(40, n_classes)
        seeds = wrong_numbers(6, 2).reshape(3, 2)
        outcomes = []
        for row_numbers, labels in (
            (wrong_rows, wrong_labels),
            (as_clamped(wrong_rows, len(x)), as_clamped(wrong_labels, n_classes)),
        ):
            for edge in EDGES:
                losses = RowLosses("softmax_cross_entropy", labels)
                given = placed((x, row_numbers, losses, Stack(9, layers)), edge, writable=False)
                vectors = placed((parameters, np.zeros_like(parameters)), edge, writable=True)
                options = placed(StepOptions(17, seeds=seeds), edge, writable=False)
                values, _ = unchecked(jitted, "train_batches")(*given, *vectors, Rule("sgd", 0.5, {}, (), 0), options)
                outcomes.append([array.tobytes() for array in (values, *vectors)])
        assert all(outcome == outcomes[0] for outcome in outcomes)


@contextmanager
def written_meanwhile(*arrays: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> Iterator[None]:
    """Write one content or the other into arrays, again and again, in a thread of its own."""
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            for which in (1, 2):
                for written in arrays:
                    written[0][...] = written[which]

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def contents(rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> tuple[NDArray[Any], ...]:
    """Return an array, and two contents of it with very different non-zeros."""
    full = rng.integers(1, 256, shape).astype(dtype)
    few = np.where(rng.random(shape) < 0.02, full, 0).astype(dtype)
    return few.copy(), full, few


def writing() -> None:
    """Pack rows while another thread writes to them."""
    rng = np.random.default_rng(20261127)
    for dtype in (np.uint8, np.float32):
        x, full, few = contents(rng, (400, 300), dtype)
        row_numbers = np.arange(399, -1, -1)
        wrong = wrong_numbers(400, 400)
        with written_meanwhile((x, full, few), (row_numbers, row_numbers.copy(), wrong)):
            for _ in range(60):
                for kernels in (reference, jitted):
                    check_stored(kernels.compress_rows(x, DTYPE), 400, 300)
                    check_stored(kernels.pack_rows(x, DTYPE), 134, 300)
                    check_stored(kernels.pack_batches(x, DTYPE, 50), 136, 300)
                    assert sorted(kernels.similar_rows(x[:30])) == list(range(30))
                check_stored(unchecked(jitted, "compress_rows")(x, DTYPE, rows=row_numbers), 400, 300)
                check_stored(unchecked(jitted, "pack_rows")(x, DTYPE, rows=row_numbers), 134, 300)


def check_stored(stored: Any, n_lines: int, n_columns: int) -> None:
    """Check that offsets rise to the number of entries, and that every column exists."""
    assert len(stored.offsets) == n_lines + 1
    assert stored.offsets[0] == 0
    assert (np.diff(stored.offsets) >= 0).all()
    assert len(stored.indices) == len(stored.values) == stored.offsets[-1]
    assert ((stored.indices >= 0) & (stored.indices < n_columns)).all()


def training() -> None:
    """Train on samples and labels that another thread writes to."""
    rng = np.random.default_rng(20261127)
    X, full, few = contents(rng, (600, 200), np.uint8)
    y, other = rng.integers(0, 10, 600), rng.integers(0, 10, 600)
    with written_meanwhile((X, full, few), (y, y.copy(), other)):
        for backend in ("numba", "numpy"):
            for optimizer, batch_size in ((SGD(1e-3), 1), (SGD(1e-3), 32), (Adam(1e-3), None)):
                layers = [Dense(200, 20, activation="relu"), Dense(20, 10)]
                net = Network(layers, seed=1, backend=backend, input_scale=1 / 255)
                options = {"epochs": 3, "batch_size": batch_size, "input_format": "sparse"}
                net.fit(X, y, optimizer, **{name: value for name, value in options.items() if value is not None})
                assert net.predict(X).shape == (600,)


PARTS = {part.__name__: part for part in (labels, rows, columns, batches, writing, training)}

if __name__ == "__main__":
    PARTS[sys.argv[1]]()
