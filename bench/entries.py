"""The results of a run, read back from the JSON file that pytest-benchmark wrote; and the last run of each CPU."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders import BARE_NUMPY, NUMBA, NUMPY, PEERS

SCALING = "scaling"
MAPPED = "full-batch step over mapped rows"
MEMORY = "memory of a training with Adam"

# What a user waits for comes first, the operations it is made of after it.
FIRST_SUBJECTS = (
    "full-batch step",
    SCALING,
    MAPPED,
    "mini-batch training",
    "training with Adam",
    MEMORY,
    "prediction",
    "scikit-learn's fit",
    "scikit-learn's predictions",
    "start-up",
)


@dataclass(frozen=True)
class Entry:
    """What one contender took for one work; rates are None where they say nothing of it."""

    work: str
    subject: str
    case: str
    headline: str
    contender: str
    threads: int
    seconds: float
    median_seconds: float
    n_rounds: int
    n_kept: int | None
    first_call_seconds: float
    samples_per_second: float | None
    gflops: float | None
    gbs: float | None
    share_of_peak: float | None
    memory_bytes: float | None


@dataclass(frozen=True)
class Work:
    """The entries that did the same, in the order they ran."""

    entries: Sequence[Entry]

    @property
    def subject(self) -> str:
        """The operation."""
        return self.entries[0].subject

    @property
    def case(self) -> str:
        """Its shape and kind."""
        return self.entries[0].case

    @property
    def headline(self) -> str:
        """Its title in the short table, or nothing."""
        return self.entries[0].headline

    @property
    def ours(self) -> Entry | None:
        """The package's Numba kernels."""
        return self.by(NUMBA)

    @property
    def numpy(self) -> Entry | None:
        """The faster of the NumPy backend and NumPy's bare expressions."""
        return self.by(NUMPY, BARE_NUMPY)

    @property
    def best_peer(self) -> Entry | None:
        """The fastest other library."""
        return self.by(*PEERS)

    def by(self, *contenders: str) -> Entry | None:
        """Return the fastest entry of these contenders, or None when none took part."""
        found = [entry for entry in self.entries if entry.contender in contenders]
        return min(found, key=lambda entry: entry.seconds, default=None)

    def curve(self, contender: str) -> list[Entry]:
        """Return a contender's entries from the fewest threads to the most."""
        return sorted(
            (entry for entry in self.entries if entry.contender == contender), key=lambda entry: entry.threads
        )

    def speedup(self, entry: Entry) -> float:
        """Return how many times as fast an entry is as the same contender on the fewest threads, which is one."""
        return self.curve(entry.contender)[0].seconds / entry.seconds


@dataclass(frozen=True)
class Results:
    """One run.

    Attributes
    ----------
    works : list of Work
        Trainings and predictions first, the others in the order they ran.
    peaks : dict
        "cpu", "threads", "fma_gflops" by dtype, and "copy_gbs".
    versions : dict
        Of the libraries that took part.
    settings : dict
        What contenders' libraries were set to, in words.
    time : str
        When the run ended.
    commit : str
        What was measured; empty where it is not known.
    """

    works: Sequence[Work]
    peaks: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, str]
    time: str
    commit: str

    @property
    def date(self) -> str:
        """Day of the run."""
        return self.time[:10]

    @property
    def cpu(self) -> str:
        """The CPU, and on how much of it was measured."""
        threads = self.peaks["threads"]
        return f"{self.peaks['cpu']}, {threads} thread{'s' if threads > 1 else ''}"

    def by_subject(self) -> dict[str, list[Work]]:
        """Return the works of each subject."""
        subjects: dict[str, list[Work]] = defaultdict(list)
        for work in self.works:
            subjects[work.subject].append(work)
        return dict(subjects)


def read_results(path: Path) -> Results:
    """Read the file that `pytest bench --benchmark-json` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Results
    """
    content = json.loads(path.read_text())
    machine = content["machine_info"]
    entries: dict[str, list[Entry]] = defaultdict(list)
    for benchmark in content["benchmarks"]:
        entry = _entry(benchmark)
        entries[entry.work].append(entry)
    works = sorted((Work(of_work) for of_work in entries.values()), key=_rank)
    settings, commit = machine.get("settings", {}), _commit(content["commit_info"])
    return Results(works, machine["peaks"], machine["versions"], settings, content["datetime"], commit)


def latest_of_each_cpu(folder: Path) -> list[Results]:
    """Read the last run of each CPU whose results lie in `folder`, in the order of the CPUs' names."""
    runs = sorted((read_results(path) for path in folder.glob("*.json")), key=lambda results: results.time)
    latest = {results.cpu: results for results in runs}
    return [latest[cpu] for cpu in sorted(latest)]


def _commit(info: dict[str, Any]) -> str:
    commit = info["id"][:7] if info["time"] else ""
    return f"{commit} with changes" if commit and info["dirty"] else commit


def _entry(benchmark: dict[str, Any]) -> Entry:
    info = benchmark["extra_info"]
    described = ("work", "subject", "case", "headline", "contender", "threads", "first_call_seconds")
    rates = ("samples_per_second", "gflops", "gbs", "share_of_peak", "memory_bytes")
    return Entry(
        seconds=benchmark["stats"][info["statistic"]],
        median_seconds=benchmark["stats"]["median"],
        n_rounds=benchmark["stats"]["rounds"],
        n_kept=benchmark["stats"].get("kept"),
        **{name: info[name] for name in described},
        **{name: info.get(name) for name in rates},
    )


def _rank(work: Work) -> int:
    subjects = FIRST_SUBJECTS
    return subjects.index(work.subject) if work.subject in subjects else len(subjects)
