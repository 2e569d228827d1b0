"""How an entry is measured: verified first, warmed up, its state restored, the machine watched between rounds."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastfnn_kernels.runtime import get_num_threads
from momentary import GAP_SECONDS, SETTLE_SECONDS, Watch
from pytest_benchmark.fixture import BenchmarkFixture
from summary import MOMENTARY_PEAKS

# Of one pass through the suite.
SECONDS_PER_ENTRY = 0.5

# Calls shorter than this are timed several at once: the timer must not be what is measured.
MIN_ROUND_SECONDS = 1e-4

# Where the peak is measured between rounds, which takes as long.
MIN_WATCHED_SECONDS = 5e-3

CALIBRATION_SECONDS = 0.01


@dataclass(frozen=True)
class Work:
    """What is computed. Entries of one `name` did the same work, and are compared.

    Attributes
    ----------
    subject : str
        The operation, which is a chapter of the report.
    case : str
        Shape, and whatever else tells one work of a subject from another.
    dtype : str
        Of the computation.
    flop : float
        Floating-point operations, where the FMA rate is the limit.
    n_bytes : float
        Bytes read and written at least, where the memory is the limit.
    samples : int
        Samples learnt from or predicted.
    headline : str
        Its title in the short table; empty when it does not stand there.
    """

    subject: str
    case: str
    dtype: str
    flop: float = 0.0
    n_bytes: float = 0.0
    samples: int = 0
    headline: str = ""

    @property
    def name(self) -> str:
        """The key by which entries are compared."""
        return f"{self.subject}, {self.case}"


class Measure:
    """The fixture `measure`: verifies, times and describes one entry.

    `compare.py` replaces it, in other checkouts too: what entries call it with stays.
    """

    def __init__(self, benchmark: BenchmarkFixture, config: pytest.Config) -> None:
        self._benchmark = benchmark
        self._min_rounds = int(config.getoption("benchmark_min_rounds"))
        self._seconds = min(SECONDS_PER_ENTRY, float(config.getoption("benchmark_max_time")))
        self._filed: Callable[[Work], Work] = lambda work: work
        self._turn: int | None = None

    def filed_as(self, subject: str, case: str) -> Measure:
        """Return one whose works stand under another subject and case."""
        other = copy.copy(self)
        other._filed = lambda work: dataclasses.replace(work, subject=subject, case=case, headline=case)
        return other

    def in_turns(self, turn: int) -> Measure:
        """Return one that measures a single round, and verifies in turn 0 only."""
        other = copy.copy(self)
        other._turn = turn
        return other

    def __call__(
        self,
        work: Work,
        contender: str,
        run: Callable[[], Any],
        check: Callable[[Any], None],
        restore: Callable[[], None] | None = None,
        round_seconds: float = MIN_ROUND_SECONDS,
    ) -> None:
        """Measure one contender at one work.

        Parameters
        ----------
        work : Work
            What is computed.
        contender : str
            Who computes it.
        run : callable
            Does the work once and returns the result.
        check : callable
            Is given the result of the first call; raises AssertionError when it is wrong.
        restore : callable, optional
            Puts back what `run` changes; called before every run, and not timed.
        round_seconds : float
            Shorter calls are timed several at once, where nothing is put back.
        """
        if not self._benchmark.enabled:
            check(self._benchmark.pedantic(run, setup=restore))
            return
        first_call_seconds = 0.0 if self._turn else _verified(run, check, restore)
        work = self._filed(work)
        self._benchmark.group = work.name
        time.sleep(SETTLE_SECONDS)
        measure_rounds = self._watched_rounds if work.flop else self._rounds
        peaks = measure_rounds(work, run, restore, round_seconds)
        self._describe(work, contender, first_call_seconds, momentary_peaks=peaks)

    def typical(self, work: Work, contender: str, run: Callable[[], Any], rounds: int) -> None:
        """Measure the median time of what a user waits for, in some rounds.

        Parameters
        ----------
        work, contender, run
            As in a call.
        rounds : int
            How many.
        """
        self._benchmark.group = work.name
        self._benchmark.pedantic(run, rounds=rounds if self._benchmark.enabled else 1)
        measured = self._benchmark.stats
        if measured is not None:
            self._describe(work, contender, measured.stats.data[0], statistic="median")

    def note(self, **facts: float) -> None:
        """Add what else was measured of the entry to its results."""
        self._benchmark.extra_info.update(facts)

    def _rounds(
        self, _: Work, run: Callable[[], Any], restore: Callable[[], None] | None, round_seconds: float
    ) -> list[float]:
        """Measure round after round."""
        rounds, iterations = self._plan(run, restore, round_seconds)
        self._benchmark.pedantic(run, setup=restore, rounds=rounds, iterations=iterations)
        return []

    def _watched_rounds(
        self, work: Work, run: Callable[[], Any], restore: Callable[[], None] | None, round_seconds: float
    ) -> list[float]:
        """Measure the peak of multiply-adds around every round; returns them."""
        rounds, iterations = self._plan(run, restore, max(round_seconds, MIN_WATCHED_SECONDS), GAP_SECONDS)
        in_turns = self._turn is not None
        watch = Watch(work.dtype, lambda: None if in_turns else _timed(run, restore))
        watch.between_rounds()
        self._benchmark.pedantic(
            run, setup=restore, teardown=watch.between_rounds, rounds=rounds, iterations=iterations
        )
        return watch.around(rounds)

    def _plan(
        self,
        run: Callable[[], Any],
        restore: Callable[[], None] | None,
        round_seconds: float,
        gap_seconds: float = 0.0,
    ) -> tuple[int, int]:
        """Choose rounds, and calls in each, by the time that a warm call takes; a gap has a call of its own."""
        if self._turn is not None:
            return 1, 1
        start, n_calls, call_seconds = time.perf_counter(), 0, math.inf
        while (spent := time.perf_counter() - start) < CALIBRATION_SECONDS:
            call_seconds = min(call_seconds, _timed(run, restore)[0])
            n_calls += 1
        iterations = 1 if restore else max(1, math.ceil(round_seconds / call_seconds))
        calls = iterations + (gap_seconds > 0)
        rounds = math.ceil(self._seconds / (spent / n_calls * calls + gap_seconds))
        return max(self._min_rounds, rounds), iterations

    def _describe(
        self,
        work: Work,
        contender: str,
        first_call_seconds: float,
        momentary_peaks: list[float] | None = None,
        statistic: str = "min",
    ) -> None:
        self._benchmark.extra_info.update(
            work=work.name,
            contender=contender,
            threads=get_num_threads(),
            first_call_seconds=first_call_seconds,
            statistic=statistic,
            **dataclasses.asdict(work),
        )
        if momentary_peaks:
            self._benchmark.extra_info[MOMENTARY_PEAKS] = momentary_peaks


def _verified(run: Callable[[], Any], check: Callable[[Any], None], restore: Callable[[], None] | None) -> float:
    """Check what the first call returns; return the seconds of the call."""
    seconds, result = _timed(run, restore)
    check(result)
    return seconds


def _timed(run: Callable[[], Any], restore: Callable[[], None] | None) -> tuple[float, Any]:
    if restore:
        restore()
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result
