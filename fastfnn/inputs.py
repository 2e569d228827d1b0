"""What a network is fed: checked once, then handed out in tiles of rows.

A tile is small enough for its activations to stay in cache, so that a batch of any size, in memory or mapped
from a file, costs the memory of one tile.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from fastfnn_kernels.packing import Packed, pack_columns, pack_rows
from numpy.typing import NDArray

# Rows that run forward and backward together.
TILE_ROWS = 1200

# Share of non-zeros below which packed inputs are faster than dense ones.
PACKING_DENSITY = 0.4

# Packed inputs are kept beside the data for a whole training; more bytes than this stay dense.
PACKING_BYTES = 256 * 2**20

ACCEPTED = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))


class PackedTile(NamedTuple):
    """A tile of mostly-zero inputs: its rows for the forward product, its columns for the gradient."""

    rows: Packed
    columns: Packed


class Tiles(Protocol):
    """Inputs that can be had tile by tile."""

    n_rows: int

    def tile(self, first: int, end: int) -> NDArray[Any] | PackedTile:
        """Return rows first:end; `first` is a multiple of `TILE_ROWS`."""
        ...


class DenseTiles:
    """Rows converted to the network's dtype as they are asked for; uint8 is scaled."""

    def __init__(self, X: NDArray[Any], dtype: np.dtype[Any], scale: float) -> None:
        self.n_rows = len(X)
        self._X = X
        self._dtype = dtype
        self._scale = scale
        self._as_it_is = X.dtype == dtype and X.flags.c_contiguous
        self._buffer = np.empty((0 if self._as_it_is else min(TILE_ROWS, len(X)), X.shape[1]), dtype)

    def tile(self, first: int, end: int) -> NDArray[Any]:
        """Return rows first:end; a converted tile is valid until the next one is asked for."""
        rows = np.asarray(self._X[first:end])
        if self._as_it_is:
            return rows
        converted = self._buffer[: len(rows)]
        if rows.dtype == np.uint8:
            np.multiply(rows, self._dtype.type(self._scale), out=converted)
        else:
            converted[...] = rows
        return converted


class PackedTiles:
    """Mostly-zero rows, packed tile by tile once and for all."""

    def __init__(self, tiles: list[PackedTile]) -> None:
        self.n_rows = sum(tile.rows.shape[0] for tile in tiles)
        self._tiles = tiles

    @classmethod
    def pack(cls, X: NDArray[Any], dtype: np.dtype[Any], scale: float, max_bytes: int) -> PackedTiles | None:
        """Pack all rows of X, uint8 scaled; None as soon as they take more than `max_bytes`."""
        scale = scale if X.dtype == np.uint8 else 1.0
        tiles, n_bytes = [], 0
        for first in range(0, len(X), TILE_ROWS):
            x = X[first : first + TILE_ROWS]
            tile = PackedTile(pack_rows(x, dtype, scale), pack_columns(x, dtype, scale))
            n_bytes += tile.rows.nbytes + tile.columns.nbytes
            if n_bytes > max_bytes:
                return None
            tiles.append(tile)
        return cls(tiles)

    def tile(self, first: int, end: int) -> PackedTile:
        """Return rows first:end, one of the tiles that were packed."""
        return self._tiles[first // TILE_ROWS]


def packed_or_dense(X: NDArray[Any], dtype: np.dtype[Any], scale: float) -> Tiles:
    """Prepare inputs that will be gone through many times: packed where that is faster and fits in memory."""
    packed = None
    if not isinstance(X, np.memmap) and np.count_nonzero(X) < PACKING_DENSITY * X.size:
        packed = PackedTiles.pack(X, dtype, scale, PACKING_BYTES)
    return packed or DenseTiles(X, dtype, scale)


def check_inputs(X: Any, n_inputs: int | None, name: str = "X") -> NDArray[Any]:
    """Return X as it is, if a network of `n_inputs` inputs can take it.

    Raises
    ------
    TypeError
        If X is no array of uint8, float32 or float64.
    ValueError
        If X has another shape.
    """
    if not isinstance(X, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(X).__name__}: convert it with numpy.asarray")
    if X.dtype not in ACCEPTED:
        raise TypeError(f"{name} must be uint8, float32 or float64; got {X.dtype}: convert it with {name}.astype")
    if X.ndim != 2:
        raise ValueError(f"{name} must have shape (n_samples, n_inputs); got {X.shape}: reshape it")
    if n_inputs is not None and X.shape[1] != n_inputs:
        raise ValueError(f"{name} must have {n_inputs} columns, the network's inputs; got shape {X.shape}")
    return X


def check_samples(
    X: Any, y: Any, n_inputs: int | None, n_classes: int, dtype: np.dtype[Any], whose: str = ""
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return X and y as int64, if a network can be trained or evaluated on them.

    Parameters
    ----------
    X, y
        Samples and labels.
    n_inputs, n_classes, dtype
        Of the network.
    whose : str
        What messages put before the names, such as "validation ".

    Raises
    ------
    TypeError
        If X or y has a wrong type.
    ValueError
        If shapes do not fit, a label is out of range, X holds NaN, inf or what `dtype` cannot hold, or there are no
        samples.
    """
    X = check_inputs(X, n_inputs, f"{whose}X")
    labels = _check_labels(y, len(X), n_classes, f"{whose}y")
    if len(X) == 0:
        raise ValueError(f"{whose}X has no rows: there is nothing to learn from")
    _check_finite(X, dtype, f"{whose}X")
    return X, labels


def _check_labels(y: Any, n_samples: int, n_classes: int, name: str) -> NDArray[np.int64]:
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integer labels; got {labels.dtype}: convert it with y.astype(numpy.int64)")
    if labels.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one label a sample; got {labels.shape}")
    outside = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(outside):
        row = outside[0]
        known = f"from 0 to {n_classes - 1}, the network's outputs"
        raise ValueError(f"{name}: labels must lie {known}; got {labels[row]} in row {row}")
    return np.ascontiguousarray(labels, np.int64)


def _check_finite(X: NDArray[Any], dtype: np.dtype[Any], name: str) -> None:
    """Refuse NaN, inf and what overflows; only the tile that holds it is looked at element by element."""
    if X.dtype == np.uint8:
        return
    largest = float(np.finfo(dtype).max)
    for first in range(0, len(X), TILE_ROWS):
        rows = X[first : first + TILE_ROWS]
        if not (-largest <= float(rows.min(initial=0)) and float(rows.max(initial=0)) <= largest):
            row, column = np.argwhere(~(np.abs(rows.astype(np.float64)) <= largest))[0]
            where = f"{rows[row, column]} in row {first + row}, column {column}"
            why = f", which {dtype} cannot hold" if np.isfinite(rows[row, column]) else ""
            raise ValueError(f"{name} must be finite; got {where}{why}: clean the data")
