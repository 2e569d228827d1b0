"""Tasks that threads take as they become free, where each has an output of its own and the order changes no bit."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.vectors import constant

# Each share of rows has gradients of its own in memory.
MOST_SHARES = 16


def number_of_shares(n_rows: int, block_rows: int) -> int:
    """Return the number of shares for some rows: at least 2, and even, so that two threads get equally many."""
    n_blocks = max(-(-n_rows // block_rows), 1)
    return min(n_blocks + n_blocks % 2, MOST_SHARES)


@intrinsic
def take_next(typing: Any, counter: Any) -> Any:
    """Return the number of the next task, and count it as taken; `counter` is an array of one int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", pointer, constant(1), "monotonic")

    return types.int64(counter), codegen


@inline
def share_of(n_items: int, task: int, n_tasks: int) -> tuple[int, int]:
    """Return the first of the items of a task, and the end: as many as each other's, or one more."""
    return task * n_items // n_tasks, (task + 1) * n_items // n_tasks


@inline
def next_task(counters: Any, worker: int, n_tasks: int) -> int:
    """Return the number of a task that is not begun yet, or `n_tasks` if all are.

    A worker does its own share first, whose data its caches may still hold, and then what is left of the others'.

    Parameters
    ----------
    counters : ndarray of int64, shape (n_workers,)
        How often the tasks of each worker's share were asked for.
    worker : int
        Who asks.
    n_tasks : int
        How many tasks all workers have.
    """
    n_workers = counters.size
    for turn in range(n_workers):
        owner = (worker + turn) % n_workers
        first, end = share_of(n_tasks, owner, n_workers)
        task: int = first + take_next(counters[owner : owner + 1])
        if task < end:
            return task
    return n_tasks
