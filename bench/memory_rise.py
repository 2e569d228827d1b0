"""What a training takes of a process's memory: a program that `bench_mini_batch.py` starts for each contender.

usage: python bench/memory_rise.py CONTENDER DATA DTYPE BATCH_SIZE

It prints the bytes by which the peak of two epochs exceeds what the process held before. By then the samples are
loaded as they come, a small training, which stays in memory, has loaded or compiled code, and what that has freed is
given back to the system.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest
from adam_job import adam_job
from contenders import operations_of

# Linux only: a 5 written into the first begins the peak anew.
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")

FIRST_BATCHES = 4


def memory_rise(contender: str, data: str, dtype: str, batch_size: int) -> int:
    """Measure a contender in a process of its own; skips the entry where the system does not tell peaks."""
    if not CLEAR.exists():
        pytest.skip("only Linux tells a process's peak of memory anew")
    command = [sys.executable, __file__, contender, data, dtype, str(batch_size)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def main() -> None:
    """Run the program."""
    contender, data, dtype, batch_size = sys.argv[1:]
    job = adam_job(data, dtype, int(batch_size))
    begin = operations_of(contender).adam_batches
    small = begin(job.first(FIRST_BATCHES))
    small.epoch()
    _give_back_memory()
    CLEAR.write_text("5")
    before = _status("VmRSS")
    trainer = begin(job)
    trainer.epoch()
    trainer.epoch()
    print(_status("VmHWM") - before)


def _give_back_memory() -> None:
    """Return freed memory to the system, where the C library is glibc: a training could use it without a rise."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{STATUS} has no {name}")
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
