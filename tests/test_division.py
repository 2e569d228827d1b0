"""The division of work as a plan: equal shares and few barriers for up to 128 threads, whatever this machine has."""

import itertools
import math
from unittest import mock

import pytest
from fastfnn_kernels.jitted._compile import jit
from fastfnn_kernels.jitted._compile.jit import threads_for
from fastfnn_kernels.jitted._llvm.tile_shapes import TILE
from fastfnn_kernels.jitted._products.division import (
    TILES_OF_INPUTS,
    TILES_OF_TASK,
    Grid,
    divide_product,
    divide_weight_gradient,
    panels_of,
    panels_read_in_place,
    tiles_of,
)
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import ROW_CHUNK
from fastfnn_kernels.runtime.caches import Caches
from fastfnn_kernels.runtime.cpu import CPU, UNIT, Cpu

SHAPES = [(42_000, 784, 256), (5_000, 784, 100), (8_192, 1_024, 1_024), (128, 784, 256), (1_000, 1_000, 1_000)]
ITEMSIZES = [4, 8]
THREADS = [1, 2, 3, 4, 7, 8, 16, 32, 64, 128]

# Of a core, in a second; and the seconds of a barrier, and of a share for which balance pays.
OPERATIONS_A_SECOND = 1e11
BARRIER = 5e-6
LONG_SHARE = 20e-6

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_itemsize = pytest.mark.parametrize("itemsize", ITEMSIZES)
every_number_of_threads = pytest.mark.parametrize("n_threads", THREADS)


def share(n_items, task, n_tasks):
    first, end = share_of.py_func(n_items, task, n_tasks)
    return range(first, end)


def work_of_threads(grid, n_tiles, n_panels, n_threads):
    """Return the tiles, each of one panel, in each thread's own tasks; all tasks together are all tiles, once."""
    tasks = [
        list(itertools.product(share(n_tiles, i, grid.tile_parts), share(n_panels, j, grid.panel_parts)))
        for i in range(grid.tile_parts)
        for j in range(grid.panel_parts)
    ]
    assert sorted(itertools.chain(*tasks)) == list(itertools.product(range(n_tiles), range(n_panels)))
    return [sum(len(tasks[t]) for t in share(len(tasks), thread, n_threads)) for thread in range(n_threads)]


def used(n_threads, operations):
    with mock.patch.object(jit, "get_num_threads", return_value=n_threads):
        return threads_for(operations)


def assert_balanced(grid, n_tiles, n_panels, n_threads, seconds):
    work = work_of_threads(grid, n_tiles, n_panels, n_threads)
    mean = sum(work) / n_threads
    one = 1 / mean  # a tile more or less, which cannot be divided
    if seconds / n_threads >= LONG_SHARE:
        assert max(work) / mean <= max(1.15, 1 + one), work


@every_number_of_threads
@every_itemsize
@every_shape
def test_threads_have_equal_shares_of_a_product(shape, itemsize, n_threads):
    n_rows, n_inputs, n_outputs = shape
    for n_columns in (n_outputs, n_inputs):
        operations = 2 * n_rows * n_inputs * n_outputs
        n_used = used(n_threads, operations)
        grid = divide_product(n_rows, n_columns, itemsize, n_used)
        extent = tiles_of(n_rows), panels_of(n_columns, itemsize)
        assert_balanced(grid, *extent, n_used, operations / OPERATIONS_A_SECOND)
        assert -(-extent[0] // grid.tile_parts) <= 2 * TILES_OF_TASK  # their inputs stay in cache


def divided_weight_gradient(shape, itemsize, n_threads):
    """Return the operations of a weight gradient, the number of threads that they are worth, and its division."""
    operations = 2 * math.prod(shape)
    n_used = used(n_threads, operations)
    return operations, n_used, divide_weight_gradient(*shape, itemsize, n_used)


@every_number_of_threads
@every_itemsize
@every_shape
def test_threads_have_equal_shares_of_a_weight_gradient(shape, itemsize, n_threads):
    n_rows, n_inputs, n_outputs = shape
    operations, n_used, spans = divided_weight_gradient(shape, itemsize, n_threads)
    extent = tiles_of(n_inputs), panels_of(n_outputs, itemsize)
    n_spans = -(-n_rows // spans.rows)
    seconds = operations / OPERATIONS_A_SECOND / n_spans
    assert_balanced(Grid(spans.input_parts, spans.panel_parts), *extent, n_used, seconds)
    assert -(-extent[0] // spans.input_parts) <= 2 * TILES_OF_INPUTS


@every_number_of_threads
@every_itemsize
@every_shape
def test_barriers_of_a_weight_gradient_take_a_tenth_of_its_time(shape, itemsize, n_threads):
    operations, n_used, spans = divided_weight_gradient(shape, itemsize, n_threads)
    n_rows = shape[0]
    assert spans.rows % ROW_CHUNK == 0
    n_barriers = 2 * -(-n_rows // spans.rows) - 2  # after packing and after the products of each span, but the first
    seconds = operations / n_used / OPERATIONS_A_SECOND
    assert n_barriers * BARRIER <= 0.1 * seconds


def test_a_span_stays_in_the_second_level_cache():
    def span_rows(second, n_threads):
        cpu = Cpu("any", CPU.unit, 2, Caches(32_768, second, 2**25))
        return divide_weight_gradient(42_000, 784, 256, 4, n_threads, cpu).rows

    assert [span_rows(second, 1) for second in (2**18, 2**20, 2**21, 2**23)] == [512, 512, 1024, 4096]
    assert span_rows(2**18, 16) == 1024  # fewer barriers for more threads


def test_few_rows_of_a_matrix_in_the_cache_are_read_in_place():
    cpu = Cpu("any", CPU.unit, 2, Caches(32_768, 2**21, 2**25))
    n_panels = 256 // (panel := TILE.vectors * UNIT.lanes(4))
    assert panels_read_in_place(128, 784, 256, 4, cpu) == n_panels
    assert panels_read_in_place(128, 784, 256 + panel - 1, 4, cpu) == n_panels
    assert panels_read_in_place(141, 784, 256, 4, cpu) == 0
    assert panels_read_in_place(128, 2048, 256, 4, cpu) == 0
    assert panels_read_in_place(128, 200, 1024, 4, cpu) == 0  # the rows share a part of the cache


def test_empty_products_are_divided():
    assert divide_product(0, 0, 4, 8) == Grid(1, 1)
    assert divide_weight_gradient(0, 0, 0, 4, 8).rows == ROW_CHUNK
