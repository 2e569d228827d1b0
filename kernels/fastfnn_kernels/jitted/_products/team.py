"""Threads that go through many steps together, and wait for each other in between without leaving the kernel.

Leaving a parallel loop and entering the next takes 10 to 30 microseconds, as long as a step of a small network. A
barrier here takes less than one. A parallel loop does not promise that its iterations run at the same time, so those
that have begun form a team, and later ones find it closed and do nothing. Results must not depend on its size.
"""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastfnn_kernels.jitted._compile.jit import inline, uncounted
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE

# Places in a team's memory, in a cache line each: iterations that have begun, members, arrivals at barriers.
_BEGUN, _SIZE, _ARRIVED = (np.int64(i * CACHE_LINE // 8) for i in range(3))

# The first `turn` of `wait_for_all`. For literals, functions would be compiled once more.
FIRST_TURN = np.int64(1)

# Added to the number of those that have begun, when a team is closed.
_CLOSED = 2**32

# A waiting thread looks so often, with a pause of 40 to 140 cycles each time, before it lets other threads run.
LOOKS = 200

# The first member waits so many rounds of this for the others to begin.
ROUNDS_TO_BEGIN = 50


@intrinsic
def _add(typing: Any, memory: Any, place: Any, number: Any) -> Any:
    """Add to a number atomically, and return what it was before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(memory, types.int64, types.int64), codegen


@intrinsic
def _load(typing: Any, memory: Any, place: Any) -> Any:
    """Read a number that another thread writes; what that thread wrote before is visible then."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(memory, types.int64), codegen


@intrinsic
def _pause(typing: Any) -> Any:
    """Tell the CPU that this thread is waiting."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        machine, nothing = platform.machine().lower(), ir.FunctionType(ir.VoidType(), [])
        if machine in ("x86_64", "amd64"):
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), nothing), [])
        elif machine in ("aarch64", "arm64"):
            hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            yield_ = ir.Constant(ir.IntType(32), 1)
            builder.call(builder.module.declare_intrinsic("llvm.aarch64.hint", (), hint), [yield_])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _let_others_run(typing: Any) -> Any:
    """Let another thread run on this CPU, where the operating system has a function for it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            function = builder.module.globals.get("sched_yield") or ir.Function(builder.module, kind, "sched_yield")
            builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


@inline
def new_team() -> Any:
    """Return the memory of a team."""
    return np.zeros(3 * CACHE_LINE // 8, np.int64)


@uncounted
def join(team: Any, n_wanted: int) -> int:
    """Return the number of the calling thread in the team, or -1 if the team was closed."""
    number: int = _add(team, _BEGUN, 1)
    if number >= _CLOSED:
        return -1
    if number == 0:
        for _ in range(ROUNDS_TO_BEGIN):
            if _reaches(team, _BEGUN, n_wanted):
                break
            _let_others_run()
        _add(team, _SIZE, _add(team, _BEGUN, _CLOSED))
    else:
        while not _reaches(team, _SIZE, 1):
            _let_others_run()
    return number


@uncounted
def size_of(team: Any) -> int:
    """Return the number of members, once the calling thread has joined."""
    size: int = _load(team, _SIZE)
    return size


@uncounted
def wait_for_all(team: Any, turn: int) -> int:
    """Wait until all members have called this with the same `turn`, at first `FIRST_TURN`; return the next."""
    expected = turn * size_of(team)
    if _add(team, _ARRIVED, 1) + 1 < expected:
        while not _reaches(team, _ARRIVED, expected):
            _let_others_run()
    return turn + 1


@uncounted
def _reaches(team: Any, place: int, number: int) -> bool:
    """Look until a number is reached; return False if that takes too many looks."""
    for _ in range(LOOKS):
        if _load(team, place) >= number:
            return True
        _pause()
    return False
