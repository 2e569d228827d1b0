"""One checkout's half of `compare.py`: its entries, each called when the other half has had its turn.

It runs pytest over the checkout's own bench, in a process that `compare.py` started, and talks to it in lines of
JSON: `ids` and then, for each entry in common, `ready`, the `seconds` of so many `calls`, and `done`. All that it
needs of a bench is that its entries call the fixture `measure` as `measure(work, contender, run, check, restore)` or
`measure.typical(work, contender, run, rounds)`, and that the fixture's class is `measurement.Measure`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Turns:
    """A pytest plugin that calls an entry when it is told to, instead of measuring it.

    Parameters
    ----------
    checkout : Path
        What is measured.
    """

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._reason = ""
        self._questions, self._answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what else is printed must not come between the answers

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Name the entries, and keep those that the other checkout has too, in the order given."""
        self._take_the_place_of_measure()
        by_id = {item.nodeid: item for item in items}
        self._say(ids=list(by_id))
        items[:] = [by_id[name] for name in self._hear()["ids"]]

    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """Remember why an entry was not called."""
        if call.excinfo:
            self._reason = call.excinfo.exconly().splitlines()[0]

    def pytest_runtest_logfinish(self) -> None:
        """Say that an entry is done with."""
        self._say(done=self._reason)
        self._reason = ""

    def _take_the_place_of_measure(self) -> None:
        imported = Path(importlib.import_module("fastfnn_kernels").__file__ or "")
        if self._checkout not in imported.resolve().parents:
            raise pytest.UsageError(f"{self._checkout} is to be measured, and {imported} was imported")
        measure: Any = importlib.import_module("measurement").Measure
        measure.__call__ = lambda _, *arguments, **options: self._measure(*arguments, **options)
        measure.typical = lambda _, work, contender, run, rounds: self._take_turns(run, None)
        if hasattr(measure, "filed_as"):
            measure.filed_as = lambda itself, *_: itself

    def _measure(
        self,
        work: Any,
        contender: str,
        run: Callable[[], Any],
        check: Callable[[Any], None],
        restore: Callable[[], None] | None = None,
        round_seconds: float = 0.0,
    ) -> None:
        if restore:
            restore()
        check(run())
        self._take_turns(run, restore)

    def _take_turns(self, run: Callable[[], Any], restore: Callable[[], None] | None) -> None:
        self._say(ready=True)
        while calls := self._hear()["calls"]:
            _seconds(run, restore, 1)
            self._say(seconds=_seconds(run, restore, calls))

    def _say(self, **message: Any) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()

    def _hear(self) -> dict[str, Any]:
        line = self._questions.readline()
        if not line:
            pytest.exit("the other side is gone")
        message: dict[str, Any] = json.loads(line)
        return message


def _seconds(run: Callable[[], Any], restore: Callable[[], None] | None, calls: int) -> float:
    """Return what some calls take together, without putting back what they change."""
    if restore is None:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - start
    return sum(_restored_seconds(run, restore) for _ in range(calls))


def _restored_seconds(run: Callable[[], Any], restore: Callable[[], None]) -> float:
    restore()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    checkout, *options = sys.argv[1:]
    turns = Turns(Path(checkout).resolve())
    sys.exit(pytest.main(["bench", "-q", "-s", "-p", "no:cacheprovider", "--benchmark-disable", *options], [turns]))
