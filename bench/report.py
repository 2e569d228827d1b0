"""Turn the results of a run into a Markdown table and bar charts, and into the short table of bench/README.md.

usage: python bench/report.py RESULTS.json [--readme bench/README.md]
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from charts import draw_chart
from entries import SCALING, Results, read_results
from tables import full_report, headlines

START, END = "<!-- bench:start -->", "<!-- bench:end -->"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write the table and the charts of a bench run.")
    parser.add_argument("results", type=Path, help="the JSON file that pytest bench wrote")
    parser.add_argument("--readme", type=Path, help=f"file whose text between {START} and {END} is replaced")
    arguments = parser.parse_args()
    results = read_results(arguments.results)
    charts = _draw_charts(results, arguments.results)
    arguments.results.with_suffix(".md").write_text(full_report(results, charts))
    summary = headlines(results)
    if arguments.readme:
        replace_section(arguments.readme, summary)
    print(summary)


def replace_section(readme: Path, section: str) -> None:
    """Replace what stands between the two markers.

    Parameters
    ----------
    readme : Path
        A Markdown file.
    section : str
        What is to stand there.

    Raises
    ------
    SystemExit
        If the file has not both markers, in this order.
    """
    text = readme.read_text()
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{readme} must hold {START} and, behind it, {END}")
    readme.write_text(f"{before}{START}\n{section}\n{END}{after}")


def _draw_charts(results: Results, path: Path) -> dict[str, str]:
    """Draw each subject beside `path`; returns the pictures' names."""
    names = {}
    for subject, works in results.by_subject().items():
        if subject != SCALING:
            slug = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")
            names[subject] = f"{path.stem}-{slug}.png"
            draw_chart(subject, works, path.with_name(names[subject]))
    return names


if __name__ == "__main__":
    main()
