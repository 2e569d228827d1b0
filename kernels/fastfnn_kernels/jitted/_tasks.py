"""Tasks that threads take as they become free, where each has an output of its own and the order changes no bit."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from fastfnn_kernels.jitted._vectors import constant


@intrinsic
def take_next(typing: Any, counter: Any) -> Any:
    """Return the number of the next task, and count it as taken; `counter` is an array of one int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", pointer, constant(1), "monotonic")

    return types.int64(counter), codegen
