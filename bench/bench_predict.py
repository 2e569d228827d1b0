"""Predicting the labels of a few rows, where the cost of a call shows."""

from __future__ import annotations

import functools
from typing import Any

import bare_numpy
import numpy as np
import pytest
from contenders import BARE_NUMPY, JAX, NUMBA, NUMPY, TORCH, TORCH_COMPILE, contenders, operations_of
from main_job import mnist, prediction_flop
from measurement import Measure, Work
from numpy.typing import NDArray


@contenders(NUMBA, NUMPY, BARE_NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize("n_rows", [1, 32])
def bench_predict(measure: Measure, n_rows: int, contender: str) -> None:
    X = _rows(n_rows)
    run = operations_of(contender).predict(X)
    expected = bare_numpy.predict(X.astype(np.float64))()

    def check(labels: Any) -> None:
        if not np.array_equal(np.asarray(labels), expected):
            raise AssertionError(f"expected labels {expected}; got {np.asarray(labels)}")

    title = f"predicting {n_rows} row{'s' if n_rows > 1 else ''}"
    flop = prediction_flop(n_rows)
    work = Work("prediction", f"784-256-10, {n_rows} rows", "float32", flop=flop, samples=n_rows, headline=title)
    measure(work, contender, run, check)


@functools.lru_cache(maxsize=1)
def _rows(n_rows: int) -> NDArray[Any]:
    return mnist().first(n_rows).floats("float32")
