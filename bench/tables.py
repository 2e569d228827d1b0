"""Results as Markdown: every entry in full, and the short table of ratios for bench/README.md."""

from __future__ import annotations

from collections.abc import Sequence

from contenders import PUBLISHED
from entries import SCALING, Entry, Results, Work

MISSING = "–"

FULL_COLUMNS = ("work", "contender", "time", "rate", "of peak", "NumPy takes", "best peer takes", "first call")
HEADLINE_COLUMNS = ("work", "fastfnn", "NumPy takes", "published takes", "best peer takes")


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
    lines = [f"# Bench of {results.date}", "", machine_line(results), ""]
    for subject, works in results.by_subject().items():
        lines += [f"## {subject.capitalize()}", ""]
        if subject in charts:
            lines += [f"![{subject}]({charts[subject]})", ""]
        lines += _table(FULL_COLUMNS, [_full_row(work, entry) for work in works for entry in work.entries])
        lines += [*_growth_lines(works), ""]
    return "\n".join(lines)


def headlines(results: Results) -> str:
    """Write the short table: what others take, as a multiple of what the Numba kernels take.

    Parameters
    ----------
    results : Results
        Of one run.

    Returns
    -------
    str
        Markdown.
    """
    works = [work for work in results.works if work.headline]
    rows = [_headline_row(work) for work in works if work.subject != SCALING]
    growth = _growth_lines([work for work in works if work.subject == SCALING])
    return "\n".join([machine_line(results), "", *_table(HEADLINE_COLUMNS, rows), *growth])


def machine_line(results: Results) -> str:
    """Name the CPU, its measured peaks and the libraries' versions."""
    peaks = results.peaks
    rates = ", ".join(f"{gflops:.0f} GFLOP/s {dtype}" for dtype, gflops in peaks["fma_gflops"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"{peaks['cpu']}, {peaks['threads']} threads, {results.date}. Measured peaks: {rates}, "
        f"{peaks['copy_gbs']:.0f} GB/s copied. {versions}."
    )


def time_of(seconds: float) -> str:
    """Write a time with three digits and its unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 100 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _full_row(work: Work, entry: Entry) -> list[str]:
    share = MISSING if entry.share_of_peak is None else f"{entry.share_of_peak:.0%}"
    times = [time_of(entry.seconds), _rate(entry), share]
    ratios = [_ratio(work.numpy, entry), _ratio(work.best_peer, entry)]
    return [work.case, entry.contender, *times, *ratios, time_of(entry.first_call_seconds)]


def _headline_row(work: Work) -> list[str]:
    ours, peer = work.ours, work.best_peer
    if ours is None:
        return [work.headline, *[MISSING] * 4]
    against_peer = _ratio(peer, ours) + (f" ({peer.contender})" if peer else "")
    ratios = [_ratio(work.numpy, ours), _ratio(work.by(PUBLISHED), ours), against_peer]
    return [work.headline, time_of(ours.seconds), *ratios]


def _rate(entry: Entry) -> str:
    rates = {"samples/s": entry.samples_per_second, "GFLOP/s": entry.gflops, "GB/s": entry.gbs}
    return ", ".join(f"{_number(rate)} {unit}" for unit, rate in rates.items() if rate is not None)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1e3 else f"{value:,.0f}"


def _ratio(other: Entry | None, entry: Entry) -> str:
    """Write how many times as long the other takes."""
    return MISSING if other is None else f"{other.seconds / entry.seconds:.2f}x"


def _growth_lines(works: Sequence[Work]) -> list[str]:
    """Say of each scaling work how its time changes from the first entry to the last."""
    lines = []
    for work in works:
        first, last = work.entries[0], work.entries[-1]
        if work.subject == SCALING and first is not last:
            growth = last.seconds / first.seconds
            change = f"{growth:.2f} times the time" if growth > 1 else f"{1 / growth:.2f} times as fast"
            lines.append(f"- {work.case}: {last.contender} against {first.contender}, {change}")
    return ["", *lines] if lines else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    header = [_line(columns), "|" + "---|" * len(columns)]
    return header + [_line(row) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
