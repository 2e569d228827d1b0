"""Compiling before the clock starts."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

from fastfnn.inputs import TILE_ROWS
from fastfnn.network import Network
from fastfnn.optimizers import Optimizer


def warm_up(
    network: Network,
    optimizer: Optimizer,
    X: NDArray[Any],
    y: NDArray[Any],
    batch_size: int | None = None,
    l2: float = 0.0,
) -> float:
    """Run every kernel that a training will need, so that it is compiled or loaded from the cache.

    Parameters
    ----------
    network, optimizer
        Like those of the training; they are changed, and of no use afterwards.
    X, y, batch_size, l2
        Those of the training. As many samples are used as give batches and tiles of the sizes that all of them
        give, since a kernel's size decides whether its serial or its parallel variant runs.

    Returns
    -------
    float
        Seconds it took.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed.
    """
    start = time.perf_counter()
    if batch_size is not None:
        n_rows = _enough_rows(len(X), batch_size)
        _fit(network, optimizer, X[:n_rows], y[:n_rows], batch_size, l2)
    n_rows = _enough_rows(len(X), TILE_ROWS)
    _fit(network, optimizer, X[:n_rows], y[:n_rows], None, l2)
    # Mostly-zero samples were packed; they are not when there are too many, nor in an evaluation.
    network.loss_and_gradients(X[:n_rows], y[:n_rows])
    return time.perf_counter() - start


def _fit(
    network: Network, optimizer: Optimizer, X: NDArray[Any], y: NDArray[Any], batch_size: int | None, l2: float
) -> None:
    if network.fit(X, y, optimizer, epochs=1, batch_size=batch_size, l2=l2).interrupted:
        raise KeyboardInterrupt


def _enough_rows(n_samples: int, step: int) -> int:
    """Take one whole step and a last one of the size that is left over."""
    return n_samples if n_samples < step else step + n_samples % step
