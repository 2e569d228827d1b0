"""Measure, and write the results with their table and charts: `make bench`.

usage: python bench/run.py [PYTEST OPTIONS]          (for instance -k full_batch, -m "not peer")

The JSON file is named for the day, the CPU and the number of threads. Results of the whole suite go to bench/results,
and into the tables of bench/README.md and README.md; those of a part go to build/bench.
"""

from __future__ import annotations

import datetime
import subprocess
import sys

import machine
from fastfnn_kernels.runtime import get_num_threads
from report import BENCH, RESULTS, renew_tables, report_run

PARTS = BENCH.parent / "build" / "bench"


def main() -> None:
    """Run the suite and its report."""
    options = sys.argv[1:]
    name = f"{datetime.date.today()}-{machine.cpu_slug()}-{get_num_threads()}-threads.json"
    PARTS.mkdir(parents=True, exist_ok=True)
    measured = PARTS / name
    pytest = [sys.executable, "-m", "pytest", str(BENCH), "-q", "--benchmark-enable", "--benchmark-quiet"]
    subprocess.run([*pytest, f"--benchmark-json={measured}", *options], check=True, cwd=BENCH.parent)
    if options:
        report_run(measured)
    else:
        report_run(measured.replace(RESULTS / name))
        renew_tables()


if __name__ == "__main__":
    main()
