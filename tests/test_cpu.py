"""The plan for a CPU: which vectors, and how large a tile."""

import pytest
from fastfnn_kernels.jitted._llvm.tile_shapes import (
    FEW_ROWS_VECTORS,
    SCATTERING_VECTORS,
    TileShape,
    sparse_tile_shape,
    tile_shape,
)
from fastfnn_kernels.packing import ROWS_OF_GROUP
from fastfnn_kernels.runtime.cpu import UNIT, VectorUnit, vector_unit

AVX2 = frozenset({"sse2", "avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512vl", "avx512dq", "avx512bw"}


@pytest.mark.parametrize(
    ("machine", "features", "name", "vector_bytes", "registers", "tile", "sparse_tile"),
    [
        ("x86_64", AVX512, "AVX-512", 64, 32, (14, 2), (3, 8)),
        ("AMD64", AVX2, "AVX2", 32, 16, (6, 2), (3, 3)),
        ("x86_64", AVX2 | {"avx512f"}, "AVX2", 32, 16, (6, 2), (3, 3)),
        ("x86_64", frozenset({"sse2", "avx"}), "AVX", 32, 16, (6, 2), (3, 3)),
        ("x86_64", frozenset({"sse2"}), "SSE2", 16, 16, (6, 2), (3, 3)),
        ("aarch64", frozenset({"neon"}), "NEON", 16, 32, (14, 2), (3, 7)),
        ("arm64", frozenset(), "NEON", 16, 32, (14, 2), (3, 7)),
    ],
)
def test_plan(machine, features, name, vector_bytes, registers, tile, sparse_tile):
    unit = vector_unit(machine, features)
    assert unit == VectorUnit(name, vector_bytes, registers)
    assert tile_shape(unit) == TileShape(*tile)
    assert sparse_tile_shape(unit) == TileShape(*sparse_tile)


@pytest.mark.parametrize("registers", [16, 32])
def test_a_tile_and_its_operands_fit_into_the_registers(registers):
    tile = tile_shape(VectorUnit("any", 16, registers))
    assert tile.rows * tile.vectors + tile.vectors + 1 <= registers


@pytest.mark.parametrize(("name", "registers"), [("AVX-512", 32), ("NEON", 32), ("any", 16)])
def test_a_sparse_tile_and_its_operands_fit_into_the_registers(name, registers):
    """The numbers, or the vectors where they are fewer, wait in registers for each of the others in turn."""
    tile = sparse_tile_shape(VectorUnit(name, 16, registers))
    assert tile.rows == ROWS_OF_GROUP
    assert tile.rows * tile.vectors + min(tile.rows, tile.vectors) + 1 <= registers


def test_the_tiles_of_this_cpu_fit_into_its_registers():
    assert SCATTERING_VECTORS > 0
    assert UNIT.registers >= ROWS_OF_GROUP * SCATTERING_VECTORS + ROWS_OF_GROUP + 1
    assert UNIT.registers > FEW_ROWS_VECTORS + 1


def test_lanes():
    unit = VectorUnit("any", 32, 16)
    assert (unit.lanes(4), unit.lanes(8)) == (8, 4)
