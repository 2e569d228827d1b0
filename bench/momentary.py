"""The machine's peak at a moment: multiply-adds a second, just before and just after a round.

On a shared machine the peak itself changes from moment to moment, and a round is judged by what it was then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from machine import fma_gflops

# Idle threads of OpenBLAS and of OpenMP go on spinning for tens of milliseconds, on CPUs that others want.
SETTLE_SECONDS = 0.05

# Of the loop of multiply-adds: two to five milliseconds. The few steps before it wake the threads.
STEPS = 500_000
WAKING_STEPS = 5_000

# What passes between two rounds, beside the unmeasured call.
GAP_SECONDS = SETTLE_SECONDS + 0.005


class Watch:
    """Measures the peak between rounds, and makes the machine ready for the next.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the numbers multiplied.
    call : callable
        Is called once after the peak, unmeasured: caches and threads are as the peak left them.
    """

    def __init__(self, dtype: str, call: Callable[[], object]) -> None:
        self._dtype = dtype
        self._call = call
        self._peaks: list[float] = []

    def between_rounds(self) -> None:
        """Let idle threads fall asleep, measure the peak and call once."""
        self._peaks.append(settled_peak(self._dtype))
        self._call()

    def around(self, n_rounds: int) -> list[float]:
        """Return the mean of the peaks before and after each of the first rounds."""
        return around(self._peaks[: n_rounds + 1])


def settled_peak(dtype: str) -> float:
    """Let idle threads fall asleep, and measure the peak of now in GFLOP/s, on all threads."""
    time.sleep(SETTLE_SECONDS)
    fma_gflops(dtype, WAKING_STEPS, rounds=1)
    return fma_gflops(dtype, STEPS, rounds=1)


def around(peaks: Sequence[float]) -> list[float]:
    """Return the mean of each two neighbours."""
    return [(before + after) / 2 for before, after in pairwise(peaks)]
