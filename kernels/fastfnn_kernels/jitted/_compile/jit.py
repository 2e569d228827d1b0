"""The only file that calls `numba.njit`: compiler options, argument types, and the choice of one thread or many.

A kernel's arguments are annotated with the aliases below. Each dtype therefore has fixed argument types, and a
read-only input needs no further compilation. A kernel is compiled at most twice for each dtype, or for each
`Conversion` between two: once for one thread and once for many.
"""

from __future__ import annotations

import functools
import types as python_types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.linking import all_but_linked
from fastfnn_kernels.runtime import get_num_threads
from fastfnn_kernels.runtime.cache import KernelCache
from fastfnn_kernels.runtime.compiling import announced, no_lost_interrupt
from fastfnn_kernels.runtime.environment import check_environment
from fastfnn_kernels.runtime.garbage import collected_later
from fastfnn_kernels.runtime.thread_pool import run_parallel

check_environment()

OPTIONS = {
    # Division by zero gives inf or NaN, as in NumPy; a kernel never raises.
    "error_model": "numpy",
    # a * b + c may become one fused operation, which has a smaller error. Flags that assume that there is no NaN or
    # inf are left out, and so are flags that reorder sums: results must not depend on how a loop is divided.
    "fastmath": {"contract"},
    # Other Python threads run while a kernel runs.
    "nogil": True,
}

# A sum that is never divided among threads may be added up in any order. Only then does LLVM use vector instructions.
SUM_OPTIONS = OPTIONS | {"fastmath": {"contract", "reassoc"}}

# Python and C call kernels only, so helpers need no wrappers for them.
ONLY_LINKED = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Only loops written with prange run in parallel. Other operations, such as filling an array with zeros, do not.
ONLY_PRANGE = {"prange": True} | dict.fromkeys(
    ("comprehension", "fusion", "inplace_binop", "numpy", "reduction", "setitem", "stencil"), False
)

# Entering and leaving a parallel region takes about 10 microseconds. Smaller amounts of work stay on one thread.
PARALLEL_OPERATIONS = 1_000_000

# From the third thread on, each has at least this many operations: 10 microseconds of a core that does 100 GFLOP/s.
OPERATIONS_OF_THREAD = 1_000_000


class Conversion(NamedTuple):
    """The dtypes that a kernel reads and writes, and the number of layers in its arguments that are tuples."""

    source: np.dtype[Any]
    target: np.dtype[Any]
    n_layers: int = 0


@dataclass(frozen=True)
class _ArrayOf:
    """An array argument; `dtype` None means the dtype that the kernel is compiled for."""

    ndim: int
    readonly: bool
    dtype: Any = None

    def numba_type(self, conversion: Conversion) -> Any:
        dtype = self.dtype or numba.from_dtype(conversion.target)
        return types.Array(dtype, self.ndim, "C", readonly=self.readonly)


@dataclass(frozen=True)
class _SourceArrayOf:
    """An array argument that is read and converted."""

    ndim: int

    def numba_type(self, conversion: Conversion) -> Any:
        return types.Array(numba.from_dtype(conversion.source), self.ndim, "C", readonly=True)


@dataclass(frozen=True)
class _OfLayers:
    """A tuple with one argument for each layer."""

    one: _ArrayOf | _Scalar

    def numba_type(self, conversion: Conversion) -> Any:
        return types.UniTuple(self.one.numba_type(conversion), conversion.n_layers)


@dataclass(frozen=True)
class _Scalar:
    """A scalar argument; `numba_scalar` None means the dtype that the kernel is compiled for."""

    numba_scalar: Any = None

    def numba_type(self, conversion: Conversion) -> Any:
        return self.numba_scalar or numba.from_dtype(conversion.target)


In1 = Annotated[NDArray[Any], _ArrayOf(1, readonly=True)]
In2 = Annotated[NDArray[Any], _ArrayOf(2, readonly=True)]
In3 = Annotated[NDArray[Any], _ArrayOf(3, readonly=True)]
Out1 = Annotated[NDArray[Any], _ArrayOf(1, readonly=False)]
Out2 = Annotated[NDArray[Any], _ArrayOf(2, readonly=False)]
Out3 = Annotated[NDArray[Any], _ArrayOf(3, readonly=False)]
SourceIn2 = Annotated[NDArray[Any], _SourceArrayOf(2)]
IndicesIn1 = Annotated[NDArray[np.int32], _ArrayOf(1, readonly=True, dtype=types.int32)]
OutIndices1 = Annotated[NDArray[np.int32], _ArrayOf(1, readonly=False, dtype=types.int32)]
BytesIn2 = Annotated[NDArray[np.uint8], _ArrayOf(2, readonly=True, dtype=types.uint8)]
OutBytes2 = Annotated[NDArray[np.uint8], _ArrayOf(2, readonly=False, dtype=types.uint8)]
WordsIn2 = Annotated[NDArray[np.uint64], _ArrayOf(2, readonly=True, dtype=types.uint64)]
IntegersIn1 = Annotated[NDArray[np.int64], _ArrayOf(1, readonly=True, dtype=types.int64)]
IntegersIn2 = Annotated[NDArray[np.int64], _ArrayOf(2, readonly=True, dtype=types.int64)]
OutIntegers1 = Annotated[NDArray[np.int64], _ArrayOf(1, readonly=False, dtype=types.int64)]
OutDoubles1 = Annotated[NDArray[np.float64], _ArrayOf(1, readonly=False, dtype=types.float64)]
DoublesIn1 = Annotated[NDArray[np.float64], _ArrayOf(1, readonly=True, dtype=types.float64)]
DoublesIn2 = Annotated[NDArray[np.float64], _ArrayOf(2, readonly=True, dtype=types.float64)]
DoublesIn3 = Annotated[NDArray[np.float64], _ArrayOf(3, readonly=True, dtype=types.float64)]
Real = Annotated[float, _Scalar()]
Int = Annotated[int, _Scalar(types.intp)]
LayersIn1 = Annotated[tuple[NDArray[Any], ...], _OfLayers(_ArrayOf(1, readonly=True))]
LayersIn2 = Annotated[tuple[NDArray[Any], ...], _OfLayers(_ArrayOf(2, readonly=True))]
LayersInt = Annotated[tuple[int, ...], _OfLayers(_Scalar(types.intp))]
Flag = Annotated[bool, _Scalar(types.boolean)]


class Entries(dict[Any, Callable[..., Any]]):
    """One variant of a kernel for each dtype or conversion, compiled on first use.

    The values are the entry points of the machine code. Numba's dispatcher would inspect the types of all arguments
    in every call, although they are fixed.
    """

    def __init__(self, kernel: Kernel, *, parallel: bool) -> None:
        super().__init__()
        self.kernel = kernel
        self.parallel = parallel

    def __missing__(self, dtype: np.dtype[Any] | tuple[Any, ...]) -> Callable[..., Any]:
        with global_compiler_lock:
            if dtype not in self:  # another Python thread may have compiled it by now
                (compiled,) = self.kernel.compile(dtype, parallel=self.parallel).overloads.values()
                self[dtype] = compiled.entry_point
            return self[dtype]


class Kernel:
    """A jitted function, compiled on first use for each dtype or conversion, and for one thread or for many.

    Call a kernel without a parallel loop as `kernel.serial[dtype](*args)`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.serial = Entries(self, parallel=False)
        self.parallel = Entries(self, parallel=True)
        self._compiled: dict[tuple[np.dtype[Any] | tuple[Any, ...], bool], Any] = {}

    def __call__(self, operations: int, dtype: np.dtype[Any] | tuple[Any, ...], *args: Any) -> Any:
        """Run on `args`, on one thread or many depending on the number of `operations`."""
        n_threads = threads_for(operations)
        if n_threads == 1:
            return self.serial[dtype](*args)
        return run_parallel(self.parallel[dtype], args, n_threads)

    def compile(self, dtype: np.dtype[Any] | tuple[Any, ...], *, parallel: bool) -> Any:
        """Compile for `dtype`, or load the result of an earlier process from the cache."""
        variant = _renamed(self.function, _variant(parallel))
        # Pass a copy: Numba empties the dict, and an empty one would mean "everything parallel" in the next call.
        dispatcher = numba.njit(parallel=dict(ONLY_PRANGE) if parallel else False, **OPTIONS)(variant)
        dispatcher._cache = KernelCache(variant)
        with (
            announced(self.name(parallel=parallel), dispatcher),
            no_lost_interrupt(),
            all_but_linked(variant.__qualname__),
            collected_later(),
        ):
            dispatcher.compile(self.argument_types(dtype))
        dispatcher.disable_compile()
        self._compiled[dtype, parallel] = dispatcher
        return dispatcher

    def name(self, *, parallel: bool) -> str:
        """Return the name of a variant; its file name in the cache begins with it."""
        module = self.function.__module__.rpartition(".")[2]
        return f"{module}.{self.function.__qualname__}.{_variant(parallel)}"

    def argument_types(self, dtype: np.dtype[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
        """List the Numba types of the arguments for `dtype`."""
        conversion = Conversion(*dtype) if isinstance(dtype, tuple) else Conversion(dtype, dtype)
        hints = typing.get_type_hints(self.function, include_extras=True)
        hints.pop("return", None)
        return tuple(hint.__metadata__[0].numba_type(conversion) for hint in hints.values())


def _variant(parallel: bool) -> str:
    return "parallel" if parallel else "serial"


def threads_for(operations: int) -> int:
    """Return the number of threads that a kernel uses for a number of operations."""
    if operations < PARALLEL_OPERATIONS:
        return 1
    return min(get_num_threads(), max(2, operations // OPERATIONS_OF_THREAD))


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a `Kernel` from an annotated function whose parallel loops use `numba.prange`."""
    return Kernel(function)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a helper that is called by kernels, never by Python."""
    return numba.njit(**ONLY_LINKED, **OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Make a helper part of the single function that calls it; it is not compiled separately."""
    return numba.njit(inline="always", **ONLY_LINKED, **OPTIONS)(function)


def force_inline(function: Callable[..., Any]) -> Any:
    """Compile a helper into the kernels that call it, because passing its many arguments takes time."""
    return numba.njit(forceinline=True, **ONLY_LINKED, **OPTIONS)(function)


def uncounted(function: Callable[..., Any]) -> Any:
    """Compile a helper that builds NamedTuples of arrays in a loop, without counting references to the arrays.

    Counting is atomic, so threads would wait for each other at every turn. The helper may neither allocate an array,
    nor return one, nor call what returns one; what is `inlined` into it may return views.
    """
    return numba.njit(_nrt=False, **ONLY_LINKED, **OPTIONS)(function)


def inline_sum(function: Callable[..., Any]) -> Any:
    """Compile a helper that is called by kernels and only computes a sum, in any order."""
    return numba.njit(**ONLY_LINKED, **SUM_OPTIONS)(function)


def _renamed(function: Callable[..., Any], suffix: str) -> Callable[..., Any]:
    """Copy a function under another name: Numba's cache distinguishes functions by name only."""
    copy = python_types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = f"{function.__qualname__}.{suffix}"
    copy.__module__ = function.__module__
    return copy
