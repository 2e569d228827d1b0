"""Memory that is kept between calls of kernels."""

import numpy as np
import pytest
from arrays import mostly_zeros
from batch_cases import Case
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.batches import RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.workspace import CACHE_LINE, Workspace

backends = pytest.mark.parametrize("kernels", [reference, jitted], ids=["numpy", "numba"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (1000,), (0, 3), (333, 3)])
def test_an_array_is_as_asked_for_and_aligned(shape, dtype):
    array = Workspace().array("a", shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.size == 0 or array.ctypes.data % CACHE_LINE == 0


def test_a_name_keeps_its_memory_while_that_is_large_enough():
    workspace = Workspace()
    first = workspace.array("a", (64, 16), np.float64)
    for shape in [(64, 16), (5, 7), (1024,), (1100,)]:
        assert workspace.array("a", shape, np.float64).ctypes.data == first.ctypes.data
    assert not np.shares_memory(workspace.array("b", (64, 16), np.float64), first)
    for shape, dtype in [((1200,), np.float64), ((64, 16), np.float32)]:
        new = workspace.array("a", shape, dtype)
        new[...] = 1
        assert not np.shares_memory(new, first)
        assert new.shape == shape


def test_packed_batches_lie_in_the_memory_of_the_last():
    rng = np.random.default_rng(0)
    x, workspace = mostly_zeros(rng, (50, 40), np.float32), Workspace()
    for rows in (np.arange(50), np.arange(20), rng.permutation(50)):
        expected = jitted.pack_batches(x, x.dtype, 8, 0.5, rows)
        batches = jitted.pack_batches(x, x.dtype, 8, 0.5, rows, workspace)
        for array, other in zip(batches[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(array, other)
    earlier = batches
    batches = jitted.pack_batches(x, x.dtype, 8, 0.5, np.arange(50), workspace)
    assert all(np.shares_memory(array, other) for array, other in zip(batches[:3], earlier[:3], strict=True))


@pytest.mark.parametrize("packed", [False, True], ids=["dense", "packed"])
def test_steps_do_not_depend_on_what_is_in_the_memory(packed):
    workspace = Workspace()
    results = []
    for number, filling in enumerate((None, 0, np.nan)):
        arguments, written = _call(packed)
        if filling is not None:
            workspace.array("batches", (1,), np.float32).base.view(np.float32)[...] = filling
        values, n_correct = jitted.train_batches(*arguments, workspace if number else None)
        results.append([array.tobytes() for array in (values, n_correct, *written)])
        workspace.array("batches", (100_000,), np.float32)
    assert results[0] == results[1] == results[2]


@backends
def test_what_is_no_workspace_is_refused(kernels):
    arguments, written = _call(packed=False)
    before = [array.copy() for array in written]
    words = r"workspace must be a fastfnn_kernels\.workspace\.Workspace or None; got dict: build one"
    with pytest.raises(TypeError, match=words):
        kernels.train_batches(*arguments, {})
    with pytest.raises(TypeError, match=words):
        kernels.pack_batches(arguments[0], np.float32, 2, 1.0, None, {})
    for array, copy in zip(written, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def _call(packed):
    """Return the arguments of a call of `train_batches`, and the arrays that it writes to."""
    rng = np.random.default_rng(1)
    layers = (StackLayer(37, "tanh", 0, 33 * 37), StackLayer(5, "identity", 34 * 37, 34 * 37 + 185))
    parameters = rng.standard_normal(34 * 37 + 190).astype(np.float32) / 4
    x, rows = mostly_zeros(rng, (90, 33), np.float32), rng.permutation(90)
    losses, states = RowLosses("softmax_cross_entropy", rng.integers(0, 5, 90)), (np.zeros_like(parameters),)
    rule = Rule("momentum", 0.1, {"momentum": 0.9, "nesterov": False, "velocity_of_steps": False}, states, 0)
    case = Case(
        x, rows, losses, Stack(33, layers), parameters, np.zeros_like(parameters), rule, StepOptions(20, l2=0.1)
    )
    return case.arguments(packed), case.written
