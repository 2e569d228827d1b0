"""Ordering rows so that similar ones are packed together; non-zeros are compared as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import OutIntegers1, WordsIn2, inline, kernel
from fastfnn_kernels.packing import ROWS_OF_GROUP

WORD_BYTES = 8


def similar_rows(x: NDArray[Any]) -> NDArray[np.int64]:
    """Order rows by the positions of their non-zeros; see `fastfnn_kernels.reference.similar_rows`."""
    nonzero = x != 0
    by_size = np.argsort(-np.count_nonzero(nonzero, axis=1), kind="stable")
    words = _bits(nonzero[by_size])
    order = np.empty(len(x), np.int64)
    _group.serial[np.dtype(np.float32)](words, order)
    return by_size[order]


def _bits(nonzero: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack booleans into rows of 64-bit words."""
    packed = np.packbits(nonzero, axis=1)
    padded = np.zeros((len(packed), -(-packed.shape[1] // WORD_BYTES) * WORD_BYTES), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


@intrinsic
def _number_of_ones(typing: Any, word: Any) -> Any:
    """Count the one bits of a word."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return word(word), codegen


@inline
def _number_of_differences(a: Any, b: Any) -> int:
    total = np.uint64(0)
    for i in range(a.size):
        total += _number_of_ones(a[i] ^ b[i])
    return int(np.int64(total))


@inline
def _most_alike(words: Any, taken: Any, first: int, group: Any) -> int:
    """Return the remaining row, from `first` on, that differs least from the group (the first of equals)."""
    chosen, least = -1, 0
    for row in range(first, taken.size):
        if not taken[row]:
            differences = _number_of_differences(words[row], group)
            if chosen < 0 or differences < least:
                chosen, least = row, differences
    return chosen


@kernel
def _group(words: WordsIn2, order: OutIntegers1) -> None:
    """Fill one group after another; each begins with the first remaining row, which has the most non-zeros."""
    n_rows, n_words = words.shape
    taken = np.zeros(n_rows, np.bool_)
    group = np.empty(n_words, np.uint64)
    first = 0
    for place in range(n_rows):
        while taken[first]:
            first += 1
        if place % ROWS_OF_GROUP == 0:
            chosen = first
            group[:] = 0
        else:
            chosen = _most_alike(words, taken, first, group)
        taken[chosen] = True
        group |= words[chosen]
        order[place] = chosen
