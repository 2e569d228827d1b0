import sys
from importlib.metadata import version

from command_line import succeed
from fastfnn_kernels.runtime.cache_folder import cache_folder
from fastfnn_kernels.runtime.caches import Caches
from fastfnn_kernels.runtime.cpu import CPU, UNIT
from fastfnn_kernels.runtime.thread_count import current_limit
from rich.console import Console

from fastfnn import get_num_threads
from fastfnn.app import cli, info


def test_facts():
    facts = info.describe_installation()
    assert facts["CPU"] == info.cpu_name() != ""
    assert facts["vector unit"].startswith(UNIT.name)
    assert facts["multiply-adds"] == f"{CPU.fma_per_cycle} vectors a cycle, compiled for {CPU.name}"
    assert facts["caches"] == info.describe_caches(CPU.caches)
    assert facts["threads"] == f"{get_num_threads()}: {current_limit().reason}"
    assert facts["thread layer"] in info.LAYERS.values()
    assert facts["kernel cache"].startswith(str(cache_folder()))
    assert facts["backend numba"] == facts["backend numpy"] == "available"
    for package in ("fastfnn", "numpy", "numba", "llvmlite", "safetensors"):
        assert facts[package] == version(package)


def test_sizes_of_caches():
    caches = Caches(48 * 2**10, 5 * 2**18, 33 * 2**20)
    assert info.describe_caches(caches) == "48 KiB, 1.25 MiB a core; 33 MiB shared"


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
    assert not {"thread layer", "vector unit", "caches"} & set(facts)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(info, "PACKAGES", ("no-such-package",))
    assert info.describe_installation()["no-such-package"] == "not installed"


def test_a_system_without_a_list_of_cpus(monkeypatch, tmp_path):
    monkeypatch.setattr(info, "CPU_LIST", tmp_path / "none")
    assert info.cpu_name() != ""
