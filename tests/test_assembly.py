"""The inner loops of the micro-kernels, compiled for CPUs of all vector units: registers, spills, instructions."""

from __future__ import annotations

import json
from subprocess import Popen

import processes
import pytest
from assembly import MICRO_KERNELS, Compiled
from cpus import CPUS
from fastfnn_kernels.jitted._llvm import dense_tiles, dot_tiles, panel_tiles, sparse_tiles
from inner_loops import Block, registers_of

# By vector unit: the registers that a product is computed in.
REGISTERS = {"SSE2": "xmm", "AVX": "ymm", "AVX2": "ymm", "AVX-512": "zmm", "NEON": "v"}
WITHOUT_FUSED_MULTIPLY_ADDS = ("SSE2", "AVX")
WITHOUT_MASKS = ("SSE2", "NEON")

# Instructions in a step beside those of the product: counters, pointers, and the branch.
FEW = 8

# Instructions that compute the address of a row from the place of its number.
INDEXING = 6

# Micro-kernels with the number of a row to read for each step, which is multiplied by the stride.
INDEXED = ("sparse", "sparse tail", "masked sparse", "sparse row", "masked sparse row", "scattering")

# Micro-kernels that prefetch, with AVX-512, each vector of the row of a later entry, whose number must exist.
PREFETCHING = INDEXED[:-1]

# With NEON, a scattering tile of eight vectors loads one of them again in each step. That makes 42 instructions for
# 24 products; a tile of seven vectors takes 37 for 21.
LOADED_AGAIN = {("NEON", "scattering"): 1}

LOOPS = [
    pytest.param(cpu, kernel, id=f"{cpu.name}-{kernel}")
    for cpu in CPUS
    for kernel, micro_kernel in MICRO_KERNELS.items()
    if not (micro_kernel.masked and cpu.unit in WITHOUT_MASKS)  # there, LLVM loads number by number
]
every_loop = pytest.mark.parametrize(("cpu", "kernel"), LOOPS)


@pytest.fixture(scope="module")
def compiled(assembly: Popen[str]) -> dict[tuple[str, str], list[Compiled]]:
    """All micro-kernels by CPU and name, for both dtypes."""
    results: dict[tuple[str, str], list[Compiled]] = {}
    for *about, loops in json.loads(processes.finish(assembly, timeout=300)):
        result = Compiled(*about, [Block(*loop) for loop in loops])
        results.setdefault((result.cpu, result.kernel), []).append(result)
    return results


def test_every_micro_kernel_is_examined():
    intrinsics = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (dense_tiles, dot_tiles, panel_tiles, sparse_tiles)
        for name, member in vars(module).items()
        if isinstance(member, type(dot_tiles.dot_tile)) and name != "ptr"
    }
    assert intrinsics == {kernel.intrinsic for kernel in MICRO_KERNELS.values()}


def most_instructions(tile: Compiled) -> int:
    """Return the most instructions for a step: a load for each vector, a broadcast for each row, and the products.

    Without fused multiply-adds, a product takes two instructions. Plain x86-64 takes two for a broadcast, and
    overwrites a factor, which is copied for every use but the last. AVX loads a vector in halves.
    """
    rows, vectors = tile.rows, tile.vectors
    plain = tile.unit == "SSE2"
    loads = vectors * (2 if tile.unit == "AVX" else 1)
    broadcasts = rows * (2 if plain else 1)
    products = rows * vectors * (2 if tile.unit in WITHOUT_FUSED_MULTIPLY_ADDS else 1)
    copies = rows * vectors - max(rows, vectors) if plain else 0
    if tile.unit == "AVX" and rows * vectors + vectors + 2 == 16:
        copies = 4  # with all registers in use, LLVM moves some sums from one to another
    stores = loads if tile.kernel == "scattering" else 0
    # A panel's rows are as far apart as a matrix is wide, so each has a pointer, which may be loaded for each step.
    others = max(FEW, rows + 2) if tile.kernel in ("panel", "narrow panel") else FEW
    return loads + broadcasts + products + copies + stores + others


@every_loop
def test_it_is_one_block(cpu, kernel, compiled):
    for tile in compiled[cpu.name, kernel]:
        assert tile.unit == cpu.unit
        assert tile.loops, "the block with the most multiplications is no loop"
        assert tile.steps in (1, 2, 4)


@every_loop
def test_no_vector_register_is_on_the_stack(cpu, kernel, compiled):
    for tile in compiled[cpu.name, kernel]:
        for loop in tile.loops:
            assert len(loop.spilled) <= LOADED_AGAIN.get((cpu.unit, kernel), 0), loop.spilled


@every_loop
def test_products_are_computed_in_the_widest_registers(cpu, kernel, compiled):
    for tile in compiled[cpu.name, kernel]:
        for loop in tile.loops:
            kinds = {kind for line in loop.multiplications for kind in registers_of(line)}
            assert kinds == {REGISTERS[cpu.unit]}
            fused = cpu.unit not in WITHOUT_FUSED_MULTIPLY_ADDS
            assert len(loop.multiplications_with_addition) == (len(loop.multiplications) if fused else 0)


@every_loop
def test_few_instructions_stand_beside_the_products(cpu, kernel, compiled):
    for tile in compiled[cpu.name, kernel]:
        loop = tile.loops[0]
        rows_ahead = 1 if tile.unit == "AVX-512" and kernel in PREFETCHING else 0
        assert len(loop.prefetches) == tile.steps * rows_ahead * tile.vectors
        assert len(loop.conditional_moves) <= tile.steps * rows_ahead
        assert len(loop.integer_multiplications) <= tile.steps * ((kernel in INDEXED) + rows_ahead)
        most = most_instructions(tile) + rows_ahead * (tile.vectors + INDEXING)
        assert len(loop.instructions) <= tile.steps * most
