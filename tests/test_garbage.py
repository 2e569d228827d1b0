"""The garbage collector rests while Numba is at work, and goes on as it was before."""

import gc

import numpy as np
import pytest
from fastfnn_kernels.jitted._compile.jit import In1, Out1, kernel
from fastfnn_kernels.runtime.garbage import collected_later
from numba.core.dispatcher import Dispatcher


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def enabled(request):
    if not request.param:
        gc.disable()
    yield request.param
    gc.enable()


def test_it_goes_on_as_before(enabled):
    with collected_later():
        assert not gc.isenabled()
        with collected_later():
            pass
        assert not gc.isenabled()
    assert gc.isenabled() == enabled
    with pytest.raises(ZeroDivisionError), collected_later():
        1 / 0  # noqa: B018
    assert gc.isenabled() == enabled


def test_it_rests_while_a_kernel_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTFNN_CACHE_DIR", str(tmp_path))
    seen = []

    def compile_and_look(self, *args, original=Dispatcher.compile):
        seen.append(gc.isenabled())
        return original(self, *args)

    monkeypatch.setattr(Dispatcher, "compile", compile_and_look)

    @kernel
    def copy(x: In1, out: Out1) -> None:
        for i in range(x.size):
            out[i] = x[i]

    copy.compile(np.dtype(np.float32), parallel=False)
    assert seen
    assert not any(seen)
    assert gc.isenabled()
