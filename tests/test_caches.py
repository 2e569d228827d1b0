"""The sizes of the caches, from files like those of Linux and from numbers like those of macOS."""

import ctypes

import pytest
from fastfnn_kernels.runtime import caches
from fastfnn_kernels.runtime.caches import (
    DEFAULT,
    KIB,
    LEAST,
    MIB,
    MOST,
    SYSCTL_NAMES,
    Caches,
    caches_in_linux,
    caches_in_macos,
    system_caches,
)


@pytest.fixture
def machine(tmp_path):
    """Write the caches of some CPUs, each as (level, type, size, CPUs that share it); returns their folder."""

    def write(cpus):
        for number, described in cpus.items():
            for index, cache in enumerate(described):
                folder = tmp_path / f"cpu{number}" / "cache" / f"index{index}"
                folder.mkdir(parents=True)
                for name, text in zip(("level", "type", "size", "shared_cpu_list"), cache, strict=False):
                    (folder / name).write_text(text + "\n")
        return tmp_path

    return write


def core(first, second, last, own="0", cluster="0", everybody="0-7"):
    code = ("1", "Instruction", "64K", own)
    return [("1", "Data", first, own), code, ("2", "Unified", second, cluster), ("3", "Unified", last, everybody)]


def test_a_server(machine):
    assert caches_in_linux(machine({0: core("48K", "2048K", "33792K")})) == Caches(48 * KIB, 2 * MIB, 33 * MIB)


def test_the_threads_of_a_core_are_one_core(machine):
    found = caches_in_linux(machine({0: core("32K", "1024K", "32768K", own="0,8", cluster="0,8")}))
    assert found == Caches(32 * KIB, MIB, 32 * MIB)


def test_of_two_kinds_of_cores_the_smaller_one(machine):
    """The first is large and has two threads; four of the others share their second level."""
    cpus = {
        0: core("48K", "2048K", "36864K", own="0-1", cluster="0-1"),
        2: core("16K", "128K", "256K"),
        11: core("32K", "4096K", "36864K", own="11", cluster="8-11"),
        9: core("16K", "128K", "256K"),
    }
    assert caches_in_linux(machine(cpus)) == Caches(32 * KIB, MIB, 36 * MIB)


def test_the_last_cpu_is_that_of_the_largest_number(machine):
    sizes = {0: "512K", 9: "64K", 10: "256K"}
    found = caches_in_linux(machine({cpu: core("32K", size, "8192K") for cpu, size in sizes.items()}))
    assert found.second == 256 * KIB


def test_the_largest_level_is_the_last(machine):
    described = [*core("32K", "256K", "8192K"), ("4", "Unified", "131072K", "0-7")]
    assert caches_in_linux(machine({0: described})) == Caches(32 * KIB, 256 * KIB, 128 * MIB)


def test_two_levels(machine):
    """Four cores share the second level: each has a quarter, and the last level is all of it."""
    described = [("1", "Data", "32K", "0"), ("2", "Unified", "1024K", "0-3")]
    assert caches_in_linux(machine({0: described, 3: described})) == Caches(32 * KIB, 256 * KIB, MIB)


def test_a_core_without_a_last_level_of_its_own(machine):
    alone = [("1", "Data", "32K", "15"), ("2", "Unified", "2048K", "14-15")]
    assert caches_in_linux(machine({0: core("48K", "2048K", "24576K"), 15: alone})) == Caches(32 * KIB, MIB, 24 * MIB)


@pytest.mark.parametrize(
    "described",
    [
        [],
        [("1", "Instruction", "64K", "0")],
        [("1", "Data", "", "0")],
        [("one", "Data", "32K", "0")],
        [("1", "Data", "much", "0"), ("2", "Unified", "0K", "0"), ("3", "Unified", "0K", "0-3")],
        [("1", "Data")],
    ],
)
def test_what_is_unknown_is_assumed(machine, described):
    assert caches_in_linux(machine({0: described})) == DEFAULT


def test_no_files_at_all(tmp_path):
    assert caches_in_linux(tmp_path / "none") == DEFAULT


def test_a_first_level_alone(machine):
    found = caches_in_linux(machine({0: [("1", "Data", "128K", "0")]}))
    assert found == Caches(128 * KIB, DEFAULT.second, DEFAULT.last)


def test_without_a_list_of_cpus_a_cache_is_not_shared(machine):
    described = [("1", "Data", "64K"), ("2", "Unified", "1024K"), ("3", "Unified", "16384K")]
    assert caches_in_linux(machine({0: described})) == Caches(64 * KIB, MIB, 16 * MIB)


def test_impossible_sizes_are_limited(machine, tmp_path):
    assert caches_in_linux(machine({0: core("1K", "1K", "1K")})) == LEAST
    assert caches_in_macos({"hw.l1dcachesize": 2**30, "hw.l2cachesize": 2**35, "hw.l3cachesize": 2**60}) == MOST


def test_the_last_level_is_no_smaller_than_the_second(machine):
    found = caches_in_linux(machine({0: core("32K", "4096K", "1024K")}))
    assert found == Caches(32 * KIB, 4 * MIB, 4 * MIB)


def test_an_apple_m1():
    numbers = {"hw.perflevel0.l1dcachesize": 128 * KIB, "hw.perflevel0.l2cachesize": 12 * MIB}
    numbers |= {"hw.perflevel0.cpusperl2": 4, "hw.l1dcachesize": 64 * KIB, "hw.l2cachesize": 4 * MIB}
    numbers |= {"hw.l3cachesize": 0, "hw.physicalcpu": 8, "hw.logicalcpu": 8}
    assert caches_in_macos(numbers) == Caches(128 * KIB, 3 * MIB, 12 * MIB)


@pytest.mark.parametrize("levels", [{}, {"hw.perflevel0.l2cachesize": 256 * KIB, "hw.perflevel0.cpusperl2": 2}])
def test_a_mac_with_two_threads_a_core(levels):
    numbers = {"hw.l1dcachesize": 32 * KIB, "hw.l2cachesize": 256 * KIB, "hw.l3cachesize": 12 * MIB}
    numbers |= {"hw.physicalcpu": 6, "hw.logicalcpu": 12}
    assert caches_in_macos(numbers | levels) == Caches(32 * KIB, 256 * KIB, 12 * MIB)


def test_a_mac_that_says_nothing():
    assert caches_in_macos(dict.fromkeys(SYSCTL_NAMES, 0)) == caches_in_macos({}) == DEFAULT


def test_numbers_of_four_and_of_eight_bytes(monkeypatch):
    """A library like that of macOS: it writes a number of its own width, and nothing for a name that it lacks."""
    numbers = {b"hw.l1dcachesize": ctypes.c_uint64(64 * KIB), b"hw.l2cachesize": ctypes.c_uint32(4 * MIB)}

    class Library:
        def sysctlbyname(self, name, target, size, new, new_size):
            if name in numbers:
                assert size._obj.value >= ctypes.sizeof(numbers[name])
                ctypes.memmove(target, ctypes.byref(numbers[name]), ctypes.sizeof(numbers[name]))

    monkeypatch.setattr(caches.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(caches.ctypes, "CDLL", lambda name: Library())
    assert system_caches() == Caches(64 * KIB, 4 * MIB, 4 * MIB)


def test_this_machine():
    found = system_caches()
    assert LEAST.first <= found.first <= MOST.first
    assert LEAST.second <= found.second <= found.last <= MOST.last
    assert system_caches() == found
