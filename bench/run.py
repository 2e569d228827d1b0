"""Measure, and write the results with their table and charts: `make bench`.

usage: python bench/run.py [PYTEST OPTIONS]          (for instance -k full_batch, -m "not peer")

The JSON file is named for the day and the CPU. A run of the whole suite also renews the short table in
bench/README.md.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import machine

BENCH = Path(__file__).parent


def main() -> None:
    """Run the suite and its report."""
    options = sys.argv[1:]
    name = f"{datetime.date.today()}-{machine.cpu_slug()}.json"
    results = BENCH / "results" / name
    results.parent.mkdir(exist_ok=True)
    pytest = [sys.executable, "-m", "pytest", str(BENCH), "-q", "--benchmark-enable", "--benchmark-quiet"]
    subprocess.run([*pytest, f"--benchmark-json={results}", *options], check=True)
    report = [sys.executable, str(BENCH / "report.py"), str(results)]
    subprocess.run(report if options else [*report, "--readme", str(BENCH / "README.md")], check=True)


if __name__ == "__main__":
    main()
