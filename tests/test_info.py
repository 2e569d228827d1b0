import sys
from importlib.metadata import version

import numba
from command_line import succeed
from fastfnn_kernels.jitted._cpu import UNIT
from rich.console import Console

from fastfnn import cli, info


def test_facts():
    facts = info.describe_installation()
    assert facts["CPU"] == info.cpu_name() != ""
    assert int(facts["CPUs for this process"]) >= 1
    assert facts["vector unit"].startswith(UNIT.name)
    assert facts["threads"] == f"{numba.get_num_threads()} of {numba.config.NUMBA_NUM_THREADS}"
    assert facts["thread layer"] in ("tbb", "omp", "workqueue")
    assert facts["backend numba"] == facts["backend numpy"] == "available"
    for package in ("fastfnn", "numpy", "numba", "llvmlite", "safetensors"):
        assert facts[package] == version(package)


def test_lines_are_aligned():
    lines = succeed("info").splitlines()
    facts = info.describe_installation()
    assert [line.split("  ")[0] for line in lines] == list(facts)
    starts = [line.index(value) for line, value in zip(lines, facts.values(), strict=True)]
    assert set(starts) == {starts[0]}


def test_table_on_a_terminal(monkeypatch):
    console = Console(force_terminal=True, width=200, record=True, color_system=None)
    monkeypatch.setattr(cli, "Console", lambda: console)
    succeed("info")
    table = console.export_text()
    for name, value in info.describe_installation().items():
        assert name in table
        assert value in table


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastfnn_kernels.jitted", None)
    monkeypatch.delitem(sys.modules, "fastfnn_kernels.jitted")
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("fastfnn_kernels.jitted.")]:
        monkeypatch.delitem(sys.modules, name)
    facts = info.describe_installation()
    assert facts["backend numba"].startswith('not available: backend "numba" needs Numba')
    assert facts["backend numpy"] == "available"
    assert "thread layer" not in facts


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(info, "PACKAGES", ("no-such-package",))
    assert info.describe_installation()["no-such-package"] == "not installed"


def test_a_system_without_a_list_of_cpus(monkeypatch, tmp_path):
    monkeypatch.setattr(info, "CPU_LIST", tmp_path / "none")
    assert info.cpu_name() != ""
