"""Turn results into Markdown and charts.

usage: python bench/report.py                 the tables of bench/README.md and README.md, a column for each CPU
       python bench/report.py RESULTS.json    a run's own table and charts, beside the file

Of each CPU the last run in bench/results counts. README.md keeps the rows that it has.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from charts import draw_chart
from entries import MEMORY, SCALING, Results, latest_of_each_cpu, read_results
from scaling_chart import draw_scaling
from side_by_side import part, summary
from tables import full_report

BENCH = Path(__file__).parent
RESULTS = BENCH / "results"
START, END = "<!-- bench:start -->", "<!-- bench:end -->"


def main() -> None:
    """Run the command."""
    if len(sys.argv) > 1:
        report_run(Path(sys.argv[1]))
    else:
        renew_tables()


def report_run(path: Path) -> None:
    """Write the table and the charts of a run beside its results, and print its short table."""
    results = read_results(path)
    path.with_suffix(".md").write_text(full_report(results, _draw_charts(results, path)), encoding="utf-8")
    print(summary([results]))


def renew_tables() -> None:
    """Write the table of all CPUs into bench/README.md, and the rows that README.md shows of it into that."""
    runs = latest_of_each_cpu(RESULTS)
    replace_section(BENCH / "README.md", summary(runs))
    readme = BENCH.parent / "README.md"
    replace_section(readme, part(works_shown(section_of(readme)), runs))


def works_shown(section: str) -> list[str]:
    """Return the first cell of each row of a table, but for its head."""
    return re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[1:]


def section_of(page: Path) -> str:
    """Return what stands between the two markers.

    Parameters
    ----------
    page : Path
        A Markdown file.

    Raises
    ------
    SystemExit
        If the file has not both markers, in this order.
    """
    _, start, rest = page.read_text(encoding="utf-8").partition(START)
    section, end, _ = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{page} must hold {START} and, behind it, {END}")
    return section


def replace_section(page: Path, section: str) -> None:
    """Replace what stands between the two markers; errors as in `section_of`."""
    text = page.read_text(encoding="utf-8")
    before, after = START + section_of(page) + END, f"{START}\n{section}\n{END}"
    page.write_text(text.replace(before, after), encoding="utf-8")


def _draw_charts(results: Results, path: Path) -> dict[str, str]:
    """Draw each subject that is measured in seconds beside `path`; returns the pictures' names."""
    names = {}
    timed = {subject: works for subject, works in results.by_subject().items() if subject != MEMORY}
    for subject, works in timed.items():
        slug = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")
        names[subject] = f"{path.stem}-{slug}.png"
        draw = draw_scaling if subject == SCALING else draw_chart
        draw(subject, works, path.with_name(names[subject]))
    return names


if __name__ == "__main__":
    main()
