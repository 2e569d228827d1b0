"""Compiled kernels are kept between processes, and never used when they are out of date or damaged."""

import json
import shutil
from pathlib import Path

import fastfnn_kernels
import pytest
from processes import finish, output_of, start

RUN = """
import io, json, logging
import numpy as np
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.WARNING)
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted import sparse
from fastfnn_kernels.jitted.softmax import _count_correct
from fastfnn_kernels.runtime import cache
x = np.ones((9, 4), np.float32)
weights, bias = jitted.sparse_weight_gradient(reference.pack_rows(x, np.float32), x)
assert weights.tolist() == [[9.0] * 4] * 4
assert jitted.count_correct(x, np.zeros(9, np.int64)) == 9
hits = misses = 0
for kernel in (sparse._add_products, _count_correct):
    for compiled in kernel._compiled.values():
        hits += sum(compiled.stats.cache_hits.values())
        misses += sum(compiled.stats.cache_misses.values())
told = {"hits": hits, "misses": misses, "folder": str(cache.cache_folder()), "log": log.getvalue()}
print(json.dumps(told))
"""


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


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_mean_compiling(filled, tmp_path, kind, damage):
    cache = tmp_path / "cache"
    shutil.copytree(filled, cache)
    files = list(cache.rglob(f"*.{kind}"))
    assert files
    for file in files:
        file.write_bytes(damage)
    assert run(cache)["misses"] == 2


def test_a_truncated_binary_means_compiling(filled, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(filled, cache)
    for file in cache.rglob("*.nbc"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert run(cache)["misses"] == 2


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
    assert not list(tmp_path.rglob("*.nbc"))


def test_a_folder_that_cannot_be_made_means_compiling_in_memory(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    unusable = run(tmp_path / "file" / "cache")
    assert unusable["misses"] == 2
    assert_said_once(unusable["log"], tmp_path / "file")
