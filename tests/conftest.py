"""Fixtures that most test files use."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from types import ModuleType

import numpy as np
import processes
import pytest
from fastfnn_kernels import jitted, reference, runtime
from fastfnn_kernels.jitted._compile import jit
from fastfnn_kernels.runtime.cpu_count import most_threads
from hypothesis import Phase, settings
from other_cpus import Trials
from threadpoolctl import threadpool_limits

settings.register_profile("suite", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("brief", settings.get_profile("suite"), max_examples=4)
# For a mutant one failure is enough, however large the example that shows it.
settings.register_profile("mutants", settings.get_profile("suite"), phases=[Phase.generate])
settings.load_profile("suite")

# What asks for another kind of computer is not collected there, rather than skipped.
collect_ignore = []
if platform.machine().lower() not in ("x86_64", "amd64"):
    collect_ignore.append("test_other_cpus.py")  # one x86-64 CPU can stand in for another, and for no other kind
if os.name != "posix":
    collect_ignore += ["test_page_guard.py", "test_changing_arguments.py"]  # pages are guarded with POSIX's mprotect
    collect_ignore.append("test_cache_folder.py")  # whether others can write to a folder is told by POSIX's modes
    collect_ignore.append("test_interrupt.py")  # Ctrl-C is sent as POSIX's signal
if sys.platform != "linux":
    collect_ignore.append("test_terminal.py")  # a terminal is opened, and names are given that other systems refuse
if not hasattr(os, "fork"):
    collect_ignore.append("test_fork.py")
if sys.platform != "linux":
    collect_ignore.append("test_long_runs.py")  # Linux tells the memory of a process

# The first fills the cache of compiled kernels, in processes that the measuring of coverage does not slow down.
# What the last two look at was begun before the first.
TURNS = {"test_page_guard.py": -1, "test_other_cpus.py": 1, "test_assembly.py": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: TURNS.get(item.path.name, 0))


@pytest.fixture(scope="session", autouse=True)
def one_thread_for_numpy() -> Iterator[None]:
    """Keep NumPy's products to one thread, here and in processes that are started.

    A thread that waits for another spins, on a core that those processes need: small products take ten times as long.
    """
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, "blas"):
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def trials(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_thread_for_numpy: None
) -> Iterator[Trials]:
    """Begin to compile for the other CPUs whose tests are asked for, on the cores that other tests leave."""
    tests = [item for item in request.session.items if item.path.name == "test_other_cpus.py"]
    cpus = dict.fromkeys(test.callspec.params["cpu"] for test in tests)
    cores = os.cpu_count() or 1
    alone = len(tests) == len(request.session.items)
    trials = Trials(cpus, tmp_path_factory.mktemp("other-cpus"), at_a_time=cores if alone else max(1, cores - 1))
    yield trials
    trials.close()


@pytest.fixture(scope="session", autouse=True)
def assembly(request: pytest.FixtureRequest) -> Iterator[Popen[str] | None]:
    """Begin to compile the micro-kernels for many CPUs, if their assembly is to be examined."""
    if not any(item.path.name == "test_assembly.py" for item in request.session.items):
        yield None
        return
    with processes.start(Path(__file__).parent / "assembly.py") as process:
        yield process
        process.kill()


DTYPES = [np.float32, np.float64]


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


@pytest.fixture(params=[reference, jitted], ids=["numpy", "numba"])
def kernels(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    if request.param > most_threads():
        raise RuntimeError(f"this machine offers {os.cpu_count()} CPU: run with NUMBA_NUM_THREADS=2")
    with runtime.threads(request.param):
        yield request.param


@pytest.fixture(params=["serial", "parallel"])
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every kernel, of whatever size, in the variant for one thread or in that for many."""
    monkeypatch.setattr(jit, "PARALLEL_OPERATIONS", 0 if request.param == "parallel" else sys.maxsize)
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)
