"""Compare two checkouts, entry by entry, in turns: `make bench-compare OLD=... SELECT=...`.

usage: python bench/compare.py OLD [-k SELECT] [--pairs N]

OLD is a folder or anything that git calls a commit. Each checkout runs its own bench in a process of its own, with
its own compiled kernels. The processes are called in turns, the old one first in every other pair. The peak of
multiply-adds is measured around every turn; a pair is kept when the machine was itself in both turns. What both
checkouts have is compared; other libraries are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentary import around, settled_peak
from summary import lowest_kept
from tables import time_of

BENCH = Path(__file__).parent
CHECKOUT = BENCH.parent

# To keep of each entry, and how many times as many are tried for them.
PAIRS = 20
MOST_TRIES = 3

# Shorter calls are timed several at once.
TURN_SECONDS = 0.005


class Side:
    """One checkout's process."""

    def __init__(self, checkout: Path, select: str, log: Path, cache: Path | None) -> None:
        self.ids: list[str] = []
        self._log = log
        paths = [str(checkout), str(checkout / "kernels")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_WAIT_POLICY": "passive"}
        if cache:
            environment["FASTFNN_CACHE_DIR"] = str(cache)
        command = [sys.executable, "-P", str(BENCH / "turns.py"), str(checkout), "-m", "not peer", "-k", select]
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=checkout,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def say(self, **message: Any) -> None:
        """Send a message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return the next message; ends the program with what the process printed if there is none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(self._log.read_text() or "a checkout's process ended")
        message: dict[str, Any] = json.loads(line)
        return message

    def seconds(self, calls: int) -> float:
        """Call the entry once unmeasured, and then so often; returns what these calls take together."""
        self.say(calls=calls)
        return float(self.hear()["seconds"])

    def finish(self) -> str:
        """End the entry; returns why it could not be called, or nothing."""
        self.say(calls=0)
        return str(self.hear()["done"])

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            process.terminate()


@dataclass(frozen=True)
class Comparison:
    """What two checkouts took for one entry, in turns.

    Attributes
    ----------
    pairs : list of tuple of float
        Seconds of a call in the old and in the new checkout, of the pairs that are kept.
    n_pairs : int
        All pairs.
    """

    pairs: list[tuple[float, float]]
    n_pairs: int

    def __str__(self) -> str:
        """Describe the median, the quartiles between which half of the pairs lie, and how many there are."""
        kept = f"{len(self.pairs)} of {self.n_pairs} pairs kept"
        if len(self.pairs) < 2:
            return f"the machine was too busy: {kept}"
        ratios = [new / old for old, new in self.pairs]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        old, new = (time_of(min(seconds)) for seconds in zip(*self.pairs, strict=True))
        return f"{middle:.3f} [{low:.3f}, {high:.3f}] of the old time, {kept}, best {old} -> {new}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Compare two checkouts, entry by entry, in turns.")
    parser.add_argument("old", help="a folder, or a commit")
    parser.add_argument(
        "-k", dest="select", default="numba", help="as in pytest; all of the Numba kernels by default"
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help="to keep of each entry")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        checkout, cache = stack.enter_context(old_checkout(arguments.old, folder))
        old = Side(checkout, arguments.select, folder / "old.log", cache)
        stack.callback(old.close)
        new = Side(CHECKOUT, arguments.select, folder / "new.log", None)
        stack.callback(new.close)
        compare(old, new, arguments.pairs)


@contextlib.contextmanager
def old_checkout(old: str, folder: Path) -> Iterator[tuple[Path, Path | None]]:
    """Return a checkout, and the cache for its kernels where it is a temporary one."""
    if Path(old, "bench").is_dir():
        yield Path(old).resolve(), None
        return
    worktree = folder / "old"
    git = ["git", "-C", str(CHECKOUT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(worktree), old], check=True)
    try:
        yield worktree.resolve(), folder / "cache"
    finally:
        subprocess.run([*git, "remove", "--force", str(worktree)], check=True)


def compare(old: Side, new: Side, n_pairs: int) -> None:
    """Compare the entries that both sides have, and print each."""
    old.ids, new.ids = old.hear()["ids"], new.hear()["ids"]
    common = [name for name in new.ids if name in old.ids]
    for side in (old, new):
        side.say(ids=common)
    for label, side in (("old", old), ("new", new)):
        if alone := [name for name in side.ids if name not in common]:
            print(f"only in the {label} checkout: {', '.join(alone)}")
    for name in common:
        print(name, compare_entry(old, new, n_pairs), sep=": ", flush=True)


def compare_entry(old: Side, new: Side, n_pairs: int) -> Comparison | str:
    """Measure an entry in turns; returns what was measured, or why it could not be."""
    heard = [(side, side.hear()) for side in (old, new)]
    ready = [side for side, message in heard if "ready" in message]
    if len(ready) < len(heard):
        reasons = [message["done"] for _, message in heard if "done" in message]
        for side in ready:
            side.finish()
        return "; ".join(reasons)
    comparison = _in_turns(old, new, n_pairs)
    for side in ready:
        side.finish()
    return comparison


def kept(turns: list[tuple[float, float]], peaks: list[float]) -> list[tuple[float, float]]:
    """Return the pairs in which the machine was itself twice.

    Parameters
    ----------
    turns : list of tuple of float
        Seconds of the old and of the new checkout, pair by pair.
    peaks : list of float
        Before the first turn, and after each.
    """
    lowest, moments = lowest_kept(peaks), around(peaks)
    return [turn for pair, turn in enumerate(turns) if min(moments[2 * pair : 2 * pair + 2]) >= lowest]


def _in_turns(old: Side, new: Side, n_pairs: int) -> Comparison:
    calls = max(1, math.ceil(TURN_SECONDS / max(side.seconds(1) for side in (old, new))))
    turns: list[tuple[float, float]] = []
    peaks = [settled_peak("float32")]
    good: list[tuple[float, float]] = []
    while len(good) < n_pairs and len(turns) < MOST_TRIES * n_pairs:
        seconds: dict[Side, float] = {}
        for side in (old, new) if len(turns) % 2 == 0 else (new, old):
            seconds[side] = side.seconds(calls) / calls
            peaks.append(settled_peak("float32"))
        turns.append((seconds[old], seconds[new]))
        good = kept(turns, peaks)
    return Comparison(good, len(turns))


if __name__ == "__main__":
    main()
