"""The shapes of register tiles, which follow from the CPU's vector registers."""

from __future__ import annotations

from dataclasses import dataclass

from fastfnn_kernels.packing import ROWS_OF_GROUP
from fastfnn_kernels.runtime.cpu import UNIT, VectorUnit


@dataclass(frozen=True)
class TileShape:
    """The accumulators of a micro-kernel: `rows` times `vectors` registers."""

    rows: int
    vectors: int


def tile_shape(unit: VectorUnit) -> TileShape:
    """Fill the registers with accumulators two vectors wide, keeping four for operands.

    Two vectors of the packed operand and the broadcast of the other must stay in registers beside the
    accumulators; a taller tile would spill, which halves the speed.
    """
    return TileShape(rows=(unit.registers - 4) // 2, vectors=2)


def sparse_tile_shape(unit: VectorUnit) -> TileShape:
    """Let three rows of a group share each vector of the other operand, over as many vectors as the registers hold.

    Three accumulators and the operand make four registers a vector. The broadcast number needs another register,
    except on AVX-512, whose multiply-add reads it from memory.
    """
    broadcast = 0 if unit.name == "AVX-512" else 1
    return TileShape(rows=ROWS_OF_GROUP, vectors=(unit.registers - broadcast) // (ROWS_OF_GROUP + 1))


TILE = tile_shape(UNIT)
SPARSE_TILE = sparse_tile_shape(UNIT)

# The tile of a product with fewer columns than a vector has lanes, whose vectors run along the reduction.
DOT_TILE = TileShape(rows=UNIT.registers // 8, vectors=4)

# The tile of a product with as many rows as there often are classes, which would leave part of a higher one unused.
FLAT_TILE = TileShape(rows=10, vectors=(UNIT.registers - 4) // 10)

# Accumulators of a single row: enough chains to hide the latency of a multiply-add.
FEW_ROWS_VECTORS = 8

# Vectors of the gradient's rows that stay in registers, for each of the lines of a group, while the result's go by.
SCATTERING_VECTORS = (UNIT.registers - ROWS_OF_GROUP - 2) // ROWS_OF_GROUP // 2 * 2

# Vectors of the last panel of a sparse product, where no more are needed.
SPARSE_TAIL_VECTORS = 2

# Rows of a tile one vector wide: enough chains to hide the latency of a multiply-add, in the sixteen registers that
# every CPU has; and of one for the last few rows, of which a single one takes no less time.
COLUMN_ROWS = 12
SHORT_COLUMN_ROWS = 4
