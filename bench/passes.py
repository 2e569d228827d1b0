"""How often a run goes through the suite, which is as often as its time allows; and who begins when in turns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import cast

import pytest

# A shared machine is slow for seconds or minutes at a time, which must not decide about the one entry that was being
# measured then.
MOST = 5

# After it no pass begins that would not end in time, if it took as long as the longest before. A whole run takes at
# most forty minutes; the rest is for its charts.
SECONDS = 39 * 60

# Rounds of each entry that is measured in turns.
TURNS = 3


def in_turns(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return each work's entries as often as they have turns; every other turn goes backwards."""
    works = [list(of_work) for _, of_work in itertools.groupby(items, _work_of)]
    return [item for entries in works for turn in range(TURNS) for item in entries[:: -1 if turn % 2 else 1]]


def _work_of(item: pytest.Item) -> str:
    """Return the entry's name without its contender, which stands last."""
    contender = cast("pytest.Function", item).callspec.params["contender"]
    return item.nodeid.removesuffix(f"{contender}]")


class Pause(pytest.Item):
    """Nothing. Between two calls of one entry it makes pytest set up the fixtures anew."""

    def runtest(self) -> None:
        """Do nothing."""


def apart(items: Sequence[pytest.Item], pause: pytest.Item) -> list[pytest.Item]:
    """Put a pause wherever an entry would follow itself."""
    follows_itself = [item is before for before, item in itertools.pairwise([None, *items])]
    return [each for item, again in zip(items, follows_itself, strict=True) for each in ([pause] * again + [item])]


class Passes:
    """The passes of one run.

    Parameters
    ----------
    first_items : list of pytest.Item
        With which a pass begins.
    """

    def __init__(self, first_items: list[pytest.Item]) -> None:
        self._first_items = first_items
        self._started = self._pass_started = time.monotonic()
        self._longest = 0.0
        self.over = False

    def begins_with(self, item: pytest.Item) -> bool:
        """Tell whether a pass begins, and note whether there is no time for it."""
        if item not in self._first_items:
            return False
        now = time.monotonic()
        self._longest = max(self._longest, now - self._pass_started)
        self._pass_started = now
        self.over = self.over or now - self._started + self._longest > SECONDS
        return not self.over
