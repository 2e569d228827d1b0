"""Shares of packed rows or columns that take equally long, although their numbers of entries differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._products.sparse_product import PIECES, Groups, number_below

# Entries that are counted for each part of the inputs, and the most for all parts. On one core of an Intel Xeon
# (Sapphire Rapids), 8,192 take 5 microseconds.
SAMPLED_ENTRIES = 1024
MOST_SAMPLED = 32768

# The time of a sampled entry, where clearing and copying an input take 1.
SAMPLED_WEIGHT = 8

# The golden section of 2^32. Its multiples, modulo 2^32, are spread evenly and without a period.
SPREADING = 2654435769

# The time to store a group's sums and to begin the next, in entries.
COST_OF_GROUP = 6


@inline
def bounds_of_inputs(groups: Groups, n_inputs: int, n_parts: int) -> Any:
    """Return the first input of each part, and the end of the last, dividing a sample of the entries evenly."""
    bounds = np.zeros(n_parts + 1, np.int64)
    bounds[n_parts] = n_inputs
    if n_parts == 1:
        return bounds
    costs, n_entries = np.ones(n_inputs, np.int64), groups.indices.size
    for i in range(min(n_entries, SAMPLED_ENTRIES * n_parts, MOST_SAMPLED)):
        entry = ((i * SPREADING) & 0xFFFFFFFF) * n_entries >> 32
        costs[np.uintp(groups.indices[np.uintp(entry)])] += SAMPLED_WEIGHT
    total, before, part = costs.sum(), 0, 1
    for i in range(n_inputs):
        while part < n_parts and (2 * before + costs[i]) * n_parts > 2 * part * total:
            bounds[part] = i
            part += 1
        before += costs[i]
    bounds[part:] = n_inputs
    return bounds


@inline
def ends_of_groups(offsets: Any, n_groups: int) -> Any:
    """Return what the groups before each one cost, and all of them; every chunk of rows has entries of all groups."""
    ends = np.zeros(n_groups + 1, np.int64)
    for first in range(0, offsets.size - 1, max(n_groups, 1)):
        for group in range(n_groups):
            ends[group + 1] += COST_OF_GROUP + offsets[first + group + 1] - offsets[first + group]
    for group in range(n_groups):
        ends[group + 1] += ends[group]
    return ends


@inline
def first_piece_of_share(ends: Any, n_pieces: int, share: int, n_shares: int) -> int:
    """Return where a share begins, in pieces of groups; there are `PIECES` for each group of each panel.

    Parameters
    ----------
    ends : ndarray of int64, shape (n_groups + 1,)
        From `ends_of_groups`.
    n_pieces : int
        The pieces of a group in all panels. A narrow last panel has only one.
    share, n_shares : int
        The share; the end of the last share is where one more would begin.
    """
    n_groups, total = ends.size - 1, ends[-1]
    if share == n_shares:
        end: int = (n_pieces + PIECES - 1) // PIECES * n_groups * PIECES
        return end
    position = share * (n_pieces * total) // n_shares
    panel = position // (PIECES * total)
    pieces_of_panel = min(PIECES, n_pieces - panel * PIECES)
    position -= panel * PIECES * total
    group = number_below(ends[1:], position // pieces_of_panel + 1)
    piece = (position - ends[group] * pieces_of_panel) // (ends[group + 1] - ends[group])
    first: int = (panel * n_groups + group) * PIECES + piece
    return first
