"""Plots of samples, training curves and test results. They need Matplotlib, which is imported when one is drawn."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.grid_search import Trial, best_trial
from fastfnn.metrics import confusion_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastfnn.history import Record
    from fastfnn.network import Network

N_SAMPLES = 10
SAMPLES_A_ROW = 5

# Confusion matrices with more classes are drawn without counts, which would be too small to read.
MOST_CLASSES_WITH_COUNTS = 25

# The most frequent mistake gets the middle of the colour scale: black numbers stay readable on it.
MISTAKE_MARGIN = 2

# Decision regions: number of points per side, and margin around the samples as a share of their extent.
REGION_SIDE = 400
REGION_MARGIN = 0.08

LINE_COLOUR = "#1f77b4"
REPORT_COLOUR = "#d62728"
HELD_OUT_COLOUR = "#2ca02c"
GRID_COLOUR = "#dddddd"


def can_draw() -> bool:
    """Tell whether Matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def samples(X: NDArray[Any], y: NDArray[np.int64], seed: int) -> Figure:
    """Draw ten random samples with their labels.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_inputs)
        Samples, drawn as square images if n_inputs is a square number, otherwise as strips.
    y : ndarray of integers, shape (n_samples,)
        Labels.
    seed : int
        Seed of the choice.
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
    """Draw loss and accuracy over the iterations of a training run.

    Parameters
    ----------
    history : iterable of records
        Records of all epochs: `epoch`, `loss`, `accuracy`, and the validation loss and accuracy if there are any.
    reports : iterable of mappings
        Reports on some epochs: `iteration`, `loss`, `accuracy`.
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
    figure.legend(*loss_axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> Figure:
    """Draw how often each class was predicted as each class.

    Parameters
    ----------
    labels, predicted : ndarrays of integers, shape (n_samples,)
        True and predicted classes, from 0 to n_classes - 1.
    n_classes : int
        Number of rows and columns of the matrix.
    """
    counts = confusion_matrix(labels, predicted, n_classes)
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


def regions(network: Network, X: NDArray[Any], y: NDArray[np.int64]) -> Figure:
    """Draw the class that the network predicts at each point of the plane, with samples on top.

    Parameters
    ----------
    network : Network
        Network with two inputs.
    X : ndarray, shape (n_samples, 2)
        Samples.
    y : ndarray of integers, shape (n_samples,)
        Labels.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    margin = REGION_MARGIN * (X.max(axis=0) - X.min(axis=0))
    (left, bottom), (right, top) = X.min(axis=0) - margin, X.max(axis=0) + margin
    columns, rows = np.meshgrid(np.linspace(left, right, REGION_SIDE), np.linspace(bottom, top, REGION_SIDE))
    places = np.column_stack([columns.ravel(), rows.ravel()])
    classes = network.predict(places).reshape(REGION_SIDE, REGION_SIDE)

    colours = ListedColormap([colormaps["tab10"](number) for number in range(network.n_outputs)])
    last = network.n_outputs - 0.5
    figure = _figure(width=6, height=6)
    axis = figure.subplots()
    axis.imshow(
        classes,
        extent=(left, right, bottom, top),
        origin="lower",
        alpha=0.35,
        aspect="auto",
        cmap=colours,
        vmin=-0.5,
        vmax=last,
    )
    axis.scatter(X[:, 0], X[:, 1], c=y, s=12, edgecolors="black", linewidths=0.4, cmap=colours, vmin=-0.5, vmax=last)
    axis.set_title(f"Predicted class at each point: {np.mean(network.predict(X) == y):.2%} of {len(X):,} right")
    return figure


def trials(done: Sequence[Trial]) -> Figure:
    """Draw a grid search as a table of scores, with the best one in bold.

    Parameters
    ----------
    done : sequence of Trial
        All trials of one grid. The last name's values are the columns; each combination of the others is a row.
    """
    *row_names, column_name = done[0].settings
    columns = list(dict.fromkeys(trial.texts[column_name] for trial in done))
    rows = list(dict.fromkeys("; ".join(trial.texts[name] for name in row_names) for trial in done))
    scores = np.array([trial.score for trial in done]).reshape(len(rows), len(columns))
    figure = _figure(width=3 + 1.2 * len(columns), height=1.6 + 0.5 * len(rows))
    axis = figure.subplots()
    axis.imshow(scores, cmap="Blues", vmax=scores.max() + (scores.max() - scores.min()), aspect="auto")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xlabel(column_name)
    axis.set_ylabel("; ".join(row_names))
    axis.set_title("Accuracy on held-out samples")
    best = done.index(best_trial(done))
    for number, score in enumerate(scores.ravel()):
        weight = "bold" if number == best else "normal"
        row, column = divmod(number, len(columns))
        axis.text(column, row, f"{score:.2%}", ha="center", va="center", weight=weight)
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
    if f"validation_{name}" in history[0]:
        axis.plot(
            iterations,
            [scale * record[f"validation_{name}"] for record in history],
            color=HELD_OUT_COLOUR,
            linewidth=1,
            label="on held-out samples, after the update",
        )
    axis.plot(
        [report["iteration"] for report in reports],
        [scale * report[name] for report in reports],
        "o",
        color=REPORT_COLOUR,
        markersize=5,
        label="as reported",
    )
    axis.set_xlabel("iteration")
    axis.locator_params(axis="x", integer=True)
    axis.grid(color=GRID_COLOUR)
    axis.set_axisbelow(True)


def _draw_shares(
    axis: Axes, shares: NDArray[np.float64], drawn: NDArray[np.bool_], colours: str, darkest: float
) -> None:
    """Colour the cells that are `drawn`, from white for 0 to the darkest colour for `darkest`."""
    axis.imshow(np.ma.masked_array(shares, mask=~drawn), cmap=colours, vmin=0, vmax=darkest or 1)


def _write_counts(axis: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        is_dark = row == column and shares[row, column] > 0.5
        colour = "white" if is_dark else "black"
        axis.text(column, row, f"{count:,}" if count else "·", ha="center", va="center", color=colour, fontsize=9)
