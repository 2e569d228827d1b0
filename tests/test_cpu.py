"""The plan for a CPU: which vectors, how many multiply-adds a cycle, and how large a tile."""

import llvmlite.binding as llvm
import pytest
from fastfnn_kernels.jitted._llvm.tile_shapes import (
    FEW_ROWS_VECTORS,
    SCATTERING_VECTORS,
    TileShape,
    sparse_tile_shape,
    tile_shape,
)
from fastfnn_kernels.packing import ROWS_OF_GROUP
from fastfnn_kernels.runtime import cpu
from fastfnn_kernels.runtime.caches import system_caches
from fastfnn_kernels.runtime.cpu import (
    CPU,
    UNIT,
    Cpu,
    VectorUnit,
    fma_per_cycle,
    target_features,
    target_name,
    vector_unit,
)

AVX2 = frozenset({"sse2", "avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512vl", "avx512dq", "avx512bw"}
AVX = AVX2 - {"avx2", "fma"}


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


@pytest.mark.parametrize(
    ("name", "machine", "features", "n_vectors"),
    [
        ("sapphirerapids", "x86_64", AVX512 | {"amx-tile"}, 2),
        ("emeraldrapids", "x86_64", AVX512, 2),
        ("rocketlake", "x86_64", AVX512, 1),
        ("rocketlake", "x86_64", AVX512 | {"amx-tile"}, 2),  # a server that its virtual machine hides
        ("rocketlake", "x86_64", AVX2 | {"amx-tile"}, 2),
        ("znver5", "x86_64", AVX512, 2),
        ("znver4", "x86_64", AVX512, 1),
        ("znver4", "x86_64", AVX2, 2),
        ("znver3", "AMD64", AVX2, 2),
        ("znver1", "x86_64", AVX2, 1),
        ("haswell", "x86_64", AVX2, 2),
        ("haswell", "x86_64", AVX, 1),
        ("gracemont", "x86_64", AVX2, 1),
        ("sandybridge", "x86_64", AVX, 1),
        ("x86-64", "x86_64", frozenset({"sse2"}), 1),
        ("one of the next years", "x86_64", AVX512, 2),
        ("one of the next years", "x86_64", AVX2, 2),
        ("apple-m1", "arm64", frozenset(), 4),
        ("neoverse-v2", "aarch64", frozenset(), 4),
        ("cortex-a76", "aarch64", frozenset(), 2),
        ("cortex-a72", "aarch64", frozenset(), 1),
        ("one of the next years", "arm64", frozenset(), 2),
    ],
)
def test_multiply_adds_of_whole_registers_in_a_cycle(name, machine, features, n_vectors):
    assert fma_per_cycle(name, vector_unit(machine, features), features) == n_vectors


def test_every_name_stands_in_the_table_once():
    names = [name for names in cpu._MULTIPLIERS.values() for name in names]
    assert len(names) == len(set(names))


def test_this_cpu():
    assert Cpu(target_name(), UNIT, fma_per_cycle(target_name(), UNIT, target_features()), system_caches()) == CPU


def test_the_name_compiled_for(monkeypatch):
    monkeypatch.setattr(cpu.config, "CPU_NAME", None)
    assert target_name() == llvm.get_host_cpu_name()
    monkeypatch.setattr(cpu.config, "CPU_NAME", "haswell")
    assert target_name() == "haswell"


def test_the_features_compiled_for(monkeypatch):
    monkeypatch.setattr(cpu.config, "CPU_FEATURES", "+avx,-avx2,+fma")
    assert target_features() == {"avx", "fma"}
