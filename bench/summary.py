"""What is kept of the rounds of a run: for each entry, those in which the machine was itself."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

# As pytest-benchmark describes an entry.
Description: TypeAlias = dict[str, Any]

# A round counts when the momentary peak around it is at least this share of this percentile of the run's.
KEPT_SHARE = 0.9
PERCENTILE = 90

# What `measurement.Measure` hands over of the rounds, and is not written down.
MOMENTARY_PEAKS = "momentary_gflops"


def summarize(benchmarks: Iterable[Description], copy_gbs: float) -> list[Description]:
    """Join the passes of each entry, and leave out the rounds in which the machine was slow.

    Parameters
    ----------
    benchmarks : iterable of dict
        The entries of all passes, with their rounds.
    copy_gbs : float
        The run's peak of a copy.

    Returns
    -------
    list of dict
        Each entry once: the best and the median of what is kept, its rates and its share of the peak.
    """
    passes: dict[str, list[Description]] = defaultdict(list)
    for benchmark in benchmarks:
        passes[benchmark["fullname"]].append(benchmark)
    lowest = _lowest_peaks(passes.values())
    return [_joined(of_entry, lowest, copy_gbs) for of_entry in passes.values()]


def lowest_kept(peaks: Sequence[float]) -> float:
    """Return the momentary peak below which a round is left out."""
    return KEPT_SHARE * float(np.percentile(peaks, PERCENTILE))


def _lowest_peaks(passes: Iterable[Sequence[Description]]) -> dict[tuple[str, int], float]:
    """Return the lowest peak that is kept, by dtype and threads."""
    peaks: dict[tuple[str, int], list[float]] = defaultdict(list)
    for of_entry in passes:
        peaks[_kind(of_entry[0])] += _momentary_peaks(of_entry)
    return {kind: lowest_kept(of_kind) for kind, of_kind in peaks.items() if of_kind}


def _joined(passes: Sequence[Description], lowest: dict[tuple[str, int], float], copy_gbs: float) -> Description:
    joined = passes[0] | {"extra_info": dict(passes[0]["extra_info"])}
    joined.pop("options", None)
    info = joined["extra_info"]
    info.pop(MOMENTARY_PEAKS, None)
    seconds = [of_round for one in passes for of_round in one["stats"]["data"]]
    peaks = _momentary_peaks(passes)
    kept = _kept(seconds, peaks, lowest[_kind(joined)]) if peaks else [(of_round, 0.0) for of_round in seconds]
    times = [time for time, _ in kept]
    joined["stats"] = {"min": min(times), "median": statistics.median(times), "rounds": len(seconds)}
    info.update(_rates(info, min(times)))
    if peaks:
        joined["stats"]["kept"] = sum(peak >= lowest[_kind(joined)] for peak in peaks)
        info["share_of_peak"] = statistics.median(info["flop"] / time / 1e9 / peak for time, peak in kept)
    elif "gbs" in info:
        info["share_of_peak"] = info["gbs"] / copy_gbs
    return joined


def _kept(seconds: Sequence[float], peaks: Sequence[float], lowest: float) -> list[tuple[float, float]]:
    """Return the rounds that count, with their peaks; if the machine was never itself, those of its best moment."""
    floor = min(lowest, max(peaks))
    return [(time, peak) for time, peak in zip(seconds, peaks, strict=True) if peak >= floor]


def _momentary_peaks(passes: Sequence[Description]) -> list[float]:
    return [peak for one in passes for peak in one["extra_info"].get(MOMENTARY_PEAKS, ())]


def _kind(benchmark: Description) -> tuple[str, int]:
    return benchmark["extra_info"]["dtype"], benchmark["extra_info"]["threads"]


def _rates(info: Description, seconds: float) -> dict[str, float]:
    """Return what was done a second."""
    amounts = {"samples_per_second": info["samples"], "gflops": info["flop"] / 1e9, "gbs": info["n_bytes"] / 1e9}
    return {name: amount / seconds for name, amount in amounts.items() if amount}
