"""One number of threads for the whole process: kernels, new Python threads, NumPy's linear algebra."""

import threading
from unittest import mock

import fastfnn_kernels.runtime.cpu_count
import numba
import numpy as np
import pytest
from fastfnn_kernels.jitted._compile import jit
from fastfnn_kernels.jitted._compile.jit import PARALLEL_OPERATIONS, threads_for
from fastfnn_kernels.runtime import thread_count
from fastfnn_kernels.runtime.cpu_count import Limit, most_threads
from fastfnn_kernels.runtime.thread_pool import run_parallel
from threadpoolctl import threadpool_info, threadpool_limits

from fastfnn import get_backend, get_num_threads, set_num_threads, threads


@pytest.fixture(autouse=True)
def as_before():
    before = thread_count._setting.limit
    with threadpool_limits(2, "blas"):
        yield
    thread_count._setting.limit = before


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def numbas_threads_inside():
    """Return what a parallel kernel would find."""
    return run_parallel(numba.get_num_threads, (), get_num_threads())


def test_all_by_default():
    thread_count._setting.limit = None
    assert get_num_threads() == fastfnn_kernels.runtime.cpu_count.usable_cpus().n_threads


@pytest.mark.parametrize("n_threads", [1, 2, np.int64(2)])
def test_set(n_threads):
    set_num_threads(n_threads)
    assert get_num_threads() == n_threads
    assert numbas_threads_inside() == n_threads
    assert blas_threads() == {n_threads}
    assert threads_for(PARALLEL_OPERATIONS) == n_threads
    assert threads_for(PARALLEL_OPERATIONS - 1) == 1


@pytest.mark.parametrize(("operations", "n_threads"), [(1, 1), (1_999_999, 2), (5_000_000, 5), (10**9, 16)])
def test_small_work_has_few_threads(operations, n_threads):
    with mock.patch.object(jit, "get_num_threads", return_value=16):
        assert threads_for(operations) == n_threads


def test_it_holds_in_new_python_threads():
    set_num_threads(1)
    seen = []
    thread = threading.Thread(target=lambda: seen.extend([get_num_threads(), numbas_threads_inside()]))
    thread.start()
    thread.join()
    assert seen == [1, 1]


def test_numbas_own_setting_is_left_to_its_owner():
    numba.set_num_threads(1)
    try:
        with threads(2):
            assert numbas_threads_inside() == 2
            with pytest.raises(ZeroDivisionError):
                run_parallel(lambda: 1 // 0, (), 2)
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


def test_inside_a_with():
    set_num_threads(2)
    with threads(1):
        assert (get_num_threads(), blas_threads()) == (1, {1})
        with threads(2):
            assert (get_num_threads(), blas_threads()) == (2, {2})
        assert (get_num_threads(), blas_threads()) == (1, {1})
    assert (get_num_threads(), blas_threads()) == (2, {2})


def test_a_with_that_fails():
    set_num_threads(2)
    with pytest.raises(RuntimeError), threads(1):
        raise RuntimeError
    assert (get_num_threads(), blas_threads()) == (2, {2})


@pytest.mark.parametrize("n_threads", [0, -1])
@pytest.mark.parametrize("ask", [set_num_threads, lambda n: threads(n).__enter__()], ids=["set", "with"])
def test_less_than_one(ask, n_threads):
    with pytest.raises(ValueError, match=f"a whole number from 1 up; got {n_threads}"):
        ask(n_threads)


@pytest.mark.parametrize("n_threads", [1.0, "2", None, True])
@pytest.mark.parametrize("ask", [set_num_threads, lambda n: threads(n).__enter__()], ids=["set", "with"])
def test_no_number(ask, n_threads):
    with pytest.raises(TypeError, match="threads must be a whole number from 1 up; got "):
        ask(n_threads)


def test_more_than_numba_starts():
    before, too_many = get_num_threads(), most_threads() + 1
    with pytest.raises(ValueError, match=f"got {too_many}: ask for fewer, or start .* NUMBA_NUM_THREADS"):
        set_num_threads(too_many)
    assert get_num_threads() == before


def test_the_numpy_backend_keeps_to_a_quota():
    thread_count._setting.limit = Limit(1, "a quota")
    get_backend("numpy")
    assert blas_threads() == {1}


def test_the_numpy_backend_starts_no_more_threads_than_were_asked_for():
    thread_count._setting.limit = Limit(2, "two CPUs")
    with threadpool_limits(1, "blas"):
        get_backend("numpy")
        assert blas_threads() == {1}
