"""Kernels are called with the types they were compiled for: machine code called directly does not look at them.

And nothing but their own loops is shared among threads.
"""

import re

import numba
import numpy as np
import pytest
from fastfnn_kernels import jitted
from fastfnn_kernels.jitted._compile.jit import Entries, In1, Out1, kernel
from fastfnn_kernels.jitted._products.in_place_product import multiply_small
from page_guard import FAMILIES

# (rows, columns, depth): one for each kernel's serial variant, and one for its parallel one
SHAPES = [(9, 33, 5), (930, 140, 512)]


@pytest.fixture(autouse=True)
def dispatchers(monkeypatch):
    """Call kernels by Numba's dispatchers, which look at the types of all arguments."""

    def dispatcher(entries, dtype):
        dict.__getitem__(entries, dtype)  # compiles
        return entries.kernel._compiled[dtype, entries.parallel]

    monkeypatch.setattr(Entries, "__getitem__", dispatcher, raising=False)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_types_are_those_of_the_signature(family, shape, dtype, rng):
    for call in family(rng, dtype.type, *shape):
        getattr(jitted, call.name)(**call.arguments)


def test_another_type_would_be_noticed():
    x, w, bias, out = np.ones((3, 2)), np.ones((2, 4)), np.ones(4), np.ones((3, 4))
    arguments = [x, w, bias, 0, out]
    multiply_small.serial[x.dtype](*arguments)
    for i in (0, 1, 2, 4):
        other = arguments.copy()
        other[i] = arguments[i].astype(np.float32)
        with pytest.raises(TypeError, match="No matching definition"):
            multiply_small.serial[x.dtype](*other)


@kernel
def copy_by_way_of_zeros(x: In1, out: Out1) -> None:
    """Copy an array."""
    zeros = np.zeros(x.size, x.dtype)
    zeros[:] = x
    for i in numba.prange(x.size):
        out[i] = zeros[i]


def test_prange_alone_is_parallel(tmp_path, monkeypatch, rng):
    monkeypatch.setenv("FASTFNN_CACHE_DIR", str(tmp_path))  # what is loaded cannot be looked into
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):  # options given to one compilation hold for the next
        x, out = rng.standard_normal(5).astype(dtype), np.empty(5, dtype)
        copy_by_way_of_zeros.parallel[dtype](x, out)
        np.testing.assert_array_equal(out, x)
        (compiled,) = copy_by_way_of_zeros._compiled[dtype, True].overloads.values()
        machine_code = compiled.library._get_compiled_object()
        assert len(set(re.findall(rb"parfor_gufunc_0x[0-9a-f]+", machine_code))) == 1
