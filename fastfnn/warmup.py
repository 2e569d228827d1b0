"""Compiling before the clock starts."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

from fastfnn.network import Network
from fastfnn.optimizers import Optimizer
from fastfnn.preparation import may_be_packed
from fastfnn.sgd_steps import samples_of_a_call
from fastfnn.tiles import TILE_ROWS


def warm_up(
    network: Network,
    optimizer: Optimizer,
    X: NDArray[Any],
    y: NDArray[Any],
    batch_size: int | None = None,
    l2: float = 0.0,
    input_format: str = "auto",
) -> float:
    """Run every kernel that a training will need, so that it is compiled or loaded from the cache.

    Parameters
    ----------
    network, optimizer
        Like those of the training; they are changed, and of no use afterwards.
    X, y, batch_size, l2, input_format
        Those of the training, X an array. As many samples are used as give batches and tiles of the sizes that all
        of them give, since a kernel's size decides whether its serial or its parallel variant runs.

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
    for used in _formats(network, X, input_format):
        for size in (batch_size, None) if batch_size else (None,):
            n_rows = _enough_rows(len(X), samples_of_a_call(size) if size else TILE_ROWS)
            fitted = network.fit(X[:n_rows], y[:n_rows], optimizer, batch_size=size, l2=l2, input_format=used)
            if fitted.interrupted:
                raise KeyboardInterrupt
    return time.perf_counter() - start


def _formats(network: Network, X: NDArray[Any], input_format: str) -> tuple[str, ...]:
    """Name the formats that can be met: mostly-zero samples stay dense where packing does not pay."""
    if input_format != "auto":
        return (input_format,)
    return ("sparse", "dense") if may_be_packed(network, X) else ("dense",)


def _enough_rows(n_samples: int, step: int) -> int:
    """Take one whole step and a last one of the size that is left over, if there are as many."""
    return min(n_samples, step + (n_samples % step or step))
