"""The fixture that measures, and what the results say of the machine."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import machine
import pytest
from contenders import settings
from measurement import Measure
from passes import MOST, Passes, Pause, apart, in_turns
from pytest_benchmark.fixture import BenchmarkFixture
from summary import summarize

PEAKS = pytest.StashKey[machine.Peaks]()
PASSES = pytest.StashKey[Passes]()
TURN = pytest.StashKey[int]()

LIBRARIES = ("fastfnn", "numpy", "numba", "torch", "jax", "scikit-learn", "scipy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the entries of a single pass; go through the others again and again."""
    if config.getoption("benchmark_enable"):
        once = [item for item in items if item.get_closest_marker("once")]
        once += in_turns([item for item in items if _takes_turns(item)])
        repeated = [item for item in items if item not in once]
        config.stash[PASSES] = Passes(once[:1] + repeated[:1])
        items[:] = apart(once + repeated * MOST, Pause.from_parent(session, name="pause"))


def pytest_configure(config: pytest.Config) -> None:
    """Make what the machine's peaks are kept in, and no pass before which they are measured."""
    config.stash[PEAKS] = machine.Peaks()
    config.stash[PASSES] = Passes([])


def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Measure the machine before each pass, while all threads are allowed; leave out the passes without time."""
    passes = item.config.stash[PASSES]
    if passes.begins_with(item):
        item.config.stash[PEAKS].measure()
    return passes.over or None


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Measure:
    """Verify, time and describe one entry."""
    measure = Measure(benchmark, request.config)
    if not _takes_turns(request.node):
        return measure
    turn = request.node.stash.get(TURN, 0)
    request.node.stash[TURN] = turn + 1
    return measure.in_turns(turn)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the measured peaks, versions and settings, and leave the host's name out."""
    machine_info.pop("node", None)
    machine_info["cpu"].pop("flags", None)
    machine_info["peaks"] = config.stash[PEAKS].described()
    machine_info["versions"] = {name: version for name in LIBRARIES if (version := _version(name))}
    machine_info["settings"] = settings()


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Keep what is needed of each entry, not every single round."""
    output_json["benchmarks"] = summarize(output_json["benchmarks"], config.stash[PEAKS].copy_gbs)


def _takes_turns(item: pytest.Item) -> bool:
    return item.get_closest_marker("turns") is not None


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
