"""Backpropagation through a network so small that one kernel goes through all its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastfnn.joining import parameters_of, start_gradients
from fastfnn.layers import Dense, is_fused
from fastfnn.losses import is_plain_softmax
from fastfnn.parts import Parts
from fastfnn.plan import Penalty
from fastfnn.propagation import Backpropagation, Batch, scale_of_mean, set_gradients

if TYPE_CHECKING:
    from fastfnn.network import Network


class SmallBackpropagation:
    """The gradient of the loss of many samples, by one call for each tile.

    Parameters
    ----------
    network : Network
        Of dense layers, with plain softmax cross-entropy.
    parameters, gradients : Parts
        Those of its layers.
    penalty : Penalty
        What is added to the loss.
    """

    def __init__(self, network: Network, parameters: Parts, gradients: Parts, penalty: Penalty) -> None:
        self.parameters = parameters
        self.gradients = gradients
        self._layers = [layer for layer in network.layers if isinstance(layer, Dense)]
        self._layer_gradients = [layer.gradient for layer in self._layers]
        self._kernels = network.kernels
        self._network = (
            parameters.vector,
            tuple(layer.n_outputs for layer in self._layers),
            tuple(layer.activation for layer in self._layers),
            tuple(layer.use_bias for layer in self._layers),
        )
        self._penalty = (penalty.weights, penalty.bias)

    def run(self, batch: Batch, total_weight: float, seeds: Sequence[int | None] | None = None) -> tuple[float, int]:
        """Set each layer's gradient to that of the mean loss of a batch; see `Backpropagation.run`."""
        set_gradients(self._layers, self._layer_gradients)
        scale = scale_of_mean(total_weight)
        loss, n_correct, penalty = 0.0, 0, self._penalty
        for i, (x, targets) in enumerate(batch):
            of_tile, correct_of_tile, _ = self._kernels.stack_cross_entropy(
                x, *self._network, targets.values, scale, *penalty, self.gradients.vector, i > 0
            )
            loss, n_correct, penalty = loss + of_tile, n_correct + correct_of_tile, (0.0, 0.0)
        return loss, n_correct


def backpropagation(
    network: Network, n_rows: int, penalty: Penalty, is_weighted: bool, is_packed: bool
) -> Backpropagation | SmallBackpropagation:
    """Return what computes the gradient of a network's loss: of its layers one by one, or of all if they are small.

    Parameters
    ----------
    network : Network
        The `gradient` of its layers is what is computed.
    n_rows : int
        How many samples there are at most: no tile has more rows.
    penalty : Penalty
        What is added to the loss.
    is_weighted : bool
        Whether targets have weights.
    is_packed : bool
        Whether tiles are packed.
    """
    parameters = parameters_of(network.layers)
    gradients = start_gradients(network.layers, parameters)
    known = is_fused(network.layers) and is_plain_softmax(network.loss) and not (is_weighted or is_packed)
    if known and isinstance(parameters, Parts) and isinstance(gradients, Parts):
        return SmallBackpropagation(network, parameters, gradients, penalty)
    return Backpropagation(network, n_rows, parameters, gradients, penalty, is_weighted)
