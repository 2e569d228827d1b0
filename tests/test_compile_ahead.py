"""The second process that compiles while the first does: what it leaves in the cache, and when there is none."""

from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from fastfnn_kernels import compile_ahead, jitted
from processes import output_of

TRAINING = """
    import numpy as np
    import fastfnn
    from fastfnn_kernels import compile_ahead, jitted

    X, y = np.random.default_rng(0).random((3100, 784), np.float32), np.arange(3100) % 10
    layers = [fastfnn.Dense(784, 256, activation="relu"), fastfnn.Dense(256, 10)]
    fastfnn.Network(layers, seed=0).fit(X, y, fastfnn.SGD())
    for module, name, variant in compile_ahead.KERNELS:
        print((X.dtype, variant == "parallel") in getattr(getattr(jitted, module), name)._compiled)
"""

BESIDE = """
    import subprocess, time
    import numpy as np
    from fastfnn_kernels import compile_ahead
    from fastfnn_kernels.runtime.cache import cache_folder

    with compile_ahead.compiled_beside(np.dtype(np.float32)):
        deadline = time.monotonic() + 60
        while not compile_ahead._may_be_cached() and time.monotonic() < deadline:
            time.sleep(0.1)
    print(len(list(cache_folder().glob("*.nbc"))))
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


def test_every_kernel_exists():
    for module, name, variant in compile_ahead.KERNELS:
        kernel = getattr(getattr(jitted, module), name)
        assert variant in ("serial", "parallel")
        assert getattr(kernel, variant).kernel is kernel


def test_the_second_process_fills_the_cache(tmp_path):
    assert int(output_of(BESIDE, {"FASTFNN_CACHE_DIR": str(tmp_path), "FASTFNN_NUM_THREADS": ""})) >= 1


def test_a_training_meets_its_kernels():
    """With the cache of these tests: what is there is loaded."""
    assert output_of(TRAINING, timeout=300).split() == ["True"] * len(compile_ahead.KERNELS)


def test_the_first_process_waits_for_the_second():
    first, second = (".".join(kernel) for kernel in compile_ahead.KERNELS)
    helper = object.__new__(compile_ahead._Helper)
    helper._awaited = [first, second]
    helper._process = SimpleNamespace(stdout=StringIO(f"{first}\n"))
    helper.wait_for("dense._multiply.parallel")
    assert helper._awaited == [first, second]
    helper.wait_for(first)
    assert helper._awaited == [second]
    helper.wait_for(second)  # the second process has ended without it
    assert helper._awaited == []


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
