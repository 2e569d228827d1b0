"""The parts of the memory that a kernel of mini-batches works in, and where each begins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.batch_numbers import Geometry
from fastfnn_kernels.jitted._products.first_layer import BLOCK_INPUTS
from fastfnn_kernels.jitted._products.flat_layers import starts_of

# Outputs of two batches, gradients, and what losses need of each row.
OUTPUTS, OTHER_OUTPUTS, GRADIENTS, GRADIENT_PANELS, MAXIMA, TOTALS = range(6)

# What stands for the parameters in products, and zeros.
BIASES, FORWARD_PANELS, BACKWARD_PANELS, ZEROS = range(6, 10)

# The first layer's weights and states in panels, and the gradient of a block of its inputs for each thread.
PANELS, STATE_PANELS, OTHER_STATE_PANELS, BLOCK_GRADIENTS = range(10, 14)


class PanelSizes(NamedTuple):
    """The panels of the first layer for packed inputs; without inputs, there are none."""

    n_inputs: int
    n_outputs: int
    wide: int  # columns of a panel
    n_states: int  # numbers kept for each weight between two steps

    @property
    def size(self) -> int:
        """Numbers in all panels; none if the only panel is the matrix itself."""
        n_panels = -(-self.n_outputs // self.wide)
        return 0 if self.n_outputs == self.wide else self.n_inputs * n_panels * self.wide


NO_PANELS = PanelSizes(0, 0, 1, 0)


def memory_starts(
    geometry: Geometry, batch_size: int, itemsize: int, n_threads: int, panels: PanelSizes = NO_PANELS
) -> NDArray[np.int64]:
    """Return where each part begins, at a cache line, and the end of the last."""
    n_units = batch_size * geometry.n_units
    sizes = [
        n_units,
        n_units if panels.n_inputs else 0,
        n_units,
        batch_size * geometry.n_biases,
        batch_size,
        batch_size,
        geometry.n_biases,
        geometry.n_forward,
        geometry.n_backward,
        geometry.widest,
        panels.size,
        panels.size * (panels.n_states > 0),
        panels.size * (panels.n_states > 1),
        n_threads * min(BLOCK_INPUTS, panels.n_inputs) * panels.wide,
    ]
    line = CACHE_LINE // itemsize
    return starts_of(-(-size // line) * line for size in sizes)
