"""The plan for a CPU: which vectors, and how large a tile."""

import pytest
from fastfnn_kernels.jitted._cpu import TileShape, VectorUnit, tile_shape, vector_unit

AVX2 = frozenset({"sse2", "avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512vl", "avx512dq", "avx512bw"}


@pytest.mark.parametrize(
    ("machine", "features", "name", "vector_bytes", "registers", "tile"),
    [
        ("x86_64", AVX512, "AVX-512", 64, 32, (14, 2)),
        ("AMD64", AVX2, "AVX2", 32, 16, (6, 2)),
        ("x86_64", AVX2 | {"avx512f"}, "AVX2", 32, 16, (6, 2)),
        ("x86_64", frozenset({"sse2", "avx"}), "AVX", 32, 16, (6, 2)),
        ("x86_64", frozenset({"sse2"}), "SSE2", 16, 16, (6, 2)),
        ("aarch64", frozenset({"neon"}), "NEON", 16, 32, (14, 2)),
        ("arm64", frozenset(), "NEON", 16, 32, (14, 2)),
    ],
)
def test_plan(machine, features, name, vector_bytes, registers, tile):
    unit = vector_unit(machine, features)
    assert unit == VectorUnit(name, vector_bytes, registers)
    assert tile_shape(unit) == TileShape(*tile)


@pytest.mark.parametrize("registers", [16, 32])
def test_a_tile_and_its_operands_fit_into_the_registers(registers):
    tile = tile_shape(VectorUnit("any", 16, registers))
    assert tile.rows * tile.vectors + tile.vectors + 1 <= registers


def test_lanes():
    unit = VectorUnit("any", 32, 16)
    assert (unit.lanes(4), unit.lanes(8)) == (8, 4)
