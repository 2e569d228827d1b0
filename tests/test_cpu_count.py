"""How many CPUs a process may keep busy, told by the scheduler, a container's quota and environment variables."""

import pytest
from fastfnn_kernels.runtime import cpu_count
from fastfnn_kernels.runtime.cpu_count import Limit, cpu_quota, usable_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch):
    monkeypatch.setattr(cpu_count, "allowed_cpus", lambda: 8)
    monkeypatch.delenv("FASTFNN_NUM_THREADS", raising=False)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)


@pytest.fixture
def machine(tmp_path):
    """Write control groups; returns the arguments that describe them."""

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path / "groups", tmp_path / "own"

    return write


def test_all_cpus_without_a_quota(machine):
    assert usable_cpus(*machine("0::/\n", {})) == Limit(8, "the CPUs that this process may run on")


def test_a_container_with_one_cpu_computes_with_one_thread(machine):
    limit = usable_cpus(*machine("0::/\n", {"cpu.max": "100000 100000"}))
    assert limit == Limit(1, "its control group's quota of 1 CPUs")


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/\n", {"cpu.max": "250000 100000"}, 2.5),
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, 2.0),
        ("0::/host/name/of/it\n", {"cpu.max": "200000 100000"}, 2.0),
        ("4:memory:/\n3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, 1.5),
        (
            "3:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1", "cpu,cpuacct/x/cpu.cfs_period_us": "9"},
            None,
        ),
        ("3:cpu:/docker/1\n", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ("4:memory:/\n", {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {"cpu.max": "what is this"}, None),
        ("0::/\n", {"cpu.max": "0 100000"}, None),
        ("", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_quota(machine, own, files, quota):
    assert cpu_quota(*machine(own, files)) == quota


@pytest.mark.parametrize(("quota", "threads"), [("50000", 1), ("150000", 2), ("250000", 3), ("9900000", 8)])
def test_a_part_of_a_cpu_counts_as_one(machine, quota, threads):
    assert usable_cpus(*machine("0::/\n", {"cpu.max": f"{quota} 100000"})).n_threads == threads


def test_no_control_groups_at_all(tmp_path):
    assert usable_cpus(tmp_path / "none", tmp_path / "none").n_threads == 8


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), (" 3 ", 3), ("1", 1), ("99", 8), ("", 8)])
def test_the_variable(monkeypatch, machine, asked, threads):
    monkeypatch.setenv("FASTFNN_NUM_THREADS", asked)
    assert usable_cpus(*machine("0::/\n", {})).n_threads == threads


def test_the_smallest_of_all(monkeypatch, machine):
    monkeypatch.setenv("FASTFNN_NUM_THREADS", "3")
    assert usable_cpus(*machine("0::/\n", {"cpu.max": "200000 100000"})).n_threads == 2
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert usable_cpus(*machine("0::/\n", {"cpu.max": "200000 100000"})) == Limit(1, "NUMBA_NUM_THREADS")


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_a_variable_that_is_no_number_of_threads(monkeypatch, asked):
    monkeypatch.setenv("FASTFNN_NUM_THREADS", asked)
    with pytest.raises(ValueError, match=f"FASTFNN_NUM_THREADS must be a whole number from 1 up; got '{asked}'"):
        usable_cpus()
