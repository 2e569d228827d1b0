"""Compiled kernels are kept between processes, and never used when they are out of date or damaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fastfnn_kernels
import pytest

RUN = """
import json, logging, sys
import numpy as np
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted import _cache, cross_entropy, sparse
x = np.ones((9, 4), np.float32)
weights, bias = jitted.sparse_weight_gradient(reference.pack_rows(x, np.float32), x)
assert weights.tolist() == [[9.0] * 4] * 4
assert jitted.count_correct(x, np.zeros(9, np.int64)) == 9
hits = misses = 0
for kernel in (sparse._add_products, cross_entropy._count_correct):
    for compiled in kernel._compiled.values():
        hits += sum(compiled.stats.cache_hits.values())
        misses += sum(compiled.stats.cache_misses.values())
print(json.dumps({"hits": hits, "misses": misses, "folder": str(_cache.cache_folder())}))
"""


def run(cache: Path, kernels: Path | None = None) -> dict:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    if kernels is not None:
        environment["PYTHONPATH"] = str(kernels)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"log": done.stderr}


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
    with (copy / "jitted" / "_simd.py").open("a") as file:
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


def test_a_folder_that_cannot_be_made_means_compiling_in_memory(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    unusable = run(tmp_path / "file" / "cache")
    assert unusable["misses"] == 2
    assert "is not kept" in unusable["log"]
