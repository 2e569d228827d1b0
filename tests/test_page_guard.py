"""No kernel touches memory outside its arguments, or writes to its inputs, whatever their shapes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from page_guard import FAMILIES

DEADLY = {-signal.SIGSEGV, -signal.SIGBUS}

TOUCH = """
import ctypes, resource
import numpy as np
from page_guard import place
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
array = place(np.arange(5, dtype=np.float32), {edge!r}, writable={writable})
element = ctypes.c_float.from_address(array.ctypes.data + array.itemsize * {index})
print(element.value, flush=True)
element.value = 7
print(element.value, flush=True)
"""


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_nothing_outside_the_arguments_is_touched():
    """In one process: to start one for each family and load its kernels takes as long as its calls."""
    done = run("page_guard.py")
    calls = done.stdout.splitlines()
    assert done.returncode == 0, f"exit status {done.returncode} in {calls[-1:]}\n{done.stderr}"
    assert len(calls) > 600 * len(FAMILIES)


@pytest.mark.parametrize(
    ("edge", "writable", "index", "printed"),
    [
        ("end", True, 4, ["4.0", "7.0"]),
        ("end", True, 5, []),
        ("end", False, 4, ["4.0"]),
        ("begin", True, 0, ["0.0", "7.0"]),
        ("begin", True, -1, []),
        ("begin", False, 0, ["0.0"]),
    ],
)
def test_the_guard_kills_who_reads_or_writes_what_it_must_not(edge, writable, index, printed):
    done = run("-c", TOUCH.format(edge=edge, writable=writable, index=index))
    assert done.stdout.split() == printed, done.stderr
    if len(printed) == 2:
        assert done.returncode == 0
    else:
        assert done.returncode in DEADLY
