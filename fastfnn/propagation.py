"""Forward and backward through a network, tile by tile, in memory that is taken once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfnn_kernels.arguments import FUSED_ACTIVATIONS
from numpy.typing import NDArray

from fastfnn.layers import Dense, Gradient, Layer
from fastfnn.losses import is_plain_softmax
from fastfnn.memory import aligned_empty
from fastfnn.plan import Penalty
from fastfnn.targets import Targets
from fastfnn.tiles import LARGE_TILE_ROWS, Tile, Tiles

if TYPE_CHECKING:
    from fastfnn.network import Network


Batch = Iterable[tuple[Tile, Targets]]

Seeds = Sequence[int | None]

# Weights of an output layer that is computed together with its loss: with more, nothing is gained.
OUTPUT_LAYER_BYTES = 64 * 1024


def in_order(tiles: Tiles, y: Targets) -> Iterator[tuple[Tile, Targets]]:
    """Yield all samples, tile by tile, with their targets."""
    if tiles.n_rows <= tiles.tile_rows:
        yield tiles.tile(0, tiles.n_rows), y
        return
    for first in range(0, tiles.n_rows, tiles.tile_rows):
        targets = y.take(slice(first, first + tiles.tile_rows))
        yield tiles.tile(first, first + len(targets)), targets


def gathered(tiles: Tiles, rows: NDArray[np.int64], y: Targets) -> Iterator[tuple[Tile, Targets]]:
    """Yield the samples of some rows, in their order, tile by tile; y holds the targets of these rows alone."""
    for first in range(0, len(rows), tiles.tile_rows):
        part = slice(first, first + tiles.tile_rows)
        yield tiles.gather(rows[part]), y.take(part)


def scale_of_mean(total_weight: float) -> float:
    """Return what the sum of losses is multiplied by: nothing is left of it where samples count for nothing."""
    return 1 / total_weight if total_weight else 0.0


def set_gradients(layers: Sequence[Layer], gradients: Sequence[Gradient]) -> None:
    """Let each layer have its gradient of these, whatever `backward` has set it to meanwhile."""
    for layer, gradient in zip(layers, gradients, strict=True):
        layer.gradient = gradient


def _output_layer_with_loss(layers: Sequence[Layer]) -> Dense | None:
    """Return the last layer if its outputs are logits, its weights are few, and others come before it."""
    last = layers[-1]
    if len(layers) > 1 and type(last) is Dense and last.activation == "identity":
        known = layers[-2].activation in FUSED_ACTIVATIONS and last.weights.nbytes <= OUTPUT_LAYER_BYTES
        return last if known else None
    return None


def finished(network: Network, tiles: Tiles, finish: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """Return what `finish` makes, row by row, of the network's outputs for all samples."""
    nothing = finish(np.empty((0, network.n_outputs), network.dtype))
    made = np.empty((tiles.n_rows, *nothing.shape[1:]), nothing.dtype)
    forward = Forward(network, tiles.n_rows)
    for first in range(0, tiles.n_rows, tiles.tile_rows):
        part = made[first : first + tiles.tile_rows]
        part[...] = finish(forward.logits(tiles.tile(first, first + len(part))))
    return made


def loss_and_correct(network: Network, tiles: Tiles, y: Targets) -> tuple[float, int]:
    """Return the mean loss of all samples, and how many of them are right."""
    forward = Forward(network, tiles.n_rows, y.weights is not None)
    scale = scale_of_mean(y.total_weight)
    of_tiles = [forward.loss_and_correct(x, targets, scale) for x, targets in in_order(tiles, y)]
    return sum(loss for loss, _ in of_tiles), sum(n_correct for _, n_correct in of_tiles)


class Forward:
    """Forward through a network.

    Parameters
    ----------
    network : Network
        Its layers are used as they are at each call.
    n_rows : int
        How many samples there are: no tile has more rows.
    is_weighted : bool
        Whether targets have weights.

    Attributes
    ----------
    output_layer : Dense or None
        The last layer, where it takes the loss.
    """

    def __init__(self, network: Network, n_rows: int, is_weighted: bool = False) -> None:
        plain = is_plain_softmax(network.loss) and not is_weighted
        self.output_layer = _output_layer_with_loss(network.layers) if plain else None
        self._kernels = network.kernels
        self._loss = network.loss
        self._layers = network.layers
        self._outputs = _Rows(network, n_rows)

    def outputs(self, x: Tile, seeds: Seeds | None = None, first_row: int = 0) -> list[NDArray[Any]]:
        """Return every layer's output for one tile, valid until the next call; see `hidden_outputs`."""
        outputs = self.hidden_outputs(x, seeds, first_row)
        last = len(self._layers) - 1
        outputs.append(self._output(last, outputs[-1] if outputs else x, seeds, first_row))
        return outputs

    def hidden_outputs(self, x: Tile, seeds: Seeds | None = None, first_row: int = 0) -> list[NDArray[Any]]:
        """Return the output of every layer but the last for one tile, valid until the next call.

        Parameters
        ----------
        x
            The tile.
        seeds : sequence of int or None, optional
            Of each layer's random numbers, where a gradient follows: None in the place of one that draws none.
        first_row : int
            The place of the tile's first row in its batch.
        """
        outputs = []
        y: Any = x
        for layer in range(len(self._layers) - 1):
            y = self._output(layer, y, seeds, first_row)
            outputs.append(y)
        return outputs

    def _output(self, layer: int, x: Any, seeds: Seeds | None, first_row: int) -> NDArray[Any]:
        out = self._outputs.first(x.shape[0])[layer]
        if seeds is None:
            return self._layers[layer].forward(x, out)
        return self._layers[layer].training_forward(x, out, seeds[layer], first_row)

    def owns(self, output: NDArray[Any], layer: int) -> bool:
        """Tell whether a layer's output is memory that was taken for it, which a layer may leave unused."""
        return output is self._outputs.first(len(output))[layer]

    def logits(self, x: Tile) -> NDArray[Any]:
        """Return the last layer's output for one tile, valid until the next call."""
        return self.outputs(x)[-1]

    def loss_and_correct(self, x: Tile, targets: Targets, scale: float) -> tuple[float, int]:
        """Return the scaled loss of one tile, and how many of its samples are right."""
        if self.output_layer is not None:
            return self.output_layer.loss_and_correct(self.hidden_outputs(x)[-1], targets.values, scale)
        outputs = self.logits(x)
        n_correct = self._loss.count_correct(self._kernels, outputs, targets)
        return self._loss.loss_and_gradient(self._kernels, outputs, targets, scale, None)[0], n_correct


class Backpropagation:
    """The gradient of the loss of many samples, tile by tile, into arrays that are the same at each call.

    Parameters
    ----------
    network : Network
        The `gradient` of its layers is what is computed.
    n_rows : int
        How many samples there are at most: no tile has more rows.
    parameters, gradients : sequences of ndarray
        Those of its layers, in order.
    penalty : Penalty
        What is added to the loss.
    is_weighted : bool
        Whether targets have weights.
    """

    def __init__(
        self,
        network: Network,
        n_rows: int,
        parameters: Sequence[NDArray[Any]],
        gradients: Sequence[NDArray[Any]],
        penalty: Penalty,
        is_weighted: bool,
    ) -> None:
        self.parameters = parameters
        self.gradients = gradients
        self._kernels = network.kernels
        self._loss = network.loss
        self._layers = network.layers
        self._forward = Forward(network, n_rows, is_weighted)
        self._no_seeds: Seeds = [None] * len(self._layers)
        self._grads = _Rows(network, n_rows)
        self._layer_gradients = [layer.gradient for layer in self._layers]
        self._penalised = [
            (parameter, getattr(layer.gradient, name), l2)
            for layer in self._layers
            for name, parameter in layer.parameters.items()
            if (l2 := penalty.bias if name == "bias" else penalty.weights) != 0
        ]

    def run(self, batch: Batch, total_weight: float, seeds: Seeds | None = None) -> tuple[float, int]:
        """Set each layer's gradient to that of the mean loss of a batch, penalty included.

        Parameters
        ----------
        batch : iterable
            At least one tile: tiles and their targets, as from `in_order` or `gathered`.
        total_weight : float
            How many samples the targets of all tiles count for; where it is 0, so are the loss and its gradient.
        seeds : sequence of int, optional
            Of the layers' random numbers; they draw none when None.

        Returns
        -------
        loss : float
            Mean loss plus the penalty.
        n_correct : int
            Samples that are right.
        """
        set_gradients(self._layers, self._layer_gradients)
        seeds = self._no_seeds if seeds is None else seeds
        scale = scale_of_mean(total_weight)
        loss, n_correct, n_seen = 0.0, 0, 0
        for x, targets in batch:
            loss_of_tile, correct_of_tile = self._add_tile(x, targets, scale, n_seen, seeds)
            loss, n_correct, n_seen = loss + loss_of_tile, n_correct + correct_of_tile, n_seen + len(targets)
        return loss + self._add_penalty(), n_correct

    def _add_tile(self, x: Tile, targets: Targets, scale: float, n_before: int, seeds: Seeds) -> tuple[float, int]:
        """Add one tile's share to every layer's gradient; return its loss and how many samples are right."""
        accumulate = n_before > 0
        if self._forward.output_layer is None:
            outputs = self._forward.outputs(x, seeds, n_before)
            loss, n_correct, grad = self._compare(outputs[-1], targets, scale)
        else:
            outputs = self._forward.hidden_outputs(x, seeds, n_before)
            hidden, made_by = outputs[-1], self._layers[-2].activation
            out = hidden if self._forward.owns(hidden, -2) else self._grads.first(len(targets))[-2]
            loss, n_correct, grad = self._forward.output_layer.cross_entropy(
                hidden, targets.values, scale, made_by, accumulate, out
            )
        self._add_gradients(x, outputs, grad, accumulate)
        return loss, n_correct

    def _compare(self, y: NDArray[Any], targets: Targets, scale: float) -> tuple[float, int, NDArray[Any]]:
        """Compute the loss of the last layer's outputs, and the gradient with respect to what they are made of."""
        loss, grad = self._loss.loss_and_gradient(self._kernels, y, targets, scale, self._grads.first(len(y))[-1])
        last = self._layers[-1].activation
        if last != "identity":
            grad = self._kernels.activation_gradient(y, grad, last)
        return loss, self._loss.count_correct(self._kernels, y, targets), grad

    def _add_gradients(self, x: Tile, outputs: list[NDArray[Any]], grad: NDArray[Any], accumulate: bool) -> None:
        """Add what follows from the gradient of the last of these outputs' pre-activations."""
        grads = self._grads.first(len(grad))
        for i in range(len(outputs) - 1, 0, -1):
            layer, layer_input = self._layers[i], outputs[i - 1]
            layer.add_gradient(layer_input, grad, accumulate)
            grad = layer.input_gradient(grad, layer_input, self._layers[i - 1].activation, grads[i - 1])
        self._layers[0].add_gradient(x, grad, accumulate)

    def _add_penalty(self) -> float:
        """Add the gradient of the penalty to that of all parameters, and return the penalty itself."""
        penalty: float = sum(self._kernels.l2_penalty(*penalised) for penalised in self._penalised)
        return penalty


class _Rows:
    """Memory for a tile of every layer's output."""

    def __init__(self, network: Network, n_rows: int) -> None:
        self._n_rows = min(n_rows, LARGE_TILE_ROWS)
        self._arrays = [aligned_empty((self._n_rows, width), network.dtype) for width in network.widths]
        self._views = self._arrays

    def first(self, n_rows: int) -> list[NDArray[Any]]:
        """Return the first rows of it; views are made only where the number of rows changes."""
        if n_rows != self._n_rows:
            self._n_rows = n_rows
            self._views = [array[:n_rows] for array in self._arrays]
        return self._views
