"""Results as bar charts: one picture a subject, times as multiples of the package's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contenders import BARE_NUMPY, JAX, NUMBA, NUMPY, PUBLISHED, SCIKIT_LEARN, SCIPY, TORCH, TORCH_COMPILE
from entries import Work
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tables import time_of

COLORS = {
    NUMBA: "#d62728",
    NUMPY: "#1f77b4",
    BARE_NUMPY: "#6baed6",
    PUBLISHED: "#08306b",
    TORCH: "#ff7f0e",
    TORCH_COMPILE: "#ffbb78",
    JAX: "#2ca02c",
    SCIKIT_LEARN: "#9467bd",
    SCIPY: "#8c564b",
}
OTHER_COLOR = "#7f7f7f"

INCHES_PER_BAR = 0.2
INCHES_AROUND = 1.2
WIDTH_INCHES = 8.0
DOTS_PER_INCH = 110

# Longer bars are cut, their label says how long they are.
LONGEST_BAR = 10.0


def draw_chart(subject: str, works: Sequence[Work], path: Path) -> None:
    """Draw the works of one subject.

    Parameters
    ----------
    subject : str
        Title.
    works : sequence of Work
        One group of bars each.
    path : Path
        Where the picture is written.
    """
    n_bars = sum(len(work.entries) + 1 for work in works)
    figure = Figure((WIDTH_INCHES, INCHES_AROUND + INCHES_PER_BAR * n_bars), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_groups(axes, works)
    axes.axvline(1, color=COLORS[NUMBA], linewidth=0.8, linestyle="--")
    axes.set_xlabel("time as a multiple of the Numba kernels': shorter is faster")
    axes.set_title(subject)
    axes.set_xlim(0, min(LONGEST_BAR, axes.get_xlim()[1]) * 1.25)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_groups(axes: Axes, works: Sequence[Work]) -> None:
    position = 0.0
    ticks = []
    for work in works:
        unit = (work.ours or work.entries[0]).seconds
        ticks.append(position + (len(work.entries) - 1) / 2)
        for entry in work.entries:
            length = entry.seconds / unit
            axes.barh(position, min(length, LONGEST_BAR), color=COLORS.get(entry.contender, OTHER_COLOR))
            label = f" {entry.contender} {time_of(entry.seconds)}, {length:.2f}x"
            axes.text(min(length, LONGEST_BAR), position, label, va="center", fontsize=7)
            position += 1
        position += 1
    axes.set_yticks(ticks, [work.case for work in works], fontsize=7)
