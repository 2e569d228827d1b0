"""Forward and backward through a network, tile by tile, in memory that is taken once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.memory import aligned_empty
from fastfnn.tiles import TILE_ROWS, Tile, Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network


Batch = Iterable[tuple[Tile, NDArray[np.int64]]]


def in_order(tiles: Tiles, y: NDArray[np.int64]) -> Iterator[tuple[Tile, NDArray[np.int64]]]:
    """Yield all samples, tile by tile, with their labels."""
    for first in range(0, tiles.n_rows, TILE_ROWS):
        labels = y[first : first + TILE_ROWS]
        yield tiles.tile(first, first + len(labels)), labels


def gathered(tiles: Tiles, y: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[Tile, NDArray[np.int64]]]:
    """Yield the samples of some rows, in their order, tile by tile, with their labels."""
    for first in range(0, len(rows), TILE_ROWS):
        part = rows[first : first + TILE_ROWS]
        yield tiles.gather(part), y[part]


class Forward:
    """Forward through a network.

    Parameters
    ----------
    network : Network
        Its layers are used as they are at each call.
    n_rows : int
        How many samples there are: no tile has more rows.
    """

    def __init__(self, network: Network, n_rows: int) -> None:
        self._layers = network.layers
        self._outputs = _Rows(network, n_rows)

    def outputs(self, x: Tile) -> list[NDArray[Any]]:
        """Return every layer's output for one tile, valid until the next call."""
        outputs = []
        y: Any = x
        for layer, out in zip(self._layers, self._outputs.first(x.shape[0]), strict=True):
            y = layer.forward(y, out)
            outputs.append(y)
        return outputs

    def logits(self, x: Tile) -> NDArray[Any]:
        """Return the last layer's output for one tile, valid until the next call."""
        return self.outputs(x)[-1]


class Backpropagation:
    """The gradient of the loss of many samples, tile by tile, into arrays that are the same at each call.

    Parameters
    ----------
    network : Network
        The `gradient` of its layers is what is computed.
    n_rows : int
        How many samples there are at most: no tile has more rows.
    l2 : float
        Weight of the penalty.
    """

    def __init__(self, network: Network, n_rows: int, l2: float) -> None:
        self._kernels = network.kernels
        self._layers = network.layers
        self._l2 = l2
        self._forward = Forward(network, n_rows)
        self._grads = _Rows(network, n_rows)
        for layer in self._layers:
            layer.start_gradient()
        self._gradients = [layer.gradient for layer in self._layers]

    @property
    def gradients(self) -> list[NDArray[Any]]:
        """Arrays in the order of the network's parameters."""
        return [
            getattr(gradient, name)
            for layer, gradient in zip(self._layers, self._gradients, strict=True)
            for name in layer.parameters
        ]

    def run(self, batch: Batch, n_samples: int) -> tuple[float, int]:
        """Set each layer's gradient to that of the mean loss of a batch, penalty included.

        Parameters
        ----------
        batch : iterable
            At least one tile: tiles and their labels, as from `in_order` or `gathered`.
        n_samples : int
            Samples in all tiles together.

        Returns
        -------
        loss : float
            Mean cross-entropy plus the penalty.
        n_correct : int
            Samples classified right.
        """
        for layer, gradient in zip(self._layers, self._gradients, strict=True):
            layer.gradient = gradient
        loss, n_correct, accumulate = 0.0, 0, False
        for x, labels in batch:
            outputs = self._forward.outputs(x)
            grads = self._grads.first(len(labels))
            loss += self._kernels.softmax_cross_entropy(outputs[-1], labels, 1 / n_samples, grads[-1])[0]
            n_correct += self._kernels.count_correct(outputs[-1], labels)
            self._add_gradients(x, outputs, grads, accumulate)
            accumulate = True
        return loss + self._add_penalty(), n_correct

    def _add_gradients(
        self, x: Tile, outputs: list[NDArray[Any]], grads: list[NDArray[Any]], accumulate: bool
    ) -> None:
        """Add one tile's share to every layer's gradient; `grads[-1]` holds that of the logits."""
        grad, last = grads[-1], self._layers[-1].activation
        if last != "identity":
            grad = self._kernels.activation_gradient(outputs[-1], grad, last)
        for i in range(len(self._layers) - 1, 0, -1):
            layer, layer_input = self._layers[i], outputs[i - 1]
            layer.add_gradient(layer_input, grad, accumulate)
            grad = layer.input_gradient(grad, layer_input, self._layers[i - 1].activation, grads[i - 1])
        self._layers[0].add_gradient(x, grad, accumulate)

    def _add_penalty(self) -> float:
        """Add the gradient of (l2 / 2) |w|**2 to that of all weights, and return the penalty itself."""
        penalty = 0.0
        if self._l2 == 0:
            return penalty
        for layer in self._layers:
            gradient = layer.gradient.weights
            if gradient is not None:
                weights = layer.parameters["weights"]
                gradient += np.multiply(weights, self._l2, dtype=weights.dtype)
                penalty += self._l2 / 2 * self._kernels.squared_norm(weights)
        return penalty


class _Rows:
    """Memory for a tile of every layer's output."""

    def __init__(self, network: Network, n_rows: int) -> None:
        self._n_rows = min(n_rows, TILE_ROWS)
        self._arrays = [aligned_empty((self._n_rows, width), network.dtype) for width in network.widths]
        self._views = self._arrays

    def first(self, n_rows: int) -> list[NDArray[Any]]:
        """Return the first rows of it; views are made only where the number of rows changes."""
        if n_rows != self._n_rows:
            self._n_rows = n_rows
            self._views = [array[:n_rows] for array in self._arrays]
        return self._views
