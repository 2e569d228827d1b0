"""The fixture that measures, and what the results say of the machine."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import machine
import pytest
from measurement import Measure
from pytest_benchmark.fixture import BenchmarkFixture

# How often the whole suite is gone through: a shared machine is slow for seconds or minutes at a time, which must not
# decide about the one entry that was being measured then.
PASSES = 5

PEAKS = pytest.StashKey[machine.Peaks]()
FIRST = pytest.StashKey[list[pytest.Item]]()  # entries with which a pass begins

LIBRARIES = ("fastfnn", "numpy", "numba", "torch", "jax", "scikit-learn", "scipy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Go through the entries again when the last is done, but for those whose typical time counts."""
    if config.getoption("benchmark_enable"):
        repeated = [item for item in items if not item.get_closest_marker("once")]
        config.stash[FIRST] = items[:1] + repeated[:1]
        items += repeated * (PASSES - 1)


def pytest_configure(config: pytest.Config) -> None:
    """Make what the machine's peaks are kept in, and no entry that they are measured before."""
    config.stash[PEAKS] = machine.Peaks()
    config.stash[FIRST] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Measure the machine before each pass, while all threads are allowed."""
    if item in item.config.stash[FIRST]:
        item.config.stash[PEAKS].measure()


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Measure:
    """Verify, time and describe one entry."""
    return Measure(benchmark, request.config)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the measured peaks, and leave the host's name out."""
    machine_info.pop("node", None)
    machine_info["cpu"].pop("flags", None)
    machine_info["peaks"] = config.stash[PEAKS].described()
    machine_info["versions"] = {name: version for name in LIBRARIES if (version := _version(name))}


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Keep each entry's fastest pass and its share of the peak, without every single round and the options."""
    fastest: dict[str, Any] = {}
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)
        benchmark.pop("options", None)
        other = fastest.setdefault(benchmark["fullname"], benchmark)
        benchmark["extra_info"]["first_call_seconds"] = other["extra_info"]["first_call_seconds"]
        if benchmark["stats"]["min"] < other["stats"]["min"]:
            fastest[benchmark["fullname"]] = benchmark
    for benchmark in fastest.values():
        benchmark["extra_info"] |= config.stash[PEAKS].share(benchmark["extra_info"])
    output_json["benchmarks"] = list(fastest.values())


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
