"""The number of CPUs that this process may keep busy.

It may be smaller than the number of CPUs that the process may run on. A container has a quota of CPU time per period,
which the scheduler enforces on all of its threads together. Linux states the quota in the files of the process's
control group (https://docs.kernel.org/admin-guide/cgroup-v2.html, "cpu.max"; in version 1, "cpu.cfs_quota_us").
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VARIABLE = "FASTFNN_NUM_THREADS"
NUMBAS_VARIABLE = "NUMBA_NUM_THREADS"

# The mount point of the control groups in Linux, and the file with the groups of this process.
CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")

# Mount points of the CPU time controller in version 1.
V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


class Limit(NamedTuple):
    """A number of threads, and the reason for it."""

    n_threads: int
    reason: str


def usable_cpus(control_groups: Path = CONTROL_GROUPS, own_groups: Path = OWN_GROUPS) -> Limit:
    """Return the smallest of the allowed CPUs, the quota and the limits in environment variables.

    Parameters
    ----------
    control_groups, own_groups : Path
        Files in which Linux describes control groups.

    Returns
    -------
    Limit
        At least 1 thread.

    Raises
    ------
    ValueError
        If FASTFNN_NUM_THREADS or NUMBA_NUM_THREADS is set to anything but a whole number from 1 up.
    """
    limits = [Limit(allowed_cpus(), "the CPUs that this process may run on"), Limit(most_threads(), NUMBAS_VARIABLE)]
    quota = cpu_quota(control_groups, own_groups)
    if quota is not None:
        limits.append(Limit(max(1, math.ceil(quota)), f"its control group's quota of {quota:g} CPUs"))
    asked = asked_threads()
    if asked is not None:
        limits.append(Limit(asked, VARIABLE))
    return min(limits, key=lambda limit: limit.n_threads)


def asked_threads() -> int | None:
    """Return the number in FASTFNN_NUM_THREADS; None if it is not set, or empty."""
    return _number_in(VARIABLE)


def allowed_cpus() -> int:
    """Count the CPUs that the scheduler may put this process on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_threads() -> int:
    """Return the maximum number of threads of Numba, which is fixed when Numba is imported."""
    return _number_in(NUMBAS_VARIABLE) or allowed_cpus()


def _number_in(variable: str) -> int | None:
    """Return the whole number from 1 up in an environment variable; None if it is not set, or empty."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} must be a whole number from 1 up; got {text!r}")
    return int(text)


def cpu_quota(control_groups: Path = CONTROL_GROUPS, own_groups: Path = OWN_GROUPS) -> float | None:
    """Return the number of CPUs that the process's control group may keep busy on average; None without a limit."""
    quotas = [quota for folder in _own_folders(control_groups, own_groups) for quota in _quotas_of(folder)]
    return min(quotas, default=None)


def _own_folders(control_groups: Path, own_groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of their parents, as far as they are visible.

    In a container the names may be those of the host, while its own mount contains only the root group.
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
    """Yield the quota in a group's files, in either version."""
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
