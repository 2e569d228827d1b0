"""Predicting for a few rows by one call of a kernel: the calls of each layer would take longer than the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from numpy.typing import NDArray

from fastfnn.csr import Csr
from fastfnn.layers import Dense, is_fused
from fastfnn.preparation import density_worth_packing
from fastfnn.tiles import ArraySamples

if TYPE_CHECKING:
    from fastfnn.network import Network

# With more rows it takes less time to lay the weights out, and to go through the layers one by one.
FEW_ROWS = 64


class FewRows:
    """The way of a few rows through a network.

    Parameters
    ----------
    network : Network
        Its layers' parameters are used as they are at each call.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._layers = [layer for layer in network.layers if isinstance(layer, Dense)]
        # Below this share of non-zeros, zeros are not multiplied, as in `prepare`; the NumPy backend does so anyway.
        auto = 0.0 if network.backend == "numpy" else density_worth_packing(network)
        self._max_density = {"auto": auto, "dense": 0.0, "sparse": 2.0}
        self._is_fused = is_fused(network.layers)

    def can_take(self, X: NDArray[Any] | Csr) -> TypeGuard[NDArray[Any]]:
        """Tell whether these are few rows of an array, and the network of layers that one kernel knows."""
        return self._is_fused and X.shape[0] <= FEW_ROWS and not isinstance(X, Csr)

    def logits(self, X: NDArray[Any], input_format: str) -> NDArray[Any]:
        """Return the last layer's outputs; the arguments are those of `prepare`."""
        network = self._network
        if X.dtype != network.dtype or not X.flags.c_contiguous:
            X = ArraySamples(X, network.dtype, network.input_scale, network.kernels).dense(slice(None))
        weights, biases, activations = zip(
            *[(layer.weights, layer.bias, layer.activation) for layer in self._layers], strict=True
        )
        logits: NDArray[Any] = network.kernels.stack_forward(
            X, weights, biases, activations, self._max_density[input_format]
        )
        return logits
