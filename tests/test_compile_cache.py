"""Compiled kernels are kept between processes, and never used when they are out of date or damaged."""

import json
import shutil
from pathlib import Path

import fastfnn_kernels
import pytest
from fastfnn_kernels.runtime import cache
from fastfnn_kernels.runtime.cache import DamagedFileError, KernelFiles
from fastfnn_kernels.runtime.cache_folder import cache_folder, make_cache_folder
from processes import finish, output_of, start

RUN = """
import io, json, logging
import numpy as np
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.WARNING)
from fastfnn_kernels import jitted
from fastfnn_kernels.jitted.softmax import _count_correct
from fastfnn_kernels.jitted.updates import _squared_norm
from fastfnn_kernels.runtime.cache_folder import cache_folder
x = np.ones((9, 4), np.float32)
assert jitted.squared_norm(x) == 36
assert jitted.count_correct(x, np.zeros(9, np.int64)) == 9
hits = misses = 0
for kernel in (_squared_norm, _count_correct):
    for compiled in kernel._compiled.values():
        hits += sum(compiled.stats.cache_hits.values())
        misses += sum(compiled.stats.cache_misses.values())
told = {"hits": hits, "misses": misses, "folder": str(cache_folder()), "log": log.getvalue()}
print(json.dumps(told))
"""

KEY = ("int64, array(float32, 2d, C)", ("x86_64", "zen4", "+avx512f"))


def assert_said_once(log: str, cache: Path) -> None:
    (line,) = log.splitlines()
    assert "kernels are compiled in memory, since they cannot be kept in " in line
    assert str(cache) in line


def run(cache: Path, kernels: Path | None = None, before: str = "") -> dict:
    environment = {"FASTFNN_CACHE_DIR": str(cache)} | ({"PYTHONPATH": str(kernels)} if kernels else {})
    return json.loads(output_of(before + RUN, environment, timeout=300))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    assert run(cache)["misses"] == 2
    return cache


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Use an empty cache."""
    monkeypatch.setenv("FASTFNN_CACHE_DIR", str(tmp_path / "cache"))
    make_cache_folder()
    return KernelFiles("dense._multiply.serial-kernel.py312")


def test_a_second_process_compiles_nothing(filled):
    again = run(filled)
    assert (again["hits"], again["misses"]) == (2, 0)
    assert again["log"] == ""


def test_an_edit_in_any_file_compiles_anew(filled, tmp_path):
    copy = tmp_path / "fastfnn_kernels"
    shutil.copytree(Path(fastfnn_kernels.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "jitted" / "_llvm" / "dense_tiles.py").open("a") as file:
        file.write("\n# an edit\n")
    edited = run(filled, tmp_path)
    assert edited["misses"] == 2


def flip_a_bit(file: Path, position: int) -> None:
    contents = bytearray(file.read_bytes())
    contents[position] ^= 1 << position % 8
    file.write_bytes(contents)


def test_damaged_files_mean_compiling_and_are_replaced(filled, tmp_path):
    """One file with a flipped bit in its machine code, and one without contents."""
    shutil.copytree(filled, tmp_path / "cache")
    one, other = (tmp_path / "cache" / cache_folder().name).iterdir()
    flip_a_bit(one, one.stat().st_size // 3)
    other.write_bytes(b"")
    damaged = run(tmp_path / "cache")
    assert damaged["misses"] == 2
    assert damaged["log"].count("compiling anew: the compiled kernel in ") == 2
    assert run(tmp_path / "cache")["hits"] == 2


def test_two_files_with_each_others_names_mean_compiling(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "cache")
    one, other = (tmp_path / "cache" / cache_folder().name).iterdir()
    contents = one.read_bytes()
    other.replace(one)
    other.write_bytes(contents)
    assert run(tmp_path / "cache")["misses"] == 2


def test_what_was_saved_is_loaded(files):
    assert files.load(KEY) is None
    files.save(KEY, {"code": b"machine code"})
    assert files.load(KEY) == {"code": b"machine code"}
    files.save(KEY, {"code": b"another"})
    assert files.load(KEY) == {"code": b"another"}
    assert [file.suffix for file in cache_folder().iterdir()] == [".nbc"]


def test_any_damage_is_noticed(files):
    files.save(KEY, {"code": b"machine code"})
    (file,) = cache_folder().iterdir()
    contents = file.read_bytes()
    for position in range(len(contents)):
        file.write_bytes(contents)
        flip_a_bit(file, position)
        with pytest.raises(DamagedFileError):
            files.load(KEY)
    for others in (*(contents[:size] for size in range(len(contents))), contents + b"\0", b"nonsense" * 9):
        file.write_bytes(others)
        with pytest.raises(DamagedFileError):
            files.load(KEY)
    file.write_bytes(contents)
    assert files.load(KEY) == {"code": b"machine code"}


@pytest.mark.parametrize("changed", ["stem", "key", "sources", "numba"])
def test_a_file_for_something_else_is_noticed(files, changed, monkeypatch):
    files.save(KEY, "compiled")
    (file,) = cache_folder().iterdir()
    contents = file.read_bytes()
    reader, key = KernelFiles("softmax._softmax.serial-kernel.py312") if changed == "stem" else files, KEY
    if changed == "key":
        key = ("int32, array(float32, 2d, C)", KEY[1])
    elif changed == "sources":
        monkeypatch.setattr(cache, "sources_hash", lambda: "0123456789abcdef")
    elif changed == "numba":
        monkeypatch.setattr(cache.numba, "__version__", "0.1")
    reader._path(key).write_bytes(contents)
    with pytest.raises(DamagedFileError):
        reader.load(key)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left")])
def test_an_unfinished_file_is_removed(files, error, monkeypatch):
    files.save(KEY, "compiled")

    def fail(*_):
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(error if isinstance(error, type) else OSError):
        files.save(KEY, "another")
    (file,) = cache_folder().iterdir()
    assert file.suffix == ".nbc"
    assert files.load(KEY) == "compiled"


FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""

EVERY_KERNEL = """
import gc, sys
import numpy as np
sys.path.insert(0, {tests!r})
from page_guard import FAMILIES
from test_kernel_types import SHAPES
from fastfnn_kernels import jitted
from fastfnn_kernels.jitted._compile.jit import Kernel

rng = np.random.default_rng(0)
for family in FAMILIES.values():
    for shape in SHAPES:
        for call in family(rng, np.float32, *shape):
            getattr(jitted, call.name)(**call.arguments)
kernels = [thing for thing in gc.get_objects() if isinstance(thing, Kernel)]
compiled = [dispatcher for kernel in kernels for dispatcher in kernel._compiled.values()]
print(len(compiled), sum(sum(dispatcher.stats.cache_misses.values()) for dispatcher in compiled))
"""


def test_no_kernel_misses_in_a_second_process():
    program = EVERY_KERNEL.format(tests=str(Path(__file__).parent))
    output_of(program, timeout=300)
    n_kernels, n_misses = output_of(program).split()
    assert int(n_kernels) >= 40
    assert n_misses == "0"


def test_four_processes_that_start_cold_at_once(tmp_path):
    processes = [start(RUN, {"FASTFNN_CACHE_DIR": str(tmp_path)}) for _ in range(4)]
    outcomes = [json.loads(finish(process)) for process in processes]
    assert all(outcome["hits"] + outcome["misses"] == 2 for outcome in outcomes)
    assert run(tmp_path)["hits"] == 2


def test_the_folder_has_a_name_of_its_own(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "numba"), "FASTFNN_CACHE_DIR": str(tmp_path / "fastfnn")}
    folder = Path(json.loads(output_of(RUN, environment))["folder"])
    assert folder.parent == tmp_path / "fastfnn"
    assert folder.name.startswith(f"fastfnn-{fastfnn_kernels.__version__}-")
    assert list(folder.glob("*.nbc"))
    assert not (tmp_path / "numba").exists()


def test_a_full_disk_means_compiling_in_memory(tmp_path):
    full = run(tmp_path, before=FULL_DISK)
    assert full["misses"] == 2
    assert_said_once(full["log"], tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_folder_that_cannot_be_made_means_compiling_in_memory(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    unusable = run(tmp_path / "file" / "cache")
    assert unusable["misses"] == 2
    assert_said_once(unusable["log"], tmp_path / "file")
