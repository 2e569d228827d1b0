"""Plain gradient descent in small batches, without a Python call for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fastfnn.interrupt import Interrupt
from fastfnn.joining import parameters_of
from fastfnn.layers import Dense, is_fused
from fastfnn.losses import is_plain_softmax
from fastfnn.optimizers import SGD, Optimizer
from fastfnn.targets import Targets
from fastfnn.tiles import TILE_ROWS, PackedTiles, Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network

# Samples between two looks at Ctrl-C, if a batch has no more.
SAMPLES_OF_A_CALL = TILE_ROWS


def samples_of_a_call(batch_size: int) -> int:
    """Return how many samples, in whole batches, are handed to a kernel at once."""
    return max(SAMPLES_OF_A_CALL // batch_size, 1) * batch_size


class SgdSteps:
    """Plain gradient descent, many batches a call; layers keep no gradient.

    Parameters
    ----------
    network, tiles, y, optimizer, batch_size
        As in `Steps`, for which `can_take` holds.
    """

    @staticmethod
    def can_take(network: Network, tiles: Tiles, optimizer: Optimizer, batch_size: int) -> bool:
        """Tell whether such steps are all that the training takes: a class derived from these may do more."""
        plain = type(optimizer) is SGD and optimizer.momentum == 0
        small = batch_size == 1 or (isinstance(tiles, PackedTiles) and batch_size <= TILE_ROWS)
        return plain and small and is_plain_softmax(network.loss) and is_fused(network.layers)

    def __init__(self, network: Network, tiles: Tiles, y: Targets, optimizer: Optimizer, batch_size: int) -> None:
        self._kernels = network.kernels
        self._tiles = tiles
        self._y = y
        self._optimizer = optimizer
        self._batch_size = batch_size
        self._all_parameters = parameters_of(network.layers)
        dense = [layer for layer in network.layers if isinstance(layer, Dense)]
        self._parameters = (
            [layer.weights for layer in dense],
            [layer.bias for layer in dense],
            [layer.activation for layer in dense],
        )

    def take(self, order: NDArray[np.int64], interrupt: Interrupt) -> tuple[float, int, int]:
        """Go through the samples in this order, or until Ctrl-C is pressed.

        Returns
        -------
        loss_sum : float
            Sum of each sample's loss before its step.
        n_correct : int
            Samples classified right before their step.
        n_seen : int
            Samples gone through.
        """
        loss_sum, n_correct, n_seen = 0.0, 0, 0
        n_of_a_call = samples_of_a_call(self._batch_size)
        for first in range(0, len(order), n_of_a_call):
            rows = order[first : first + n_of_a_call]
            loss, correct = self._train(rows)
            self._optimizer.count_steps(self._all_parameters, -(-len(rows) // self._batch_size))
            loss_sum, n_correct, n_seen = loss_sum + loss, n_correct + correct, n_seen + len(rows)
            if interrupt.requested:
                break
        return loss_sum, n_correct, n_seen

    def _train(self, rows: NDArray[np.int64]) -> tuple[float, int]:
        arguments = (self._y.values[rows], *self._parameters, self._optimizer.learning_rate)
        if self._batch_size == 1:
            return self._kernels.sgd_samples(self._tiles.compressed(rows), *arguments)  # type: ignore[no-any-return]
        tiles = cast(PackedTiles, self._tiles)  # of others `can_take` takes no such batches
        return self._kernels.sgd_batches(tiles.batches(rows, self._batch_size), *arguments)  # type: ignore[no-any-return]
