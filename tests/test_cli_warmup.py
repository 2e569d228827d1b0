"""`fastfnn warmup`: what it compiles, what it says, and that later programs find it."""

import logging
from types import SimpleNamespace

import pytest
from command_line import fail, succeed
from fastfnn_kernels.runtime import compiling
from processes import output_of

from fastfnn.app.compile_progress import watched_kernels

WARM_UP = """
    import sys
    sys.argv = ["fastfnn", "warmup", "--dtype", "float32"]
    from fastfnn.app.cli import main
    main()
"""

TRAIN_AFTERWARDS = """
    import numpy as np
    import fastfnn
    from fastfnn.app.compile_progress import watched_kernels

    X = np.random.default_rng(0).random((7000, 784), dtype=np.float32)
    X[X > 0.2] = 0
    y = np.arange(7000) % 10
    with watched_kernels(lambda kernel: None) as watch:
        net = fastfnn.Network([fastfnn.Dense(784, 256, activation="relu"), fastfnn.Dense(256, 10)], seed=0)
        net.fit(X, y, fastfnn.Adam(), epochs=1)
        net.fit(X, y, fastfnn.SGD(), epochs=1, batch_size=32)
        net.fit(X, y, fastfnn.Adam(), epochs=1, batch_size=128)
        net.fit(X[:, ::-1] + 1, y, fastfnn.AdamW(), epochs=1, batch_size=128)
        net.predict(X[:1])
    print(watch.counts["compiled"], watch.counts["loaded from the cache"])
"""


def test_later_programs_find_what_it_compiled():
    lines = output_of(WARM_UP, timeout=300).splitlines()
    assert lines[0] == "training on mostly-zero data"
    assert lines[-1].startswith("kernels: ")
    compiled, loaded = map(int, output_of(TRAIN_AFTERWARDS).split())
    assert compiled == 0
    assert loaded > 10


def test_it_says_what_it_did(monkeypatch):
    monkeypatch.setattr("fastfnn.app.cli.usual_work", lambda dtype: {f"work in {dtype}": lambda: None})
    assert succeed("warmup", "--dtype", "float64").splitlines()[0] == "work in float64"


def test_an_unknown_dtype():
    assert "dtype must be one of float32, float64; got 'int8'" in fail("warmup", "--dtype", "int8")


def dispatcher(**cache_hits):
    return SimpleNamespace(stats=SimpleNamespace(cache_hits=cache_hits))


def test_kernels_are_counted_by_where_they_came_from():
    shown = []
    with watched_kernels(shown.append) as watch:
        for name, found in [("one", dispatcher()), ("two", dispatcher(signature=1)), ("three", dispatcher())]:
            with compiling.announced(name, found):
                assert compiling.is_compiling()
    assert not compiling.is_compiling()
    assert shown == ["one", "two", "three"]
    assert watch.summary().startswith("kernels: 2 compiled, 1 loaded from the cache, in ")
    assert compiling.log.level == logging.NOTSET
    with compiling.announced("four", dispatcher()):
        pass
    assert len(shown) == 3


def test_nothing_to_prepare():
    with watched_kernels(pytest.fail) as watch:
        pass
    assert watch.summary().startswith("kernels: all there already, in ")
