"""How often a run goes through the suite: as often as its time allows."""

from __future__ import annotations

import time

import pytest

# A shared machine is slow for seconds or minutes at a time, which must not decide about the one entry that was being
# measured then.
MOST = 5

# After it no pass begins that would not end in time, if it took as long as the longest before. A whole run takes at
# most half an hour; the rest is for its charts.
SECONDS = 29 * 60


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
