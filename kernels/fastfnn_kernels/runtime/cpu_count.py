"""How many CPUs this process may keep busy.

The CPUs it is allowed to run on are not the whole answer: a container's quota is CPU time per period, which the
scheduler enforces on all of its threads together. Linux tells it in the files of the process's control group
(https://docs.kernel.org/admin-guide/cgroup-v2.html, "cpu.max"; of version 1, "cpu.cfs_quota_us").
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VARIABLE = "FASTFNN_NUM_THREADS"
NUMBAS_VARIABLE = "NUMBA_NUM_THREADS"

# Where Linux mounts the control groups, and where it names those of this process.
CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")

# Folders of version 1 that the controller of CPU time is mounted on.
V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


class Limit(NamedTuple):
    """A number of threads, and what sets it."""

    n_threads: int
    reason: str


def usable_cpus(control_groups: Path = CONTROL_GROUPS, own_groups: Path = OWN_GROUPS) -> Limit:
    """Return the smallest of the CPUs allowed, the quota and what the environment variables say.

    Parameters
    ----------
    control_groups, own_groups : Path
        Linux's description of control groups.

    Returns
    -------
    Limit
        From 1 up.

    Raises
    ------
    ValueError
        If the variable is set and no whole number from 1 up.
    """
    limits = [Limit(allowed_cpus(), "the CPUs that this process may run on"), Limit(most_threads(), NUMBAS_VARIABLE)]
    quota = cpu_quota(control_groups, own_groups)
    if quota is not None:
        limits.append(Limit(max(1, math.ceil(quota)), f"its control group's quota of {quota:g} CPUs"))
    asked = os.environ.get(VARIABLE, "").strip()
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"{VARIABLE} must be a whole number from 1 up; got {asked!r}")
        limits.append(Limit(int(asked), VARIABLE))
    return min(limits, key=lambda limit: limit.n_threads)


def allowed_cpus() -> int:
    """Count the CPUs that the scheduler may put this process on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_threads() -> int:
    """Return how many threads Numba can start: it decides that when it is imported."""
    asked = os.environ.get(NUMBAS_VARIABLE, "")
    return int(asked) if asked.isdecimal() else allowed_cpus()


def cpu_quota(control_groups: Path = CONTROL_GROUPS, own_groups: Path = OWN_GROUPS) -> float | None:
    """Return the CPU time that this process's control group may use in a unit of time; None without a limit."""
    quotas = [quota for folder in _own_folders(control_groups, own_groups) for quota in _quotas_of(folder)]
    return min(quotas, default=None)


def _own_folders(control_groups: Path, own_groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of those around them, as far as they can be seen from here.

    In a container the names may be the host's, of which its own mount knows nothing but the root.
    """
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = Path(name.lstrip("/"))
        for mount in V1_MOUNTS if controllers else (".",):
            for part in (group, *group.parents):
                yield control_groups / mount / part


def _quotas_of(folder: Path) -> Iterator[float]:
    """Yield the quota that a group's files state, in either version."""
    for text in (
        _read(folder / "cpu.max"),
        f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}",
    ):
        quota, _, period = text.partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:  # not "max", not -1
            yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
