"""Thresholds: every size and share at which another way to compute becomes faster.

`execution.plan` and `execution.obstacles` read them, and `execution.fused_sgd` the size of its calls. No other file
chooses between two ways to compute.
"""

from __future__ import annotations

# Rows that run forward and backward together.
ROWS_OF_BLOCK = 3072

# Rows of a dense block on a backend that splits long reductions itself. Larger blocks mean fewer barriers.
ROWS_OF_LARGE_BLOCK = 3 * ROWS_OF_BLOCK

# Share of non-zeros below which a product of packed inputs takes less time than a dense one.
PACKED_DENSITY = 0.4

# A density is measured in a few rows. At less than this share of a threshold, no rows can be expected beyond it.
SURELY_PACKED = 0.75

# Packing costs as much as this many output columns of the dense product.
PACKING_OUTPUTS = 32

# Bytes of packed inputs up to which they are kept for all passes.
KEPT_BYTES = 256 * 2**20

# Bytes of an output layer's weights up to which one kernel computes its product, the loss and the gradient.
OUTPUT_LAYER_BYTES = 64 * 1024

# Bytes of all parameters up to which one kernel computes the gradient of all layers.
WHOLE_STACK_BYTES = 32 * 1024

# Rows up to which one kernel predicts through all layers. With more rows, packing the weights once pays.
FEW_ROWS = 64

# Rows of a packed batch up to which an SGD kernel takes many batches in one call.
SGD_BATCH_ROWS = ROWS_OF_BLOCK

# Samples of one call of an SGD kernel: whole batches, at least one. Ctrl-C takes effect between calls.
SGD_SAMPLES_OF_CALL = ROWS_OF_BLOCK
