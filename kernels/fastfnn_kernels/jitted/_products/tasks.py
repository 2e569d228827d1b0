"""Tasks that threads take as they become free. Each has its own output, so their order does not affect the result."""

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
    """Take the next task and return its number, atomically; `counter` is an array of one int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", pointer, constant(1), "monotonic")

    return types.int64(counter), codegen


@inline
def share_of(n_items: int, task: int, n_tasks: int) -> tuple[int, int]:
    """Return a task's first item and end, when items are divided evenly (sizes differ by at most 1)."""
    return task * n_items // n_tasks, (task + 1) * n_items // n_tasks


@inline
def next_task(counters: Any, worker: int, n_tasks: int) -> int:
    """Take a task that no worker has taken yet; return its number, or `n_tasks` if there is none.

    A worker first takes the tasks of its own share, whose data may still be in its caches, and then remaining tasks
    of other workers.

    Parameters
    ----------
    counters : ndarray of int64, shape (n_workers,)
        Number of tasks taken from each worker's share.
    worker : int
        The worker that takes the task.
    n_tasks : int
        Total number of tasks.
    """
    n_workers = counters.size
    for turn in range(n_workers):
        owner = (worker + turn) % n_workers
        first, end = share_of(n_tasks, owner, n_workers)
        task: int = first + take_next(counters[owner : owner + 1])
        if task < end:
            return task
    return n_tasks
