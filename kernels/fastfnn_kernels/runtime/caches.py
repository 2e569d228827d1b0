"""The sizes of the machine's data caches.

Linux describes the caches of each CPU in files (Documentation/ABI/testing/sysfs-devices-system-cpu in its sources).
macOS has a number for each size (`man 3 sysctl`). Elsewhere, and where the system says nothing, sizes are assumed.
"""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CPU_FOLDERS = Path("/sys/devices/system/cpu")

# In macOS, level 0 are the fastest cores. Versions before 12 know no levels, only the names without one.
SYSCTL_NAMES = (
    "hw.perflevel0.l1dcachesize", "hw.perflevel0.l2cachesize", "hw.perflevel0.cpusperl2", "hw.l1dcachesize",
    "hw.l2cachesize", "hw.l3cachesize", "hw.physicalcpu", "hw.logicalcpu",
)  # fmt: skip

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True)
class Caches:
    """Bytes of data caches.

    Attributes
    ----------
    first, second : int
        The first and the second level of one core: of a cache that cores share, an equal part.
    last : int
        The largest level, which cores share, as a whole.
    """

    first: int
    second: int
    last: int


# Sizes that hold for most CPUs. 32 KiB: Intel's cores since 2006, AMD's since 2017 and Arm's large ones have at least
# as much. 512 KiB: AMD's Zen 1 to 3. Later cores of all makers have more; only Intel's laptops and desktops before
# 2020 have less. 8 MiB: a laptop or desktop with four cores.
DEFAULT = Caches(32 * KIB, 512 * KIB, 8 * MIB)

# Sizes beyond which a virtual machine must be wrong about its CPU.
LEAST = Caches(16 * KIB, 64 * KIB, 256 * KIB)
MOST = Caches(256 * KIB, 8 * MIB, 1024 * MIB)

UNKNOWN = Caches(0, 0, 0)


def system_caches() -> Caches:
    """Return the caches of this machine, as far as its system knows them."""
    if platform.system() == "Darwin":
        return caches_in_macos({name: _sysctl(name) for name in SYSCTL_NAMES})
    return caches_in_linux()


def caches_in_linux(cpu_folders: Path = CPU_FOLDERS) -> Caches:
    """Return the caches in Linux's files: of two kinds of cores, the smaller ones.

    Only the first and the last CPU are read, since CPUs of one kind have neighbouring numbers.

    Parameters
    ----------
    cpu_folders : Path
        The folder with one folder for each CPU.

    Returns
    -------
    Caches
        Plausible sizes.
    """
    folders = sorted(cpu_folders.glob("cpu[0-9]*/cache"), key=lambda folder: int(folder.parent.name[3:]))
    cores = [_caches_of_core(_levels(folder)) for folder in (*folders[:1], *folders[1:][-1:])] or [UNKNOWN]
    first = min((core.first for core in cores if core.first), default=0)
    second = min((core.second for core in cores if core.second), default=0)
    return _plausible(Caches(first, second, max(core.last for core in cores)))


def caches_in_macos(numbers: Mapping[str, int]) -> Caches:
    """Return the caches of the fastest cores, from macOS's `numbers`; 0 and missing ones are unknown."""
    first = numbers.get("hw.perflevel0.l1dcachesize") or numbers.get("hw.l1dcachesize") or 0
    second = numbers.get("hw.perflevel0.l2cachesize") or numbers.get("hw.l2cachesize") or 0
    n_threads = (numbers.get("hw.logicalcpu") or 1) // (numbers.get("hw.physicalcpu") or 1)
    n_cores = (numbers.get("hw.perflevel0.cpusperl2") or 1) // max(n_threads, 1)
    return _plausible(Caches(first, second // max(n_cores, 1), numbers.get("hw.l3cachesize") or second))


class _Level(NamedTuple):
    """A cache, and the number of CPUs that share it; a core with hardware threads counts once for each."""

    size: int
    n_cpus: int


def _levels(folder: Path) -> dict[int, _Level]:
    """Read the data caches of one CPU by level; caches for instructions alone are left out."""
    levels = {}
    for index in folder.glob("index[0-9]*"):
        level, size = _read(index / "level"), re.fullmatch(r"(\d+)K", _read(index / "size"))
        if level.isdecimal() and size and _read(index / "type") in ("Data", "Unified"):
            levels[int(level)] = _Level(int(size[1]) * KIB, _count_cpus(_read(index / "shared_cpu_list")))
    return levels


def _caches_of_core(levels: Mapping[int, _Level]) -> Caches:
    """Return one core's caches; 0 is unknown. The CPUs that share the first level are the threads of one core."""
    first, second, last = (levels.get(level, _Level(0, 1)) for level in (1, 2, max(levels, default=0)))
    return Caches(first.size, second.size // max(1, second.n_cpus // first.n_cpus), 0 if last is first else last.size)


def _count_cpus(ranges: str) -> int:
    """Count the CPUs in a list such as "0-3,8"; an unreadable one names a single CPU."""
    ends = [(int(first), int(last or first)) for first, last in re.findall(r"(\d+)(?:-(\d+))?", ranges)]
    return max(1, sum(last - first + 1 for first, last in ends))


def _plausible(found: Caches) -> Caches:
    """Replace unknown sizes and limit the others; the last level is no smaller than the second."""
    first = min(max(found.first or DEFAULT.first, LEAST.first), MOST.first)
    second = min(max(found.second or DEFAULT.second, LEAST.second), MOST.second)
    return Caches(first, second, min(max(found.last or DEFAULT.last, LEAST.last, second), MOST.last))


def _sysctl(name: str) -> int:
    """Return one of macOS's numbers; 0 if it has none of that name."""
    number = ctypes.c_uint64(0)  # it may have only four bytes, which are then the lower ones
    size = ctypes.c_size_t(ctypes.sizeof(number))
    ctypes.CDLL(None).sysctlbyname(name.encode(), ctypes.byref(number), ctypes.byref(size), None, ctypes.c_size_t(0))
    return number.value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
