"""Thresholds: the sizes and fractions at which a different method becomes faster.

`execution.plan`, `obstacles`, `preparation` and `fused_sgd` read them, and `app.warmup` the size of a row block. The
figures were measured in float32 on two cores of an Intel Xeon (Sapphire Rapids, AVX-512), most of them with the
layers 784-256-10. The values were chosen on two cores of an AMD EPYC (Zen 4, AVX-512).
"""

from __future__ import annotations

import math

# Rows that run forward and backward together. A packed step takes 155 ms with 768 rows, and 135 to 139 from 3,072 on;
# a dense step depends on them by less than the machine's noise. Fewer rows take less memory.
ROWS_OF_BLOCK = 3072

# Rows of a dense block on a backend that splits long sums itself. Larger blocks mean fewer barriers.
ROWS_OF_LARGE_BLOCK = 3 * ROWS_OF_BLOCK

# Bytes of a row block of a sparse array where it is written out in full: a choice, not a measurement. Layers before
# the first `Dense` layer take outputs and gradients of the same size.
WRITTEN_BYTES = 32 * 2**20

# Share of non-zeros below which a product of packed inputs takes less time than a dense one. Forward product and
# weight gradient together take 0.56 of the dense time at 20% non-zeros, 0.84 at 40%, and 1.11 at 50%.
PACKED_DENSITY = 0.4

# A density is measured in a few rows. At less than this share of a threshold, no rows can be expected beyond it.
SURELY_PACKED = 0.75

# Packing costs as much as this many output columns of the dense product: 32 on the AMD EPYC, 53 on the Intel Xeon.
PACKING_OUTPUTS = 32

# Packed inputs are kept for all passes up to so many bytes: a choice, not a measurement. Arrays are then stored by
# columns too, in about as many bytes again.
KEPT_BYTES = 256 * 2**20

# Bytes of an output layer's weights up to which its product, the loss and the gradient are one kernel. With 3,072
# rows a step then takes 0.92 of the time at 64 KiB, and 1.13 at 128 KiB.
OUTPUT_LAYER_BYTES = 64 * 1024

# Bytes of all parameters up to which one kernel computes the gradient of all layers. With 64-100-10 on two threads it
# takes 0.7 of the layerwise time for 10,000 rows in float32 (29 KB), 0.6 in float64 (59 KB), and 0.8 for 1,800 rows.
# On one thread it takes 0.9 to 1.0 for 500 rows and about 1.0 for more. Larger networks do not always gain: it takes
# 0.7 to 1.04 with 100-200-10 (87 and 174 KB), and 0.96 to 1.16 with 200-256-10 (211 and 422 KB). The parameters must
# be stored without gaps, which `fastfnn.parameters.CONTIGUOUS_BYTES` limits.
WHOLE_STACK_BYTES = 64 * 1024

# Rows up to which one kernel predicts through all layers, by the largest bytes of all parameters. It takes 120 us for
# 64 rows of 784-256-10 (795 KB), and 145 layer by layer. It reads all parameters once for three rows: with 500-500-10
# (998 KB), 89 and 95 us for 16 rows, but 160 and 126 for 32; with 3000-500-10 (5.9 MB), 516 and 495 us for 8 rows,
# but 815 and 526 for 16.
FEW_ROWS = 64
FEW_ROWS_BY_BYTES = ((896 * 1024, FEW_ROWS), (4 * 2**20, 16), (math.inf, 8))

# Rows of a packed batch up to which a kernel of SGD takes many batches in one call. It takes 0.65 of the time of
# single steps with batches of 32, 0.85 with 128, and the same from 512 on.
SGD_BATCH_ROWS = ROWS_OF_BLOCK

# Work of a call that takes many steps of any optimizer, in additions and multiplications, and of the update of one
# parameter. Ctrl-C is seen between two calls: a core that does 20 GFLOP/s takes a fifth of a second for one.
OPERATIONS_OF_CALL = 4 * 10**9
OPERATIONS_OF_UPDATE = 100

# Memory of the dense rows of such a call, if they have to be converted first: a choice, not a measurement. With
# batches of 512 rows of 54 columns, calls of 38,000 rows take 0.93 of the time of those of 3,072.
BYTES_OF_CALL = 8 * 2**20

# Share of a packed group's positions that are stored, in densities of the samples: 1.7 on MNIST, 2.6 for random ones.
GROUP_DENSITY = 2.0

# Samples that a kernel of SGD is given in one call: whole batches, at least one. Ctrl-C is seen between two calls.
SGD_SAMPLES_OF_CALL = ROWS_OF_BLOCK
