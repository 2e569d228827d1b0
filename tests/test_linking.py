import numba
import numpy as np
import pytest
from fastfnn_kernels.jitted._linking import WRAPPERS, wrappers_only_linked
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target


def doubling():
    """Return a new parallel function, not compiled yet."""

    @numba.njit("void(float64[::1])", parallel={"prange": True})
    def double(x):
        for i in numba.prange(x.size):
            x[i] *= 2

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


def test_wrappers_have_no_machine_code_of_their_own(compiled_libraries):
    with wrappers_only_linked():
        double = doubling()
    assert compiled_libraries
    assert not [name for name in compiled_libraries if name.startswith(WRAPPERS)]
    x = np.arange(100_000.0)
    double(x)
    assert np.array_equal(x, 2.0 * np.arange(100_000))


def test_this_numba_calls_them_so_and_compiles_them_otherwise(compiled_libraries):
    doubling()
    for wrapper in WRAPPERS:
        assert [name for name in compiled_libraries if name.startswith(wrapper)]


def test_what_others_compile_is_as_before():
    codegen = cpu_target.target_context.codegen()
    before = codegen._library_class
    with wrappers_only_linked():
        assert codegen._library_class is not before
    assert codegen._library_class is before
    with pytest.raises(ZeroDivisionError), wrappers_only_linked():
        1 / 0  # noqa: B018
    assert codegen._library_class is before
