"""Damage files at random, and see that each gives a right result or a message of one line.

`python tests/fuzz.py --seconds 600` runs for ten minutes, with a line of progress every ten seconds. The first
finding ends it: the damaged file is kept, and its seed and number are printed, with which
`--seed 1 --only csv --first 1234 --count 1` repeats it.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import fuzz_datasets
import fuzz_networks
import fuzz_runs
from fuzz_format import Format, Outcome, Subject, safe_name

# Bytes of addresses, by far more than any of these small files needs: a file that declares terabytes is found.
MEMORY = 4 << 30

SECONDS_BETWEEN_LINES = 10

# Files of compiled kernels are damaged in a process of their own.
KERNELS = "kernels"
KERNELS_A_SECOND = 20


def all_formats() -> list[Format]:
    return [*fuzz_datasets.formats(), *fuzz_networks.formats(), *fuzz_runs.formats()]


def main() -> int:
    options = parsed(sys.argv[1:])
    limit_memory()
    warnings.simplefilter("error")
    formats = all_formats()
    chosen = [of for of in formats if options.only in ("", of.name)]
    if not chosen and options.only != KERNELS:
        print(f"--only takes one of: {', '.join(of.name for of in formats)}, {KERNELS}")
        return 2
    with tempfile.TemporaryDirectory() as folder, damaged_kernels(Path(folder) / KERNELS, options) as kernels:
        status = fuzz([subject_in(Path(folder), of) for of in chosen], options) if chosen else 0
        return status or int(kernels is not None and kernels.wait() != 0)


@contextmanager
def damaged_kernels(folder: Path, options: argparse.Namespace) -> Iterator[subprocess.Popen[bytes] | None]:
    """Begin to damage the files of compiled kernels in a process of its own, if they are asked for."""
    if options.only not in ("", KERNELS):
        yield None
        return
    n_damages = options.count or math.ceil(KERNELS_A_SECOND * options.seconds)
    program = Path(__file__).with_name("fuzz_kernels.py")
    command = [sys.executable, program, "--seed", str(options.seed), "--count", str(n_damages)]
    with subprocess.Popen(command, env=os.environ | {"FASTFNN_CACHE_DIR": str(folder)}) as process:
        try:
            yield process
        finally:
            process.kill()


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long; without, until --count")
    parser.add_argument("--count", type=int, help="damages of each format; without, until --seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first damage")
    parser.add_argument("--only", default="", help="one format")
    options = parser.parse_args(arguments)
    if options.count is None and options.seconds == float("inf"):
        parser.error("give --seconds or --count")
    return options


def limit_memory() -> None:
    """Limit the memory of this process, where the system can."""
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def subject_in(folder: Path, of: Format) -> Subject:
    own = folder / safe_name(of.name)
    own.mkdir()
    return Subject(of, own)


def fuzz(subjects: Sequence[Subject], options: argparse.Namespace) -> int:
    """Damage files in turns; return the exit status."""
    accepted: Counter[str] = Counter()
    done: Counter[str] = Counter()
    start = shown = time.monotonic()
    for subject, number in turns(subjects, options):
        if time.monotonic() - start > options.seconds:
            break
        outcome = subject.outcome(options.seed, number)
        name = subject.format.name
        if outcome.fault is not None:
            report(subject.format, options.seed, number, outcome)
            return 1
        done[name] += 1
        accepted[name] += outcome.accepted
        if time.monotonic() - shown > SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            print(f"{shown - start:.0f} s: {done.total():,} damages", flush=True)
    for name in done:
        print(f"{name}: {done[name]} damages, {accepted[name]} accepted, no finding")
    return 0


def turns(subjects: Sequence[Subject], options: argparse.Namespace) -> Iterator[tuple[Subject, int]]:
    end = None if options.count is None else options.first + options.count
    for number in count(options.first) if end is None else range(options.first, end):
        for subject in subjects:
            if number % subject.format.every == 0:
                yield subject, number


def report(of: Format, seed: int, number: int, outcome: Outcome) -> None:
    kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / of.file
    kept.write_bytes(outcome.content)
    print(f"{of.name}, --seed {seed} --first {number}, kept as {kept}:\n{outcome.fault}")


if __name__ == "__main__":
    sys.exit(main())
