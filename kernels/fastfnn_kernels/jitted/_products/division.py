"""The division of each kernel's work into tasks, by shapes, the number of threads and the CPU.

A division never changes a result: each output is computed by one thread, in chunks that depend on shapes alone.
Every thread first does its own share of the tasks, see `tasks.next_task`. Shares should be equally large, so a
product with a short dimension is divided in both dimensions.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

from fastfnn_kernels.jitted._llvm.tile_shapes import SCATTERING_VECTORS, SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.tile_product import CONFLICTING_BYTES, ROW_CHUNK, TILE_ROWS, TILE_VECTORS
from fastfnn_kernels.runtime.cpu import CPU, Cpu

# Tiles of rows in a task of a product. Their inputs stay in the second-level cache while the panels are streamed.
TILES_OF_TASK = 56 // TILE_ROWS

# Tiles of inputs in a task of a weight gradient: these inputs of a chunk of rows stay in the second-level cache too.
TILES_OF_INPUTS = 98 // TILE_ROWS

# With up to this number of rows, a product reads a matrix that is not packed.
ROWS_IN_PLACE = 140

# Parts of a task's time that it takes to fetch a panel, or the rows of a tile, which its other tiles then share. Read
# off large products on one core of a Sapphire Rapids, whose tasks had 1 to 8 panels and 2 to 14 tiles.
COST_OF_PANEL = 0.3
COST_OF_TILE = 0.3

# Operations of a thread between two barriers of a weight gradient: 200 microseconds at 100 GFLOP/s, 40 times as long
# as the barrier.
OPERATIONS_OF_SPAN = 20_000_000

# Tasks of a thread in a packed product, whose groups of rows differ in length, and operations of a task that is worth
# taking: 20 microseconds at 60 GFLOP/s.
TASKS_OF_THREAD = 4
OPERATIONS_OF_TASK = 1_200_000

# Rows of the weights that are worth packing by a thread of its own.
PACKED_INPUTS = 32

# From this number of entries for each input, threads divide the columns of a gradient, which requires copying them.
ENTRIES_BY_COLUMNS = 100

# Nanoseconds that an entry of a packed batch takes in each vector of the weights, for its step and for its product;
# read off steps of 128 images on two cores of a Zen 4. Narrow panels take longer, since their tiles have fewer
# multiply-adds for the same address computations.
TIME_OF_VECTOR = 1.8
COST_OF_NARROW_PANEL = 1.25

# Nanoseconds to find the entries of a group of rows in a block of inputs of a panel, and their weights in memory. On
# two cores of an Intel Xeon (Sapphire Rapids), 50,000 inputs in two parts take half the time of four narrow panels.
TIME_OF_SEARCH = 60

# Nanoseconds until all threads have met, and to fetch a cache line that another core has written.
TIME_OF_BARRIER = 5_000
TIME_OF_LINE = 8

# Operations of a thread in the later layers of a batch: 5 microseconds, as a barrier.
OPERATIONS_OF_ROWS = 300_000


class Grid(NamedTuple):
    """Tasks of a product: each is one of the parts of the tiles in one of the parts of the panels."""

    tile_parts: int
    panel_parts: int


class Spans(NamedTuple):
    """A weight gradient in spans of rows, after which threads wait for each other, and the tasks of each span."""

    rows: int
    input_parts: int
    panel_parts: int


def tiles_of(n_rows: int) -> int:
    """Return the number of tiles for some rows, including the last."""
    return math.ceil(n_rows / TILE_ROWS)


def panels_of(n_columns: int, itemsize: int) -> int:
    """Return the number of panels for some columns, including the last."""
    return math.ceil(n_columns / (TILE_VECTORS * CPU.unit.lanes(itemsize)))


@functools.lru_cache(maxsize=1024)
def divide_product(n_rows: int, n_columns: int, itemsize: int, n_threads: int) -> Grid:
    """Divide the outputs of a product.

    Parameters
    ----------
    n_rows, n_columns : int
        Shape of the result.
    itemsize : int
        Bytes of a number.
    n_threads : int
        Threads that compute it.

    Returns
    -------
    Grid
    """
    return _best_grid(tiles_of(n_rows), panels_of(n_columns, itemsize), TILES_OF_TASK, n_threads)


def panels_read_in_place(n_rows: int, depth: int, n_columns: int, itemsize: int, cpu: Cpu = CPU) -> int:
    """Return the number of panels that a product reads in its matrix: for few rows, packing takes too long.

    It takes a fifth of the time of 56 rows, and a twentieth of 128 (784x256 float32, Sapphire Rapids). The matrix
    must stay in the second-level cache, so its rows must not share a part of it; the last panel may be incomplete.

    Parameters
    ----------
    n_rows, depth, n_columns : int
        Shape of the product: (n_rows, depth) by (depth, n_columns).
    itemsize : int
        Bytes of a number.
    cpu : Cpu
        Whose second-level cache is used.

    Returns
    -------
    int
    """
    row_bytes = n_columns * itemsize
    fits = n_rows <= ROWS_IN_PLACE and depth * row_bytes <= cpu.caches.second // 2 and row_bytes % CONFLICTING_BYTES
    return n_columns // (TILE_VECTORS * CPU.unit.lanes(itemsize)) if fits else 0


@functools.lru_cache(maxsize=1024)
def divide_weight_gradient(
    n_rows: int, n_inputs: int, n_columns: int, itemsize: int, n_threads: int, cpu: Cpu = CPU
) -> Spans:
    """Divide a weight gradient: its rows into spans, and the outputs of each span into tasks.

    The panels of a span stay in the second-level cache. With many threads a span is longer, because they wait for
    each other after it.

    Parameters
    ----------
    n_rows : int
        Length of the reduction.
    n_inputs, n_columns : int
        Shape of the gradient.
    itemsize : int
        Bytes of a number.
    n_threads : int
        Threads that compute it.
    cpu : Cpu
        Whose second-level cache is used.

    Returns
    -------
    Spans
    """
    chunk_bytes = ROW_CHUNK * n_columns * itemsize
    chunk_operations = 2 * ROW_CHUNK * n_inputs * n_columns
    chunks_in_cache = cpu.caches.second // 2 // max(chunk_bytes, 1)
    chunks_between_barriers = math.ceil(n_threads * OPERATIONS_OF_SPAN / max(chunk_operations, 1))
    chunks = max(chunks_in_cache, chunks_between_barriers if n_threads > 1 else 1, 1)
    grid = _best_grid(tiles_of(n_inputs), panels_of(n_columns, itemsize), TILES_OF_INPUTS, n_threads)
    return Spans(ROW_CHUNK * min(chunks, max(math.ceil(n_rows / ROW_CHUNK), 1)), *grid)


def _best_grid(n_tiles: int, n_panels: int, most_tiles: int, n_threads: int) -> Grid:
    """Choose the parts that let the slowest thread finish first."""
    candidates = [
        Grid(tile_parts, panel_parts)
        for panel_parts in range(1, max(min(n_panels, n_threads), 1) + 1)
        for tile_parts in _numbers_of_parts(n_tiles, most_tiles, n_threads, panel_parts)
    ]
    return min(candidates, key=lambda grid: (_slowest(grid, n_tiles, n_panels, n_threads), grid.panel_parts, grid))


def _numbers_of_parts(n_tiles: int, most_tiles: int, n_threads: int, panel_parts: int) -> set[int]:
    """Suggest numbers of parts of the tiles: about `most_tiles` in each, and as many tasks for each thread."""
    fewest = max(math.ceil(n_tiles / most_tiles), 1)
    step = n_threads // math.gcd(n_threads, panel_parts)
    even = math.ceil(fewest / step) * step
    at_least = math.ceil(n_tiles / (2 * most_tiles))
    suggested = (fewest, even - step, even, even + step, n_tiles)
    return {min(number, max(n_tiles, 1)) for number in suggested if number >= max(at_least, 1)}


def _slowest(grid: Grid, n_tiles: int, n_panels: int, n_threads: int) -> float:
    """Estimate the time of the thread with the largest share, in tiles of one panel."""
    ends = [_work_of_first(number, grid, n_tiles, n_panels) for number in shares_of(len_of(grid), n_threads)]
    largest = max(end - first for first, end in itertools.pairwise(ends))
    tiles, panels = n_tiles / grid.tile_parts, n_panels / grid.panel_parts
    return largest * (1 + COST_OF_PANEL / max(tiles, 1) + COST_OF_TILE / max(panels, 1))


def shares_of(n_tasks: int, n_threads: int) -> list[int]:
    """Return the first task of each thread's share, and the end of the last: as `tasks.share_of` divides them."""
    return [thread * n_tasks // n_threads for thread in range(n_threads + 1)]


def len_of(grid: Grid) -> int:
    """Return the number of tasks."""
    return grid.tile_parts * grid.panel_parts


def _work_of_first(n_tasks: int, grid: Grid, n_tiles: int, n_panels: int) -> int:
    """Return the tiles, each of one panel, in the first tasks."""
    part, panel_part = divmod(n_tasks, grid.panel_parts)
    first, end = part * n_tiles // grid.tile_parts, (part + 1) * n_tiles // grid.tile_parts
    return first * n_panels + (end - first) * (panel_part * n_panels // grid.panel_parts)


class PackedProduct(NamedTuple):
    """Tasks of a product with packed rows, in each panel: parts of the inputs to pack, and parts of the groups."""

    input_parts: int
    group_parts: int


def divide_packed_product(
    n_groups: int, n_inputs: int, n_columns: int, operations: int, itemsize: int, n_threads: int
) -> PackedProduct:
    """Divide a product with packed rows.

    Parameters
    ----------
    n_groups : int
        Groups of the packed rows.
    n_inputs, n_columns : int
        Shape of the weights.
    operations : int
        Multiplications and additions.
    itemsize : int
        Bytes of a number.
    n_threads : int
        Threads that compute it.

    Returns
    -------
    PackedProduct
    """
    n_panels = max(_packed_panels(n_columns, SPARSE_TILE.vectors, itemsize), 1)
    even = n_threads // math.gcd(n_threads, n_panels)
    wanted = math.ceil(TASKS_OF_THREAD * n_threads / (n_panels * even))
    most = min(n_groups, operations // (OPERATIONS_OF_TASK * n_panels)) // even
    group_parts = min(even * max(min(wanted, most), 1), max(n_groups, 1))
    return PackedProduct(min(even, max(n_inputs // PACKED_INPUTS, 1)), group_parts)


class PackedGradient(NamedTuple):
    """Tasks of a weight gradient of packed rows, one for each thread: parts of its columns and of its rows."""

    column_parts: int
    input_parts: int


@functools.lru_cache(maxsize=1024)
def divide_packed_gradient(
    n_inputs: int, n_columns: int, itemsize: int, n_threads: int, *, by_columns: bool
) -> PackedGradient:
    """Divide a weight gradient of packed rows: its columns if possible, since each thread then reads fewer entries.

    Parameters
    ----------
    n_inputs, n_columns : int
        Shape of the gradient.
    itemsize : int
        Bytes of a number.
    n_threads : int
        Threads that compute it.
    by_columns : bool
        Whether there is enough work to pay for copying columns.

    Returns
    -------
    PackedGradient
    """
    width = SCATTERING_VECTORS * CPU.unit.lanes(itemsize)
    column_parts = math.gcd(n_threads, n_columns // width) if by_columns and n_columns % width == 0 else 1
    return PackedGradient(column_parts, max(min(n_threads // column_parts, n_inputs), 1))


class BatchPanels(NamedTuple):
    """The first weights in `sgd_batches`: vectors of a panel, and parts of each panel's inputs and of the groups.

    With one part, a thread multiplies with the panel that it has just changed. With several, there is one more
    barrier for each batch.
    """

    vectors: int
    parts: int


def divide_batches(
    n_inputs: int, n_columns: int, entries: int, itemsize: int, n_threads: int, n_searches: int = 0
) -> BatchPanels:
    """Divide the first layer of the steps on small batches, so that the busiest thread finishes first.

    Parameters
    ----------
    n_inputs, n_columns : int
        Shape of the first weights.
    entries : int
        Packed entries of a batch.
    itemsize : int
        Bytes of a number.
    n_threads : int
        Threads that take the steps.
    n_searches : int
        Pairs of a block of inputs and a group of rows, whose entries are searched for in every panel.

    Returns
    -------
    BatchPanels
    """
    candidates = [
        BatchPanels(vectors, parts)
        for vectors in sorted({SPARSE_TILE.vectors, SPARSE_TAIL_VECTORS}, reverse=True)
        for parts in range(1, n_threads + 1)
    ]
    shape = (n_inputs, n_columns, entries, itemsize, n_threads, n_searches)
    return min(candidates, key=lambda panels: _time_of_batch(panels, *shape))


def _time_of_batch(
    panels: BatchPanels, n_inputs: int, n_columns: int, entries: int, itemsize: int, n_threads: int, n_searches: int
) -> float:
    """Estimate the nanoseconds that the busiest thread takes for a batch."""
    vectors, parts = panels
    largest = math.ceil(_packed_panels(n_columns, vectors, itemsize) * parts / n_threads)
    cost = 1 if vectors == SPARSE_TILE.vectors else COST_OF_NARROW_PANEL
    work = largest / parts * (vectors * entries * cost * TIME_OF_VECTOR + n_searches * TIME_OF_SEARCH)
    if parts == 1:
        return work
    read_inputs = min(n_inputs, entries / parts)
    foreign_lines = largest * read_inputs * (1 - 1 / parts) * vectors * CPU.unit.vector_bytes / CACHE_LINE
    return work + TIME_OF_BARRIER + foreign_lines * TIME_OF_LINE


def row_threads(n_rows: int, operations: int, n_threads: int) -> int:
    """Return the number of threads that divide the rows of a batch in the later layers."""
    return max(min(n_threads, tiles_of(n_rows), operations // OPERATIONS_OF_ROWS), 1)


def _packed_panels(n_columns: int, vectors: int, itemsize: int) -> int:
    return math.ceil(n_columns / (vectors * CPU.unit.lanes(itemsize)))
