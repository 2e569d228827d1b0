"""Whether samples are gone through dense or packed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.csr import Csr
from fastfnn.tiles import ArraySamples, CsrSamples, DenseTiles, PackedTiles, Samples, Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network

# Share of non-zeros below which packed inputs are faster than dense ones.
PACKING_DENSITY = 0.4

# What packing a tile costs, in outputs of the dense product of as many samples: its rows, and its columns too.
ROWS_OUTPUTS = 32
COLUMNS_OUTPUTS = 64

# Packed inputs are kept beside the data for a whole training unless they take more bytes than this.
PACKING_BYTES = 256 * 2**20

# Rows that are looked at to measure a density.
DENSITY_ROWS = 128


def prepare(
    network: Network,
    X: NDArray[Any] | Csr,
    input_format: str = "auto",
    with_columns: bool = False,
) -> Tiles:
    """Prepare samples to be gone through once; what is packed is packed as it is needed.

    Parameters
    ----------
    network : Network
        Takes the samples.
    X
        From `check_inputs` or `check_samples`.
    input_format : str
        As in `Network.fit`.
    with_columns : bool
        Whether gradients are computed from tiles that are not gathered.
    """
    return _for_one_pass(network, X, _deciding_density(network, X, input_format), with_columns)


def prepare_to_keep(
    network: Network,
    X: NDArray[Any] | Csr,
    input_format: str = "auto",
    with_columns: bool = False,
) -> Tiles:
    """Prepare samples as `prepare` does, for many passes: packed tiles are kept if they fit in memory."""
    density = _deciding_density(network, X, input_format)
    if density < PACKING_DENSITY and not isinstance(X, np.memmap):
        packed = PackedTiles(_samples(network, X), with_columns)
        if packed.keep(PACKING_BYTES):
            return packed
    return _for_one_pass(network, X, density, with_columns)


def may_be_packed(network: Network, X: NDArray[Any] | Csr, input_format: str = "auto") -> bool:
    """Tell whether a training on X can meet packed tiles."""
    return _deciding_density(network, X, input_format) < PACKING_DENSITY


def _for_one_pass(network: Network, X: NDArray[Any] | Csr, density: float, with_columns: bool) -> Tiles:
    samples = _samples(network, X)
    packing_outputs = COLUMNS_OUTPUTS if with_columns else ROWS_OUTPUTS
    # A packed product takes density / PACKING_DENSITY of the dense one's time; packing comes on top.
    if density < PACKING_DENSITY * (1 - packing_outputs / network.widths[0]):
        return PackedTiles(samples, with_columns)
    return DenseTiles(samples)


def _deciding_density(network: Network, X: NDArray[Any] | Csr, input_format: str) -> float:
    """Measure the share of non-zeros; minus infinity and infinity where sparse or dense is settled without."""
    if input_format == "dense" or not network.layers[0].takes_packed:
        return math.inf
    if input_format == "sparse" or isinstance(X, Csr):
        return -math.inf
    # The NumPy backend writes packed inputs out in full.
    return math.inf if network.backend == "numpy" else density_of(X)


def density_of(X: NDArray[Any]) -> float:
    """Measure the share of non-zeros, in rows spread evenly over X."""
    step = max(1, len(X) // DENSITY_ROWS)
    # NumPy counts contiguous numbers several times as fast.
    rows = np.ascontiguousarray(X[::step])
    return np.count_nonzero(rows) / max(1, rows.size)


def _samples(network: Network, X: NDArray[Any] | Csr) -> Samples:
    kind: Any = CsrSamples if isinstance(X, Csr) else ArraySamples
    samples: Samples = kind(X, network.dtype, network.input_scale)
    return samples
