import sys

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fastfnn.threads import limited_threads


@pytest.fixture(autouse=True)
def two_threads_for_numpy():
    with threadpool_limits(2, "blas"):
        yield


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_numba_gets_as_many_as_asked_for_and_its_own_back():
    before = numba.get_num_threads()
    with limited_threads(1, "numba"):
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before


def test_numba_gets_its_own_back_after_an_error():
    before = numba.get_num_threads()
    with pytest.raises(RuntimeError), limited_threads(1, "numba"):
        raise RuntimeError
    assert numba.get_num_threads() == before


def test_numpy_gets_as_many_as_asked_for_and_its_own_back():
    before = blas_threads()
    with limited_threads(1, "numpy"):
        assert blas_threads() == {1}
    assert blas_threads() == before


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_none_changes_nothing(backend):
    before = numba.get_num_threads(), blas_threads()
    with limited_threads(None, backend):
        assert (numba.get_num_threads(), blas_threads()) == before


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_less_than_one(backend):
    with pytest.raises(ValueError, match="a whole number from 1 up; got 0"), limited_threads(0, backend):
        pass


def test_more_than_numba_has():
    too_many = numba.config.NUMBA_NUM_THREADS + 1
    with pytest.raises(ValueError, match=f"got {too_many}: ask for fewer"), limited_threads(too_many, "numba"):
        pass


def test_numpy_without_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(ImportError, match="pip install threadpoolctl"), limited_threads(1, "numpy"):
        pass
