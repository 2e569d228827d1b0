"""What a kernel calls is linked into it, and compiled there alone."""

import numba
import numpy as np
import pytest
from fastfnn_kernels.jitted._compile.jit import In1, Kernel, Out1, inline, kernel
from fastfnn_kernels.jitted._compile.linking import all_but_linked
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

DTYPE = np.dtype(np.float64)


def doubling() -> Kernel:
    """Return a new kernel, not compiled yet, of a parallel loop that calls a function."""

    @inline
    def twice(number):
        return 2 * number

    @kernel
    def double(x: In1, out: Out1) -> None:
        for i in numba.prange(x.size):
            out[i] = twice(x[i])

    return double


@pytest.fixture
def compiled_libraries(monkeypatch):
    """Collect the names of the libraries that machine code is made of."""
    names = []

    def finalize(self, original=JITCodeLibrary._finalize_specific):
        names.append(self.name)
        original(self)

    monkeypatch.setattr(JITCodeLibrary, "_finalize_specific", finalize)
    return names


@pytest.mark.parametrize("parallel", [False, True])
def test_the_kernel_alone_is_made_machine_code_of(parallel, compiled_libraries, monkeypatch, tmp_path):
    monkeypatch.setenv("FASTFNN_CACHE_DIR", str(tmp_path))
    double = doubling()
    run = double.compile(DTYPE, parallel=parallel)
    assert len(compiled_libraries) == 1
    assert compiled_libraries[0].endswith("parallel" if parallel else "serial")
    x, out = np.arange(100_000.0), np.empty(100_000)
    run(x, out)
    assert np.array_equal(out, 2 * x)


def test_this_numba_compiles_the_rest_otherwise(compiled_libraries):
    @numba.njit(parallel={"prange": True})
    def double(x):
        for i in numba.prange(x.size):
            x[i] *= 2

    double(np.arange(3.0))
    assert len(compiled_libraries) == 4


def test_what_others_compile_is_as_before():
    codegen = cpu_target.target_context.codegen()
    before = codegen._library_class
    with all_but_linked("kernel"):
        assert codegen._library_class is not before
    assert codegen._library_class is before
    with pytest.raises(ZeroDivisionError), all_but_linked("kernel"):
        1 / 0  # noqa: B018
    assert codegen._library_class is before
