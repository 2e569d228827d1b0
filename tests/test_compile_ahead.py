"""The second process that compiles while the first does: what it leaves in the cache, and when there is none."""

from types import SimpleNamespace

import numpy as np
import pytest
from fastfnn_kernels import compile_ahead
from fastfnn_kernels.jitted import dense, sparse
from fastfnn_kernels.jitted._products.weight_gradient import add_products
from fastfnn_kernels.jitted.dense_cross_entropy import _propagate
from fastfnn_kernels.runtime import compiling
from processes import output_of

TRAINING = """
    import numpy as np
    import fastfnn
    from fastfnn_kernels.jitted.dense_cross_entropy import _propagate

    X, y = np.random.default_rng(0).random((3100, 784), np.float32), np.arange(3100) % 10
    layers = [fastfnn.Dense(784, 256, activation="relu"), fastfnn.Dense(256, 10)]
    fastfnn.Network(layers, seed=0).fit(X, y, fastfnn.SGD())
    print((X.dtype, True) in _propagate._compiled)
"""

BESIDE = """
    import numpy as np
    from fastfnn_kernels import compile_ahead

    from fastfnn_kernels.jitted.dense_cross_entropy import _propagate

    with compile_ahead.compiled_beside(np.dtype(np.float32)):
        compiled = _propagate.compile(np.dtype(np.float32), parallel=True)
    print(sum(compiled.stats.cache_hits.values()), sum(compiled.stats.cache_misses.values()))
"""


@pytest.fixture
def started(monkeypatch):
    """Count the processes, and start none."""
    commands = []

    class Process:
        def __init__(self, command, **options):
            commands.append(command)

        def kill(self):
            pass

        communicate = kill

    monkeypatch.setattr(compile_ahead.subprocess, "Popen", Process)
    monkeypatch.setattr(compile_ahead, "_may_be_cached", lambda: False)
    monkeypatch.setattr(compile_ahead, "get_num_threads", lambda: 2)
    return commands


def test_its_kernel_is_one_that_a_training_meets():
    """With the cache of these tests: what is there is loaded."""
    assert _propagate.name(parallel=True) == compile_ahead.KERNEL
    assert output_of(TRAINING, timeout=300).split() == ["True"]


def test_the_first_process_loads_what_the_second_compiled(tmp_path):
    assert output_of(BESIDE, {"FASTFNN_CACHE_DIR": str(tmp_path), "FASTFNN_NUM_THREADS": ""}).split() == ["1", "0"]


def test_who_waits_is_told_each_kernel_before():
    seen = []
    dispatcher = SimpleNamespace(stats=SimpleNamespace(cache_hits={}))
    with compiling.awaiting(seen.append), compiling.announced("dense._multiply.serial", dispatcher):
        assert seen == ["dense._multiply.serial"]
    with compiling.announced("dense._multiply.parallel", dispatcher):
        assert len(seen) == 1


def test_one_kernel_may_be_compiled_before_another_that_is_waited_for():
    dispatcher = SimpleNamespace(stats=SimpleNamespace(cache_hits={}))

    def prepare_another(kernel):
        if kernel == "awaited":
            with compiling.announced("another", dispatcher):
                pass
            assert compiling.is_compiling()

    with compiling.awaiting(prepare_another), compiling.announced("awaited", dispatcher):
        assert compiling.is_compiling()
    assert not compiling.is_compiling()


def test_the_first_process_compiles_what_follows_its_forward_product(monkeypatch):
    dtype = np.dtype(np.float32)
    dense._multiply.parallel[dtype]
    for entries in (sparse._multiply.parallel, sparse._add_columns.parallel, add_products.parallel):
        monkeypatch.delitem(entries, dtype, raising=False)
    compile_ahead._compile_what_follows(dtype)
    assert dtype in add_products.parallel
    assert dtype not in sparse._add_columns.parallel


@pytest.mark.parametrize("cache", ["a folder", "no folder"])
def test_it_is_started_where_its_work_can_be_kept_alone(started, monkeypatch, tmp_path, cache):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTFNN_CACHE_DIR", str(tmp_path / ("file" if cache == "no folder" else "folder")))
    with compile_ahead.compiled_beside(np.dtype(np.float32)):
        assert len(started) == (cache == "a folder")


def test_a_process_that_cannot_be_started_is_done_without(started, monkeypatch):
    def fail(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(compile_ahead.subprocess, "Popen", fail)
    with compile_ahead.compiled_beside(np.dtype(np.float32)):
        assert started == []


def test_it_is_started_once(started):
    with compile_ahead.compiled_beside(np.dtype(np.float64)):
        pass
    ((*_, module, dtype),) = started
    assert (module, dtype) == ("fastfnn_kernels.compile_ahead", "float64")


def test_it_is_not_started_for_one_thread(started, monkeypatch):
    monkeypatch.setattr(compile_ahead, "get_num_threads", lambda: 1)
    with compile_ahead.compiled_beside(np.dtype(np.float32)):
        assert started == []


def test_it_is_not_started_where_a_training_ran_before(started, monkeypatch):
    monkeypatch.setattr(compile_ahead, "_may_be_cached", lambda: True)
    with compile_ahead.compiled_beside(np.dtype(np.float32)):
        assert started == []
