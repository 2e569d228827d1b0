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
PASSES = 3

LIBRARIES = ("fastfnn", "numpy", "numba", "torch", "jax", "scikit-learn", "scipy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Go through the entries again when the last is done, but for those whose typical time counts."""
    if config.getoption("benchmark_enable"):
        items += [item for item in items if not item.get_closest_marker("once")] * (PASSES - 1)


@pytest.fixture(scope="session", autouse=True)
def peaks(request: pytest.FixtureRequest) -> None:
    """Measure the machine before any entry, while all threads are allowed."""
    if request.config.getoption("benchmark_enable"):
        machine.peaks()


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Measure:
    """Verify, time and describe one entry."""
    return Measure(benchmark, request.config)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the measured peaks, and leave the host's name out."""
    machine_info.pop("node", None)
    machine_info["cpu"].pop("flags", None)
    machine_info["peaks"] = machine.peaks()
    machine_info["versions"] = {name: version for name in LIBRARIES if (version := _version(name))}


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Keep each entry's fastest pass, without every single round and the options, which are all the same."""
    fastest: dict[str, Any] = {}
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)
        benchmark.pop("options", None)
        other = fastest.setdefault(benchmark["fullname"], benchmark)
        benchmark["extra_info"]["first_call_seconds"] = other["extra_info"]["first_call_seconds"]
        if benchmark["stats"]["min"] < other["stats"]["min"]:
            fastest[benchmark["fullname"]] = benchmark
    output_json["benchmarks"] = list(fastest.values())


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
