"""The folder of the compiled kernels: where it is, without a home too, and who may write to it."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from fastfnn_kernels import compile_ahead
from fastfnn_kernels.runtime import cache_folder as module
from fastfnn_kernels.runtime.cache import KernelCache, KernelFiles
from fastfnn_kernels.runtime.cache_folder import cache_folder, check_cache_folder, make_cache_folder
from numba.core import config

USER = 4242


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """Run in an empty folder, without variables, and with temporary files and a home of this test's own."""
    for variable in ("FASTFNN_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("home", "temporary", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def no_home(monkeypatch):
    """Take away the home, and the name of the user."""

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.fixture
def private(tmp_path):
    return tmp_path / "temporary" / f"fastfnn-{os.getuid()}"


def assert_nothing_here():
    assert list(Path().iterdir()) == []


def test_the_users_folder(tmp_path):
    make_cache_folder()
    assert cache_folder().is_dir()
    assert tmp_path / "home" in cache_folder().parents
    assert list((tmp_path / "temporary").iterdir()) == []
    assert_nothing_here()


def test_variables_come_before_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    assert cache_folder().parent == tmp_path / "numba"
    monkeypatch.setenv("FASTFNN_CACHE_DIR", str(tmp_path / "fastfnn"))
    assert cache_folder().parent == tmp_path / "fastfnn"


def test_a_home_in_a_variable_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTFNN_CACHE_DIR", "~/kernels")
    make_cache_folder()
    assert cache_folder().parent == tmp_path / "home" / "kernels"
    assert_nothing_here()


def test_without_a_home_it_is_a_temporary_folder_of_this_user_alone(no_home, private):
    make_cache_folder()
    assert cache_folder().is_dir()
    assert cache_folder().parent == private
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    files = KernelFiles("stem")
    files.save("key", "compiled")
    assert files.load("key") == "compiled"
    make_cache_folder()
    assert_nothing_here()


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("FASTFNN_CACHE_DIR", "~"),
        ("FASTFNN_CACHE_DIR", "~/kernels"),
        ("FASTFNN_CACHE_DIR", "~nobody-of-this-name/kernels"),
        ("XDG_CACHE_HOME", "~/.cache"),
        ("XDG_CACHE_HOME", ""),
        ("XDG_CACHE_HOME", "cache"),
        ("HOME", "home"),
    ],
)
def test_no_folder_is_named_like_a_home(no_home, private, monkeypatch, variable, folder):
    monkeypatch.setenv(variable, folder)
    make_cache_folder()
    assert cache_folder().parent == private
    assert_nothing_here()


def test_numbas_variable_names_no_home_either(no_home, private, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "~/kernels")
    make_cache_folder()
    assert cache_folder().parent == private
    assert_nothing_here()


def others_may_write(private):
    private.mkdir()
    private.chmod(0o777)


def the_group_may_write(private):
    private.mkdir()
    private.chmod(0o770)


def link(private):
    private.with_name("elsewhere").mkdir(mode=0o700)
    private.symlink_to("elsewhere")


def link_to_nothing(private):
    private.symlink_to("nothing")


@pytest.mark.parametrize("prepare", [others_may_write, the_group_may_write, link, link_to_nothing, Path.touch])
def test_a_temporary_folder_that_others_can_write_to_is_not_used(no_home, private, prepare):
    prepare(private)
    with pytest.raises(OSError, match=str(private)):
        make_cache_folder()
    with pytest.raises(PermissionError, match="not a folder that only this user can write to"):
        KernelFiles("stem").load("key")
    assert not compile_ahead._can_be_cached()


def test_a_temporary_folder_of_another_user_is_not_used(no_home, private, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: USER)
    folder = private.with_name(f"fastfnn-{USER}")
    folder.mkdir(mode=0o700)
    with pytest.raises(PermissionError, match=f"{folder} is not a folder that only this user can write to"):
        check_cache_folder()


def test_kernels_are_compiled_in_memory_then(no_home, private, caplog):
    others_may_write(private)
    module_cache = KernelCache(test_the_users_folder)
    module_cache._impl.check_cachable = lambda data: True
    assert module_cache.load_overload((), FakeContext()) is None
    module_cache.save_overload((), None)
    assert caplog.messages == [
        f"kernels are compiled in memory, since they cannot be kept in {cache_folder()} "
        f"({private} is not a folder that only this user can write to)"
    ]


class FakeContext:
    """Numba's context, as far as the cache asks it."""

    def refresh(self):
        pass

    def codegen(self):
        return self

    def magic_tuple(self):
        return ()


def test_nothing_can_be_written_anywhere(no_home, monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(module.tempfile, "gettempdir", none)
    assert cache_folder().parent.parent == Path("/")
