"""Speed over threads: one picture, a panel for each work, a line for each contender."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from charts import COLORS, DOTS_PER_INCH, OTHER_COLOR
from contenders import NUMBA
from entries import Entry, Work
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS_IN_A_ROW = 2
PANEL_INCHES = (4.0, 2.6)
IDEAL = "ideal"
IDEAL_COLOR = "#7f7f7f"


def draw_scaling(subject: str, works: Sequence[Work], path: Path) -> None:
    """Draw how the speed of each contender grows.

    Parameters
    ----------
    subject : str
        Title.
    works : sequence of Work
        One panel each.
    path : Path
        Where the picture is written.
    """
    n_rows = math.ceil(len(works) / PANELS_IN_A_ROW)
    width, height = PANEL_INCHES
    figure = Figure((PANELS_IN_A_ROW * width, n_rows * height + 1), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(n_rows, PANELS_IN_A_ROW, squeeze=False).flat)
    for axes, work in zip(panels, works, strict=False):
        _draw_panel(axes, work)
    for axes in panels[len(works) :]:
        axes.remove()
    figure.suptitle(f"{subject}: speed, as a multiple of fastfnn's on one thread")
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=len(lines))
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_panel(axes: Axes, work: Work) -> None:
    curves = {entry.contender: work.curve(entry.contender) for entry in work.entries}
    unit = curves.get(NUMBA, work.entries)[0]
    for contender, curve in curves.items():
        threads, speeds = _points(curve, unit)
        axes.plot(threads, speeds, "o-", color=COLORS.get(contender, OTHER_COLOR), label=contender, markersize=3)
    counts = sorted({entry.threads for entry in work.entries})
    axes.plot(counts, counts, "--", color=IDEAL_COLOR, label=IDEAL, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.yaxis.set_major_formatter(lambda speed, _: f"{speed:g}x")
    axes.set_title(work.case, fontsize=8)
    axes.set_xlabel("threads", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)


def _points(curve: Sequence[Entry], unit: Entry) -> tuple[list[int], list[float]]:
    return [entry.threads for entry in curve], [unit.seconds / entry.seconds for entry in curve]
