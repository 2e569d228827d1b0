"""The results of all CPUs as one Markdown table, a column each: the short form, for bench/README.md and README.md."""

from __future__ import annotations

from collections.abc import Sequence

from contenders import NUMBA, PEERS, PUBLISHED
from entries import MEMORY, SCALING, Results, Work
from tables import MISSING, dated, machine_lines, memory_of, ratio, table, time_of


def summary(runs: Sequence[Results]) -> str:
    """Write the whole table, and below it what each CPU's figures were measured with.

    Parameters
    ----------
    runs : sequence of Results
        One for each CPU.

    Returns
    -------
    str
        Markdown.
    """
    machines = [line for results in runs for line in ["", *machine_lines(results)]]
    return "\n".join([*rows_of(headlines(runs), runs), *machines])


def part(works: Sequence[str], runs: Sequence[Results]) -> str:
    """Write the rows of some works.

    Raises
    ------
    SystemExit
        If there is no such work.
    """
    cells = headlines(runs)
    unknown = [work for work in works if work not in cells]
    if unknown:
        raise SystemExit(f"no results of {', '.join(unknown)}; there are those of {', '.join(cells)}")
    return "\n".join(rows_of({work: cells[work] for work in works}, runs))


def rows_of(cells: dict[str, list[str]], runs: Sequence[Results]) -> list[str]:
    """Return the lines of a table that has a column for each CPU."""
    columns = [f"{results.cpu}<br>{dated(results)}" for results in runs]
    return table(["work", *columns], [[work, *of_work] for work, of_work in cells.items()])


def headlines(runs: Sequence[Results]) -> dict[str, list[str]]:
    """Return a cell for each CPU, by the work's title."""
    columns = [{title: cell for work in results.works for title, cell in _cells(work)} for results in runs]
    titles = dict.fromkeys(title for column in columns for title in column)
    return {title: [column.get(title, MISSING) for column in columns] for title in titles}


def _cells(work: Work) -> list[tuple[str, str]]:
    if not work.headline:
        return []
    if work.subject == SCALING:
        return [(f"{work.headline}: all threads against one", _speedups(work))]
    return [(work.headline, _memories(work) if work.subject == MEMORY else _times(work))]


def _times(work: Work) -> str:
    """Write our time, and how many times as long others take."""
    ours, peer = work.ours, work.best_peer
    if ours is None:
        return MISSING
    others = {"NumPy": work.numpy, PUBLISHED: work.by(PUBLISHED), peer.contender if peer else "": peer}
    ratios = ", ".join(f"{name} {ratio(other, ours)}" for name, other in others.items() if other)
    return "; ".join(filter(None, [time_of(ours.seconds), ratios]))


def _memories(work: Work) -> str:
    """Write how much memory each takes."""
    others = ", ".join(f"{entry.contender} {memory_of(entry)}" for entry in work.entries if entry != work.ours)
    return "; ".join(filter(None, [memory_of(work.ours) if work.ours else MISSING, others]))


def _speedups(work: Work) -> str:
    """Write how many times as fast each is on all threads as on one."""
    most = {name: work.curve(name)[-1] for name in (NUMBA, *PEERS) if work.curve(name)}
    written = {name: f"{work.speedup(entry):.2f}x" for name, entry in most.items()}
    ours = written.pop(NUMBA, MISSING)
    return "; ".join(filter(None, [ours, ", ".join(f"{name} {speedup}" for name, speedup in written.items())]))
