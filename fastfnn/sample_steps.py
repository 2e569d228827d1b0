"""Gradient descent one sample at a time, without a Python call for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastfnn.history import Record
from fastfnn.interrupt import Interrupt
from fastfnn.layers import Dense
from fastfnn.optimizers import SGD, Optimizer
from fastfnn.tiles import Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network

# Steps between two looks at Ctrl-C.
STEPS_OF_A_CALL = 1000


class SampleSteps:
    """Plain gradient descent with batches of one sample; layers keep no gradient.

    Parameters
    ----------
    network, tiles, y, optimizer
        As in `Steps`, for which `can_train` holds.
    """

    @staticmethod
    def can_train(network: Network, optimizer: Optimizer) -> bool:
        """Tell whether such steps are all that the training takes: a class derived from these may do more."""
        plain = type(optimizer) is SGD and optimizer.momentum == 0
        return plain and all(type(layer) is Dense for layer in network.layers)

    def __init__(self, network: Network, tiles: Tiles, y: NDArray[np.int64], optimizer: Optimizer) -> None:
        self._kernels = network.kernels
        self._tiles = tiles
        self._y = y
        self._optimizer = optimizer
        self._all_parameters = list(network.parameters.values())
        dense = [layer for layer in network.layers if isinstance(layer, Dense)]
        self._parameters = (
            [layer.weights for layer in dense],
            [layer.bias for layer in dense],
            [layer.activation for layer in dense],
        )

    def take(self, order: NDArray[np.int64], interrupt: Interrupt) -> Record:
        """Go through the samples in this order, or until Ctrl-C is pressed; returns mean loss and accuracy."""
        total_loss, n_correct, n_seen = 0.0, 0, 0
        for first in range(0, len(order), STEPS_OF_A_CALL):
            rows = order[first : first + STEPS_OF_A_CALL]
            samples = self._tiles.compressed(rows)
            loss, correct = self._kernels.sgd_samples(
                samples, self._y[rows], *self._parameters, self._optimizer.learning_rate
            )
            self._optimizer.count_steps(self._all_parameters, len(rows))
            total_loss, n_correct, n_seen = total_loss + loss, n_correct + correct, n_seen + len(rows)
            if interrupt.requested:
                break
        return {"loss": total_loss / n_seen, "accuracy": n_correct / n_seen}
