"""The results of one run as Markdown: every entry in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from entries import MEMORY, SCALING, Entry, Results, Work

MISSING = "–"

COLUMNS = (
    "work",
    "contender",
    "best",
    "median",
    "kept",
    "rate",
    "of peak",
    "NumPy takes",
    "best peer takes",
    "first call",
)
MEMORY_COLUMNS = ("work", "contender", "memory")
SCALING_COLUMNS = ("work", "contender", "threads", "best", "median", "kept", "rate", "of peak", "speed", "efficiency")


def full_report(results: Results, charts: dict[str, str]) -> str:
    """Write every entry, a chapter for each subject.

    Parameters
    ----------
    results : Results
        Of one run.
    charts : dict
        Name of the picture of a subject.

    Returns
    -------
    str
        Markdown.
    """
    lines = [f"# Bench of {results.date}", "", *machine_lines(results), ""]
    for subject, works in results.by_subject().items():
        lines += [f"## {subject.capitalize()}", ""]
        if subject in charts:
            lines += [f"![{subject}]({charts[subject]})", ""]
        columns, row = SPECIAL_ROWS.get(subject, (COLUMNS, _row))
        lines += [*table(columns, [row(work, entry) for work in works for entry in work.entries]), ""]
    return "\n".join(lines)


def machine_lines(results: Results) -> list[str]:
    """Name the CPU, its measured peaks, and the libraries' versions and settings."""
    peaks = results.peaks
    rates = ", ".join(f"{gflops:.0f} GFLOP/s {dtype}" for dtype, gflops in peaks["fma_gflops"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    measured = f"{results.cpu}, {dated(results)}. Measured peaks: {rates}, {peaks['copy_gbs']:.0f} GB/s copied."
    settings = [f"- {name}: {setting}" for name, setting in results.settings.items()]
    return [f"{measured} {versions}.", *(["", *settings] if settings else [])]


def dated(results: Results) -> str:
    """Write the day and the commit."""
    return ", ".join(filter(None, [results.date, results.commit]))


def time_of(seconds: float) -> str:
    """Write a time with three digits and its unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 100 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def memory_of(entry: Entry) -> str:
    """Write how much memory a training takes."""
    return MISSING if entry.memory_bytes is None else f"{entry.memory_bytes / 1e6:.0f} MB"


def ratio(other: Entry | None, entry: Entry) -> str:
    """Write how many times as long the other takes."""
    return MISSING if other is None else f"{other.seconds / entry.seconds:.2f}x"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write the lines of a Markdown table."""
    return [_line(columns), "|" + "---|" * len(columns), *(_line(row) for row in rows)]


def _row(work: Work, entry: Entry) -> list[str]:
    ratios = [ratio(work.numpy, entry), ratio(work.best_peer, entry)]
    return [work.case, entry.contender, *_measured(entry), *ratios, time_of(entry.first_call_seconds)]


def _scaling_row(work: Work, entry: Entry) -> list[str]:
    speedup = work.speedup(entry)
    scaled = [f"{speedup:.2f}x", f"{speedup / entry.threads:.0%}"]
    return [work.case, entry.contender, str(entry.threads), *_measured(entry), *scaled]


def _memory_row(work: Work, entry: Entry) -> list[str]:
    return [work.case, entry.contender, memory_of(entry)]


# Columns and rows of the subjects that have others.
SPECIAL_ROWS: dict[str, tuple[Sequence[str], Callable[[Work, Entry], list[str]]]] = {
    SCALING: (SCALING_COLUMNS, _scaling_row),
    MEMORY: (MEMORY_COLUMNS, _memory_row),
}


def _measured(entry: Entry) -> list[str]:
    kept = MISSING if entry.n_kept is None else f"{entry.n_kept}/{entry.n_rounds}"
    share = MISSING if entry.share_of_peak is None else f"{entry.share_of_peak:.0%}"
    return [time_of(entry.seconds), time_of(entry.median_seconds), kept, _rate(entry), share]


def _rate(entry: Entry) -> str:
    rates = {"samples/s": entry.samples_per_second, "GFLOP/s": entry.gflops, "GB/s": entry.gbs}
    return ", ".join(f"{_number(rate)} {unit}" for unit, rate in rates.items() if rate is not None)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1e3 else f"{value:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
