"""The gradient of a network so small that one kernel goes through all its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastfnn_kernels.arguments import FUSED_ACTIVATIONS

from fastfnn.layers import Dense
from fastfnn.losses import is_plain_softmax
from fastfnn.plan import Penalty
from fastfnn.targets import Targets
from fastfnn.tiles import Tile

if TYPE_CHECKING:
    from fastfnn.network import Network

# All weights of such a network: with more, the products take so long that calling a kernel for each does not matter.
SMALL_NETWORK_BYTES = 32 * 1024


class SmallNetwork:
    """The gradient of the mean softmax cross-entropy and its penalty, by one call for each tile.

    Parameters
    ----------
    network : Network
        One that `fits`, whose layers have a `gradient` to be written to.
    penalty : Penalty
        What is added to the loss.
    """

    def __init__(self, network: Network, penalty: Penalty) -> None:
        layers = [layer for layer in network.layers if isinstance(layer, Dense)]
        self._kernels = network.kernels
        self._network = (
            [layer.weights for layer in layers],
            [layer.bias for layer in layers],
            [layer.activation for layer in layers],
        )
        self._gradients = ([layer.gradient.weights for layer in layers], [layer.gradient.bias for layer in layers])
        self._penalty = penalty

    @staticmethod
    def fits(network: Network, is_weighted: bool) -> bool:
        """Tell whether a network is small, and made of nothing that the kernel does not know."""
        return (
            is_plain_softmax(network.loss)
            and not is_weighted
            and all(type(layer) is Dense and layer.activation in FUSED_ACTIVATIONS for layer in network.layers)
            and sum(array.nbytes for array in network.parameters.values()) <= SMALL_NETWORK_BYTES
        )

    def add_gradients(self, x: Tile, targets: Targets, scale: float, accumulate: bool) -> tuple[float, int]:
        """Add a tile's share to every layer's gradient, and the first tile's the penalty's; return loss and correct.

        Parameters
        ----------
        x : ndarray, shape (n_rows, n_inputs)
            Samples, not packed.
        targets : Targets
            Their classes.
        scale : float
            Of the sum of their losses.
        accumulate : bool
            Whether there were tiles before.
        """
        l2, l2_bias = (0.0, 0.0) if accumulate else (self._penalty.weights, self._penalty.bias)
        loss, n_correct, *_ = self._kernels.stack_cross_entropy(
            x, *self._network, targets.values, scale, l2, l2_bias, *self._gradients, accumulate
        )
        return loss, n_correct
