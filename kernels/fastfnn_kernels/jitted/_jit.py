"""The only place that calls `numba.njit`: options, argument types, threads.

A kernel's arguments are annotated with the aliases below. Their types are fixed for each dtype before a
kernel is compiled, so that a read-only input does not cost another compilation, and each kernel is compiled
twice at most for a dtype, or for a `Conversion` of two: once for one thread and once for many.
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
from numpy.typing import NDArray

from fastfnn_kernels.jitted._cache import KernelCache
from fastfnn_kernels.jitted._tbb import load_tbb

load_tbb()  # before the first parallel kernel, when Numba chooses its threads

OPTIONS = {
    # Division by zero gives inf and NaN as NumPy's does; a kernel never raises.
    "error_model": "numpy",
    # a * b + c may become one fused operation, whose error is smaller. The flags that assume away NaN and
    # inf, or that reorder sums, are left out: results must not depend on how a loop was cut.
    "fastmath": {"contract"},
    # Other Python threads go on while a kernel runs.
    "nogil": True,
}

# A sum that nothing cuts may be added up in the order the compiler likes: only so does it become vector instructions.
SUM_OPTIONS = OPTIONS | {"fastmath": {"contract", "reassoc"}}

# A parallel region costs some 10 microseconds to enter and leave: work of fewer operations stays on one thread.
PARALLEL_OPERATIONS = 1_000_000


class Conversion(NamedTuple):
    """The two dtypes of a kernel that reads numbers of one and writes them in another."""

    source: np.dtype[Any]
    target: np.dtype[Any]


@dataclass(frozen=True)
class _ArrayOf:
    """An array argument: `dtype` None stands for the dtype a kernel is compiled for."""

    ndim: int
    readonly: bool
    dtype: Any = None

    def numba_type(self, conversion: Conversion) -> Any:
        dtype = self.dtype or numba.from_dtype(conversion.target)
        return types.Array(dtype, self.ndim, "C", readonly=self.readonly)


@dataclass(frozen=True)
class _SourceArrayOf:
    """An array that is read and converted."""

    ndim: int

    def numba_type(self, conversion: Conversion) -> Any:
        return types.Array(numba.from_dtype(conversion.source), self.ndim, "C", readonly=True)


@dataclass(frozen=True)
class _Scalar:
    """A scalar argument, of the kernel's dtype when `numba_scalar` is None."""

    numba_scalar: Any = None

    def numba_type(self, conversion: Conversion) -> Any:
        return self.numba_scalar or numba.from_dtype(conversion.target)


In1 = Annotated[NDArray[Any], _ArrayOf(1, readonly=True)]
In2 = Annotated[NDArray[Any], _ArrayOf(2, readonly=True)]
Out1 = Annotated[NDArray[Any], _ArrayOf(1, readonly=False)]
Out2 = Annotated[NDArray[Any], _ArrayOf(2, readonly=False)]
SourceIn2 = Annotated[NDArray[Any], _SourceArrayOf(2)]
IndicesIn1 = Annotated[NDArray[np.int32], _ArrayOf(1, readonly=True, dtype=types.int32)]
OutIndices1 = Annotated[NDArray[np.int32], _ArrayOf(1, readonly=False, dtype=types.int32)]
BytesIn2 = Annotated[NDArray[np.uint8], _ArrayOf(2, readonly=True, dtype=types.uint8)]
OutBytes2 = Annotated[NDArray[np.uint8], _ArrayOf(2, readonly=False, dtype=types.uint8)]
WordsIn2 = Annotated[NDArray[np.uint64], _ArrayOf(2, readonly=True, dtype=types.uint64)]
IntegersIn1 = Annotated[NDArray[np.int64], _ArrayOf(1, readonly=True, dtype=types.int64)]
OutIntegers1 = Annotated[NDArray[np.int64], _ArrayOf(1, readonly=False, dtype=types.int64)]
OutDoubles1 = Annotated[NDArray[np.float64], _ArrayOf(1, readonly=False, dtype=types.float64)]
Real = Annotated[float, _Scalar()]
Int = Annotated[int, _Scalar(types.intp)]
Flag = Annotated[bool, _Scalar(types.boolean)]


class Kernel:
    """A jitted function that is compiled on first use, for each dtype or conversion and for one or many threads."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._compiled: dict[tuple[np.dtype[Any] | Conversion, bool], Callable[..., Any]] = {}

    def __call__(self, operations: int, dtype: np.dtype[Any] | Conversion, *args: Any) -> Any:
        """Run on `args`; `operations` decides between one thread and many."""
        parallel = operations >= PARALLEL_OPERATIONS
        compiled = self._compiled.get((dtype, parallel)) or self.compile(dtype, parallel=parallel)
        return compiled(*args)

    def compile(self, dtype: np.dtype[Any] | Conversion, *, parallel: bool) -> Callable[..., Any]:
        """Compile for `dtype`, or load what an earlier process compiled."""
        variant = _renamed(self.function, "parallel" if parallel else "serial")
        dispatcher = numba.njit(parallel=parallel, **OPTIONS)(variant)
        dispatcher._cache = KernelCache(variant)
        dispatcher.compile(self.argument_types(dtype))
        dispatcher.disable_compile()
        self._compiled[dtype, parallel] = dispatcher
        return dispatcher  # type: ignore[no-any-return]

    def argument_types(self, dtype: np.dtype[Any] | Conversion) -> tuple[Any, ...]:
        """List the Numba types of the arguments for `dtype`."""
        conversion = dtype if isinstance(dtype, Conversion) else Conversion(dtype, dtype)
        hints = typing.get_type_hints(self.function, include_extras=True)
        hints.pop("return", None)
        return tuple(hint.__metadata__[0].numba_type(conversion) for hint in hints.values())


def threads_for(operations: int) -> int:
    """Return how many threads a kernel may compute so many operations with."""
    return 1 if operations < PARALLEL_OPERATIONS else int(numba.get_num_threads())


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a `Kernel` of an annotated function whose parallel loops are written with `numba.prange`."""
    return Kernel(function)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call."""
    return numba.njit(**OPTIONS)(function)


def force_inline(function: Callable[..., Any]) -> Any:
    """Compile a helper into the kernels that call it: its arguments are so many that passing them takes time."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def inline_sum(function: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call and that does nothing but add up."""
    return numba.njit(**SUM_OPTIONS)(function)


def _renamed(function: Callable[..., Any], suffix: str) -> Callable[..., Any]:
    """Copy a function under a name of its own, since Numba's cache tells functions apart by name alone."""
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
