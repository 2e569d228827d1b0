"""The division of packed kernels and of batches as a plan, for up to 128 threads, whatever this machine has."""

import itertools
import math

import numba
import numpy as np
import pytest
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._products.division import (
    TIME_OF_BARRIER,
    BatchPanels,
    _time_of_batch,
    divide_batches,
    divide_packed_gradient,
    divide_packed_product,
    row_threads,
    shares_of,
)
from fastfnn_kernels.jitted._products.shares import (
    COST_OF_GROUP,
    bounds_of_inputs,
    ends_of_groups,
    first_piece_of_share,
)
from fastfnn_kernels.jitted._products.sparse_product import PIECES, Groups
from fastfnn_kernels.runtime.cpu import UNIT

THREADS = [1, 2, 3, 4, 8, 16, 32, 64, 128]
DENSITY = 0.3

# Operations of a thread, 20 microseconds at 60 GFLOP/s, from which on its share must be even.
ENOUGH = 1_200_000

every_number_of_threads = pytest.mark.parametrize("n_threads", THREADS)
every_shape = pytest.mark.parametrize(
    ("n_rows", "n_inputs", "n_columns"),
    [
        (42_000, 784, 256),
        (14_000, 784, 256),
        (5_000, 784, 256),
        (5_000, 784, 100),
        (42_000, 784, 1_024),
        (900, 60, 30),
    ],
)


def panels_of(n_columns, vectors=SPARSE_TILE.vectors, itemsize=4):
    return math.ceil(n_columns / (vectors * UNIT.lanes(itemsize)))


def uneven(shares):
    """Return the largest share over the mean share."""
    return max(shares) / (sum(shares) / len(shares))


@every_number_of_threads
@every_shape
def test_a_packed_product_is_divided_evenly(n_rows, n_inputs, n_columns, n_threads):
    n_groups, operations = math.ceil(n_rows / 3), int(2 * n_rows * n_inputs * n_columns * DENSITY)
    input_parts, group_parts = divide_packed_product(n_groups, n_inputs, n_columns, operations, 4, n_threads)
    n_panels = panels_of(n_columns)
    assert 1 <= group_parts <= n_groups
    assert 1 <= input_parts <= n_inputs
    if operations >= ENOUGH * n_threads:
        groups_of_task = [end - first for first, end in itertools.pairwise(shares_of(n_groups, group_parts))]
        tasks = groups_of_task * n_panels
        shares = [sum(tasks[first:end]) for first, end in itertools.pairwise(shares_of(len(tasks), n_threads))]
        assert uneven(shares) <= 1.15
    if n_threads > 1 and operations >= 8 * ENOUGH * n_threads:
        assert group_parts * n_panels >= 2 * n_threads, "nothing is left for threads that are done early"


def test_few_rows_are_divided_among_all_threads_rather_than_into_worthwhile_tasks():
    assert divide_packed_product(43, 784, SPARSE_TILE.vectors * UNIT.lanes(4), 2**20, 4, 8).group_parts == 8
    assert divide_packed_product(0, 784, 256, 0, 4, 8).group_parts == 1
    assert divide_packed_product(5, 0, 0, 0, 4, 3) == (1, 3)


@every_number_of_threads
@pytest.mark.parametrize("n_columns", [100, 256, 512, 1_024, 30, 0])
def test_a_gradient_of_packed_rows_has_a_task_for_each_thread(n_columns, n_threads):
    for by_columns in (False, True):
        parts = divide_packed_gradient(784, n_columns, 4, n_threads, by_columns=by_columns)
        assert parts.column_parts * parts.input_parts == n_threads
        assert by_columns or parts.column_parts == 1


def random_groups(n_groups, n_inputs, density, seed=0):
    rng = np.random.default_rng(seed)
    chosen = rng.random((n_groups, n_inputs)) < density
    offsets = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))])
    return Groups(offsets, np.nonzero(chosen)[1].astype(np.int32), None, None)


@pytest.mark.parametrize(
    ("n_parts", "most"), [(2, 1.15), (3, 1.15), (4, 1.15), (8, 1.15), (16, 1.15), (32, 1.15), (64, 1.3)]
)
@pytest.mark.parametrize("ramp", [0.0, 0.6])
def test_parts_of_inputs_have_equally_many_entries(n_parts, most, ramp):
    groups = random_groups(1_000, 784, 0.3 + np.linspace(-ramp / 2, ramp / 2, 784))
    bounds = bounds_of_inputs.py_func(groups, 784, n_parts)
    assert bounds[0] == 0
    assert bounds[-1] == 784
    assert (np.diff(bounds) > 0).all()
    assert uneven(np.histogram(groups.indices, bounds)[0]) <= most


def test_parts_of_inputs_without_entries_are_all_inputs():
    for groups, n_inputs, n_parts in [(random_groups(5, 7, 0), 7, 3), (random_groups(0, 0, 0), 0, 2)]:
        bounds = bounds_of_inputs.py_func(groups, n_inputs, n_parts)
        assert (bounds[0], bounds[-1]) == (0, n_inputs)
        assert (np.diff(bounds) >= 0).all()


@numba.njit
def pieces_of_shares(offsets, n_groups, n_pieces, n_shares):
    ends = ends_of_groups(offsets, n_groups)
    firsts = np.zeros(n_shares + 1, np.int64)
    for share in range(n_shares + 1):
        firsts[share] = first_piece_of_share(ends, n_pieces, share, n_shares)
    return ends, firsts


@every_number_of_threads
@pytest.mark.parametrize(("n_columns", "n_chunks"), [(256, 42), (100, 5), (1_024, 5), (30, 1), (300, 2)])
def test_groups_of_columns_are_divided_by_their_entries(n_columns, n_chunks, n_threads):
    n_groups, rng = 261, np.random.default_rng(n_columns)
    costs = rng.integers(100, 500, (n_chunks, n_groups)) * (np.arange(n_groups) % 5 > 0)
    offsets = np.concatenate([[0], np.cumsum(costs)])
    narrow = SPARSE_TAIL_VECTORS * UNIT.lanes(4)
    n_panels = panels_of(n_columns)
    last_is_narrow = n_columns - (n_panels - 1) * SPARSE_TILE.vectors * UNIT.lanes(4) <= narrow
    n_pieces = n_panels * PIECES - (PIECES - 1 if last_is_narrow else 0)
    ends, firsts = pieces_of_shares(offsets, n_groups, n_pieces, n_threads)
    assert firsts[0] == 0
    assert firsts[-1] == n_panels * n_groups * PIECES
    assert (np.diff(firsts) >= 0).all()
    assert ends[0] == 0
    cost = np.tile(np.repeat((costs + COST_OF_GROUP).sum(axis=0), PIECES), n_panels)
    if last_is_narrow:  # there, a group is one piece
        last = cost[-n_groups * PIECES :].reshape(n_groups, PIECES)
        last[:, 1:] = 0
    shares = [cost[first:end].sum() for first, end in itertools.pairwise(firsts)]
    if cost.sum() / n_threads >= 20 * cost.max():
        assert uneven(shares) <= 1.15
    assert max(shares) <= sum(shares) / n_threads + cost.max()


@every_number_of_threads
@pytest.mark.parametrize(("n_rows", "n_columns"), [(128, 256), (128, 100), (1_000, 256), (5_000, 256), (5_000, 128)])
def test_a_batch_is_divided_evenly(n_rows, n_columns, n_threads):
    entries = int(n_rows / 3 * 784 * DENSITY)
    plan = divide_batches(784, n_columns, entries, 4, n_threads)
    n_tasks = panels_of(n_columns, plan.vectors) * plan.parts
    # With less work, it would take no longer than another barrier and the lines of panels that others have changed.
    if 4 * n_rows * 784 * n_columns * DENSITY >= 8 * ENOUGH * n_threads:
        assert uneven([end - first for first, end in itertools.pairwise(shares_of(n_tasks, n_threads))]) <= 1.15
    assert _time(plan, n_columns, entries, n_threads) <= _time(plan, n_columns, entries, 1)


def _time(plan, n_columns, entries, n_threads):
    return _time_of_batch(plan, 784, n_columns, entries, 4, n_threads, 0)


@pytest.mark.parametrize("n_rows", [128, 1_000, 5_000])
def test_more_threads_never_take_longer_for_a_batch(n_rows):
    entries = int(n_rows / 3 * 784 * DENSITY)
    times = [_time(divide_batches(784, 256, entries, 4, n), 256, entries, n) for n in THREADS]
    assert times == sorted(times, reverse=True)
    assert times[THREADS.index(16)] < times[THREADS.index(4)] / (1.8 if n_rows == 128 else 2.5)


@pytest.mark.parametrize(("n_rows", "n_threads"), [(1_000, 4), (5_000, 4), (5_000, 16)])
def test_barriers_take_little_of_a_large_batch(n_rows, n_threads):
    entries = int(n_rows / 3 * 784 * DENSITY)
    plan = divide_batches(784, 256, entries, 4, n_threads)
    assert (2 + (plan.parts > 1)) * TIME_OF_BARRIER <= 0.1 * _time(plan, 256, entries, n_threads)


def test_panels_are_shared_only_where_another_barrier_pays():
    wide = SPARSE_TILE.vectors * UNIT.lanes(4)
    assert divide_batches(784, 2 * wide, 10_000, 4, 2) == BatchPanels(SPARSE_TILE.vectors, 1)
    assert divide_batches(784, 2 * wide, 1_000_000, 4, 16).parts > 1
    assert divide_batches(784, 2 * wide, 100, 4, 16).parts == 1
    assert divide_batches(1, 2 * wide, 100, 4, 16).parts == 1


def test_narrow_panels_do_not_pay_where_groups_are_short():
    wide = SPARSE_TILE.vectors * UNIT.lanes(8)
    assert divide_batches(50_000, wide, 20_000, 8, 2, 13_000) == BatchPanels(SPARSE_TILE.vectors, 2)


@every_number_of_threads
def test_rows_of_later_layers_have_enough_work_for_each_thread(n_threads):
    assert row_threads(128, 2_000_000, n_threads) == min(n_threads, 6)
    assert row_threads(128, 0, n_threads) == 1
    assert row_threads(5_000, 10**9, n_threads) == n_threads
    assert row_threads(3, 10**9, n_threads) == 1
