"""Shapes of register tiles, computed from the CPU's vector registers."""

from __future__ import annotations

from dataclasses import dataclass

from fastfnn_kernels.packing import ROWS_OF_GROUP
from fastfnn_kernels.runtime.cpu import UNIT, VectorUnit


@dataclass(frozen=True)
class TileShape:
    """The accumulators of a micro-kernel: `rows` x `vectors` registers."""

    rows: int
    vectors: int


def tile_shape(unit: VectorUnit) -> TileShape:
    """Return the tallest tile that is two vectors wide and leaves four registers for operands.

    Besides the accumulators, two vectors of the packed operand and one broadcast number of the other must stay in
    registers. A taller tile would spill, which halves the speed.
    """
    return TileShape(rows=(unit.registers - 4) // 2, vectors=2)


def sparse_tile_shape(unit: VectorUnit) -> TileShape:
    """Return the widest tile for the three rows of a packed group, which share each vector of the other operand.

    Each vector needs four registers: three accumulators and the operand. The broadcast number needs one more
    register, except with AVX-512, where a multiply-add reads it from memory.
    """
    broadcast = 0 if unit.name == "AVX-512" else 1
    return TileShape(rows=ROWS_OF_GROUP, vectors=(unit.registers - broadcast) // (ROWS_OF_GROUP + 1))


def steps_of_round(unit: VectorUnit) -> int:
    """Return the steps in a round of the inner loop of panels, whose counters take two to five instructions.

    Without fused multiply-adds a second step would spill, and NEON would compute more addresses.
    """
    return 2 if unit.name in ("AVX-512", "AVX2") else 1


TILE = tile_shape(UNIT)

# Rows of a shorter tile of panels, for the last rows of a matrix: fewer rows would take no less time.
SHORT_ROWS = (TILE.rows - 2) // 2

STEPS_OF_ROUND = steps_of_round(UNIT)
SPARSE_TILE = sparse_tile_shape(UNIT)

# Tile of a product with fewer columns than a vector has lanes. Its vectors run along the reduction.
DOT_TILE = TileShape(rows=UNIT.registers // 8, vectors=4)

# Tile of a product with up to ten rows, a common number of classes. They would leave part of a taller tile unused.
FLAT_TILE = TileShape(rows=10, vectors=(UNIT.registers - 4) // 10)

# Accumulators of a single row: enough independent chains to hide the latency of a multiply-add.
FEW_ROWS_VECTORS = 8

# Vectors of each of a group's three gradient rows that stay in registers, while the rows of the result are streamed.
SCATTERING_VECTORS = (UNIT.registers - ROWS_OF_GROUP - 2) // ROWS_OF_GROUP // 2 * 2

# Vectors in the last panel of a sparse product, if this is wide enough.
SPARSE_TAIL_VECTORS = 2

# Distance in entries of a packed group from the row being multiplied to the row being prefetched; 0 for none. On an
# Intel Xeon (Sapphire Rapids), prefetching gains 5% with AVX-512. With AVX2 it costs 11%, since a narrower tile has
# fewer multiply-adds to hide its instructions.
ENTRIES_AHEAD = 8 if UNIT.name == "AVX-512" else 0

# Rows of a tile that is one vector wide. They are enough chains to hide the latency of a multiply-add, and fit into
# the 16 registers that every CPU has. The last few rows use the short tile, in which a single row takes no less time.
COLUMN_ROWS = 12
SHORT_COLUMN_ROWS = 4
