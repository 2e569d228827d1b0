"""Whether samples are gone through dense or packed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.csr import Csr
from fastfnn.tiles import (
    LARGE_TILE_ROWS,
    TILE_ROWS,
    ArraySamples,
    CsrSamples,
    DenseTiles,
    PackedTiles,
    Samples,
    Tiles,
)

if TYPE_CHECKING:
    from fastfnn.network import Network

# Share of non-zeros below which packed inputs are faster than dense ones.
PACKING_DENSITY = 0.4

# What packing samples costs, in outputs of their dense product.
PACKING_OUTPUTS = 32

# Packed inputs are kept beside the data for a whole training unless they take more bytes than this.
PACKING_BYTES = 256 * 2**20

# Rows that are looked at to measure a density, for many passes and for one.
DENSITY_ROWS = 128
FEW_DENSITY_ROWS = 8


def prepare(network: Network, X: NDArray[Any] | Csr, input_format: str = "auto") -> Tiles:
    """Prepare samples to be gone through once; what is packed is packed as it is needed.

    Parameters
    ----------
    network : Network
        Takes the samples.
    X
        From `check_inputs` or `check_samples`.
    input_format : str
        As in `Network.fit`.
    """
    return _for_one_pass(network, X, _deciding_density(network, X, input_format, FEW_DENSITY_ROWS))


def prepare_to_keep(network: Network, X: NDArray[Any] | Csr, input_format: str = "auto") -> Tiles:
    """Prepare samples as `prepare` does, for many passes: packed tiles are kept if they fit in memory."""
    density = _deciding_density(network, X, input_format)
    if density < PACKING_DENSITY and not isinstance(X, np.memmap):
        packed = PackedTiles(_samples(network, X))
        if packed.keep(PACKING_BYTES):
            return packed
    return _for_one_pass(network, X, density)


def may_be_packed(network: Network, X: NDArray[Any] | Csr, input_format: str = "auto") -> bool:
    """Tell whether a training on X can meet packed tiles."""
    return _deciding_density(network, X, input_format) < PACKING_DENSITY


def may_stay_dense(network: Network, X: NDArray[Any] | Csr, input_format: str = "auto") -> bool:
    """Tell whether X can meet dense tiles in a training, or where it is gone through once."""
    # A density measured in a few rows is no more exact than that.
    return _deciding_density(network, X, input_format) >= 0.75 * density_worth_packing(network)


def density_worth_packing(network: Network) -> float:
    """Return the share of non-zeros below which even samples that are gone through once are packed for it."""
    # A packed product takes density / PACKING_DENSITY of the dense one's time; packing comes on top.
    return PACKING_DENSITY * (1 - PACKING_OUTPUTS / network.widths[0])


def _for_one_pass(network: Network, X: NDArray[Any] | Csr, density: float) -> Tiles:
    samples = _samples(network, X)
    if density < density_worth_packing(network):
        return PackedTiles(samples)
    return DenseTiles(samples, LARGE_TILE_ROWS if network.backend == "numba" else TILE_ROWS)


def _deciding_density(
    network: Network, X: NDArray[Any] | Csr, input_format: str, n_rows: int = DENSITY_ROWS
) -> float:
    """Measure the share of non-zeros; minus infinity and infinity where sparse or dense is settled without."""
    if input_format == "dense" or not network.layers[0].takes_packed:
        return math.inf
    if input_format == "sparse" or isinstance(X, Csr):
        return -math.inf
    # The NumPy backend writes packed inputs out in full.
    return math.inf if network.backend == "numpy" else density_of(X, n_rows)


def density_of(X: NDArray[Any], n_rows: int = DENSITY_ROWS) -> float:
    """Measure the share of non-zeros, in about `n_rows` rows spread evenly over X."""
    step = max(1, len(X) // n_rows)
    # NumPy counts contiguous numbers several times as fast.
    rows = np.ascontiguousarray(X[::step])
    return np.count_nonzero(rows) / max(1, rows.size)


def _samples(network: Network, X: NDArray[Any] | Csr) -> Samples:
    if isinstance(X, Csr):
        return CsrSamples(X, network.dtype, network.input_scale)
    return ArraySamples(X, network.dtype, network.input_scale, network.kernels)
