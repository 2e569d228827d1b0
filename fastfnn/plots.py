"""Pictures of samples, of a training, and of a test. They need Matplotlib, which is imported when one is drawn."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastfnn.history import Record

N_SAMPLES = 10
SAMPLES_A_ROW = 5

# Confusion matrices of more classes are drawn without their counts, which would be too small to read.
MOST_CLASSES_WITH_COUNTS = 25

# The most frequent mistake is drawn in the middle of its colours, so that black figures stay readable on it.
MISTAKE_MARGIN = 2

LINE_COLOUR = "#1f77b4"
REPORT_COLOUR = "#d62728"
GRID_COLOUR = "#dddddd"


def can_draw() -> bool:
    """Say whether Matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def samples(X: NDArray[Any], y: NDArray[np.int64], seed: int) -> Figure:
    """Draw ten random samples with their labels.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_inputs)
        As square images where n_inputs is a square number, otherwise as strips.
    y : ndarray of integers, shape (n_samples,)
        Labels.
    seed : int
        Of the choice.
    """
    n_drawn = min(N_SAMPLES, len(X))
    n_rows = math.ceil(n_drawn / SAMPLES_A_ROW)
    figure = _figure(width=7.5, height=0.5 + 1.75 * n_rows)
    figure.suptitle(f"{n_drawn} of {len(X):,} training samples")
    axes = figure.subplots(n_rows, SAMPLES_A_ROW, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, index in zip(axes, _random_rows(len(X), n_drawn, seed), strict=False):
        _draw_sample(axis, X[index], f"{y[index]}")
    return figure


def curves(history: Iterable[Record], reports: Iterable[Mapping[str, Any]]) -> Figure:
    """Draw loss and accuracy over the iterations of a training.

    Parameters
    ----------
    history : iterable of records
        Of every epoch: `epoch`, `loss`, `accuracy`.
    reports : iterable of mappings
        Of some of them: `iteration`, `loss`, `accuracy`.
    """
    history, reports = list(history), list(reports)
    last = reports[-1]
    figure = _figure(width=10, height=4.4)
    figure.suptitle(
        f"After iteration {last['iteration']:,}: loss {last['loss']:.4g}, accuracy {last['accuracy']:.2%}"
    )
    loss_axis, accuracy_axis = figure.subplots(1, 2)
    _draw_curve(loss_axis, history, reports, "loss", 1)
    _draw_curve(accuracy_axis, history, reports, "accuracy", 100)
    loss_axis.set_ylabel("loss")
    loss_axis.set_yscale("log")
    accuracy_axis.set_ylabel("accuracy in %")
    figure.legend(*loss_axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> Figure:
    """Draw how often each class was taken for each.

    Parameters
    ----------
    labels, predicted : ndarrays of integers, shape (n_samples,)
        What is right, and what the network says; from 0 to n_classes - 1.
    n_classes : int
        Rows and columns of the matrix.
    """
    counts = np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3 + 0.5 * n_classes, 12)
    figure = _figure(width=side, height=side)
    axis = figure.subplots()
    right = np.eye(n_classes, dtype=bool)
    _draw_shares(axis, shares, right, "Blues", darkest=1)
    _draw_shares(axis, shares, ~right, "Oranges", darkest=MISTAKE_MARGIN * shares[~right].max(initial=0))
    axis.set_title(f"Test: {np.trace(counts):,} of {len(labels):,} right, {np.trace(counts) / len(labels):.2%}")
    axis.set_xlabel("predicted")
    axis.set_ylabel("label")
    if n_classes <= MOST_CLASSES_WITH_COUNTS:
        axis.set_xticks(range(n_classes))
        axis.set_yticks(range(n_classes))
        _write_counts(axis, counts, shares)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _random_rows(n_rows: int, n_drawn: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).choice(n_rows, n_drawn, replace=False)


def _draw_sample(axis: Axes, sample: NDArray[Any], label: str) -> None:
    side = math.isqrt(len(sample))
    is_square = side**2 == len(sample)
    image = sample.reshape(side, side) if is_square else sample[np.newaxis]
    axis.imshow(image, cmap="gray_r", aspect="equal" if is_square else "auto")
    axis.set_title(label)


def _draw_curve(
    axis: Axes, history: Sequence[Record], reports: Sequence[Mapping[str, Any]], name: str, scale: float
) -> None:
    iterations = [record["epoch"] for record in history]
    axis.plot(
        iterations,
        [scale * record[name] for record in history],
        color=LINE_COLOUR,
        linewidth=1,
        label="in every iteration, before the update",
    )
    axis.plot(
        [report["iteration"] for report in reports],
        [scale * report[name] for report in reports],
        "o",
        color=REPORT_COLOUR,
        markersize=5,
        label="as reported, after the update",
    )
    axis.set_xlabel("iteration")
    axis.locator_params(axis="x", integer=True)
    axis.grid(color=GRID_COLOUR)
    axis.set_axisbelow(True)


def _draw_shares(
    axis: Axes, shares: NDArray[np.float64], drawn: NDArray[np.bool_], colours: str, darkest: float
) -> None:
    """Colour the fields that are `drawn`, from white for 0 to the darkest colour for `darkest`."""
    axis.imshow(np.ma.masked_array(shares, mask=~drawn), cmap=colours, vmin=0, vmax=darkest or 1)


def _write_counts(axis: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        is_dark = row == column and shares[row, column] > 0.5
        colour = "white" if is_dark else "black"
        axis.text(column, row, f"{count:,}" if count else "·", ha="center", va="center", color=colour, fontsize=9)
