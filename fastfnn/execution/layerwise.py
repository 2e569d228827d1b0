"""Forward and backward passes through a network, layer by layer and block by block, in memory allocated once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn._memory import aligned_empty
from fastfnn.execution.options import Penalty, scale_of_mean
from fastfnn.execution.plan import Propagation
from fastfnn.execution.preparation import Batch
from fastfnn.inputs.row_blocks import RowBlock
from fastfnn.inputs.targets import Targets
from fastfnn.layers import Dense, Gradient, Layer
from fastfnn.model import LayerGradients, Model, start_gradients

Seeds = Sequence[int | None]


class Forward:
    """Forward passes through a network.

    Parameters
    ----------
    model : Model
        Network; each call uses its layers in their current state.
    n_rows : int
        Largest number of rows in a block.
    propagation : Propagation
        One of the two layerwise propagations.

    Attributes
    ----------
    output_layer : Dense or None
        The last layer if it is fused with the loss.
    """

    def __init__(self, model: Model, n_rows: int, propagation: Propagation) -> None:
        last = model.layers[-1]
        fused = propagation is Propagation.LAYERWISE_WITH_OUTPUT_LAYER
        self.output_layer = last if fused and isinstance(last, Dense) else None
        self._kernels = model.kernels
        self._loss = model.loss
        self._layers = model.layers
        self._own = [layer.is_user_defined for layer in model.layers]
        self._outputs = _BlockMemory(model, n_rows)

    def outputs(self, x: RowBlock, seeds: Seeds | None = None, first_row: int = 0) -> list[NDArray[Any]]:
        """Return every layer's output for one block, valid until the next call; see `hidden_outputs`."""
        outputs = self.hidden_outputs(x, seeds, first_row)
        last = len(self._layers) - 1
        outputs.append(self._output(last, outputs[-1] if outputs else x, seeds, first_row))
        return outputs

    def hidden_outputs(self, x: RowBlock, seeds: Seeds | None = None, first_row: int = 0) -> list[NDArray[Any]]:
        """Return the output of every layer but the last for one block, valid until the next call.

        Parameters
        ----------
        x : RowBlock
            The block.
        seeds : sequence of int or None, optional
            Seeds of the layers' random numbers in a training step, None for a layer that draws none. Without seeds,
            the outputs are those of a prediction.
        first_row : int
            Index of the block's first row in its batch.
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
            y = self._layers[layer].forward(x, out)
        else:
            y = self._layers[layer].training_forward(x, out, seeds[layer], first_row)
        return self._checked(layer, y, out) if self._own[layer] else y

    def _checked(self, layer: int, y: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
        """Return the contiguous output of a user-defined layer, if it has the shape and the dtype of `out`."""
        _require_like(y, out, f"{type(self._layers[layer]).__name__}.forward must return y")
        return np.ascontiguousarray(y)

    def owns(self, output: NDArray[Any], layer: int) -> bool:
        """Tell whether a layer's output uses the memory allocated for it here; a layer may return another array."""
        return output is self._outputs.first(len(output))[layer]

    def logits(self, x: RowBlock) -> NDArray[Any]:
        """Return the last layer's output for one block, valid until the next call."""
        return self.outputs(x)[-1]

    def loss_and_correct(self, x: RowBlock, targets: Targets, scale: float) -> tuple[float, int]:
        """Return the scaled loss of one block, and its number of correct samples."""
        if self.output_layer is not None:
            return self.output_layer.loss_and_correct(self.hidden_outputs(x)[-1], targets.values, scale)
        outputs = self.logits(x)
        n_correct = self._loss.count_correct(self._kernels, outputs, targets)
        return self._loss.loss_and_gradient(self._kernels, outputs, targets, scale, None)[0], n_correct


class LayerwiseGradient:
    """The gradient of a batch's loss, layer by layer, in arrays that every call reuses.

    Parameters
    ----------
    model : Model
        Network; the `gradient` of its layers is computed.
    n_rows : int
        Largest number of rows in a block.
    penalty : Penalty
        Penalty added to the loss.
    propagation : Propagation
        One of the two layerwise propagations.

    Attributes
    ----------
    gradients : sequence of ndarray
        Gradients of all parameters, stored like the parameters.
    """

    def __init__(self, model: Model, n_rows: int, penalty: Penalty, propagation: Propagation) -> None:
        self.gradients = start_gradients(model)
        self._model = model
        self._kernels = model.kernels
        self._loss = model.loss
        self._layers = model.layers
        self._forward = Forward(model, n_rows, propagation)
        self._no_seeds: Seeds = [None] * len(self._layers)
        self._grads = _BlockMemory(model, n_rows)
        self._layer_gradients = [layer.gradient for layer in self._layers]
        # A layer's own `backward` takes the gradient with respect to its output.
        self._activations = ["identity" if layer.has_own_backward else layer.activation for layer in self._layers]
        self._penalty = penalty

    def write_to(self, gradients: LayerGradients) -> None:
        """Compute the gradients of the next batches in other arrays."""
        self.gradients, self._layer_gradients = gradients

    def run(
        self, batch: Batch, total_weight: float, seeds: Seeds | None = None, first_row: int = 0
    ) -> tuple[float, int]:
        """Set each layer's gradient to that of the batch's mean loss, penalty included.

        Parameters
        ----------
        batch : iterable
            Row blocks and their targets, at least one.
        total_weight : float
            Sum of all targets' weights; if it is 0, so are the loss and its gradient.
        seeds : sequence of int, optional
            Seeds of the layers' random numbers; when None, no random numbers are drawn.
        first_row : int
            Index of the first of these rows in the whole batch, on which random numbers depend.

        Returns
        -------
        loss : float
            Mean loss plus the penalty.
        n_correct : int
            Number of correct samples.
        """
        use_gradients(self._layers, self._layer_gradients)
        seeds = self._no_seeds if seeds is None else seeds
        scale = scale_of_mean(total_weight)
        loss, n_correct, n_seen = 0.0, 0, 0
        for x, targets in batch:
            accumulate, place = n_seen > 0, first_row + n_seen
            loss_of_block, correct_of_block = self._add_block(x, targets, scale, accumulate, place, seeds)
            loss, n_correct, n_seen = loss + loss_of_block, n_correct + correct_of_block, n_seen + len(targets)
        return loss + add_penalty(self._model, self._penalty, total_weight), n_correct

    def _add_block(
        self, x: RowBlock, targets: Targets, scale: float, accumulate: bool, first_row: int, seeds: Seeds
    ) -> tuple[float, int]:
        """Add one block's share to every layer's gradient; return its loss and its number of correct samples."""
        if self._forward.output_layer is None:
            outputs = self._forward.outputs(x, seeds, first_row)
            loss, n_correct, grad = self._compare(outputs[-1], targets, scale)
            self._propagate_back(x, outputs, grad, accumulate)
            return loss, n_correct
        outputs = self._forward.hidden_outputs(x, seeds, first_row)
        hidden, made_by = outputs[-1], self._activations[-2]
        # A layer with a `backward` of its own still needs its output.
        reusable = self._forward.owns(hidden, -2) and not self._layers[-2].has_own_backward
        out = hidden if reusable else self._grads.first(len(targets))[-2]
        loss, n_correct, grad = self._forward.output_layer.cross_entropy(
            hidden, targets.values, scale, made_by, accumulate, out
        )
        self._propagate_back(x, outputs, grad, accumulate)
        return loss, n_correct

    def _compare(self, y: NDArray[Any], targets: Targets, scale: float) -> tuple[float, int, NDArray[Any]]:
        """Compute the loss of the last layer's outputs, and the gradient with respect to its pre-activations."""
        loss, grad = self._loss.loss_and_gradient(self._kernels, y, targets, scale, self._grads.first(len(y))[-1])
        last = self._activations[-1]
        if last != "identity":
            grad = self._kernels.activation_gradient(y, grad, last)
        return loss, self._loss.count_correct(self._kernels, y, targets), grad

    def _propagate_back(self, x: RowBlock, outputs: list[NDArray[Any]], grad: NDArray[Any], accumulate: bool) -> None:
        """Propagate back from `grad`, the gradient with respect to the pre-activations of the last of the outputs."""
        grads = self._grads.first(len(grad))
        for i in range(len(outputs) - 1, 0, -1):
            layer, layer_input, made_by = self._layers[i], outputs[i - 1], self._activations[i - 1]
            if layer.has_own_backward:
                grad = self._own_backward(i, layer_input, outputs[i], grad, accumulate)
                if made_by != "identity":
                    grad = self._kernels.activation_gradient(layer_input, grad, made_by)
            else:
                layer.add_gradient(layer_input, grad, accumulate)
                grad = layer.input_gradient(grad, layer_input, made_by, grads[i - 1])
        if self._layers[0].has_own_backward:
            self._own_backward(0, x, outputs[0], grad, accumulate)
        else:
            self._layers[0].add_gradient(x, grad, accumulate)

    def _own_backward(self, i: int, x: Any, y: NDArray[Any], grad_y: NDArray[Any], accumulate: bool) -> NDArray[Any]:
        """Call a layer's own `backward`, accumulate the gradient that it sets, and return the input's gradient."""
        layer, kept = self._layers[i], self._layer_gradients[i]
        layer.gradient = Gradient()  # `backward` sets one for this block alone
        try:
            grad_x = layer.backward(x, y, grad_y)
            of_block = layer.gradient
        finally:
            layer.gradient = kept
        name = f"{type(layer).__name__}.backward"
        _require_like(grad_x, x, f"{name} must return the gradient with respect to x")
        for parameter in layer.parameters:
            total, added = getattr(kept, parameter), getattr(of_block, parameter, None)
            _require_like(added, total, f"{name} must set gradient.{parameter}")
            total[...] = total + added if accumulate else added
        return np.ascontiguousarray(grad_x)


def add_penalty(model: Model, penalty: Penalty, total_weight: float) -> float:
    """Add the gradient of a penalty to the layers' gradients, and return the penalty of a batch of this weight."""
    if not penalty:
        return 0.0
    of_weights, of_bias = penalty.factors(total_weight)
    total = 0.0
    for layer in model.layers:
        for name, parameter in layer.parameters.items():
            if (penalty.bias if name == "bias" else penalty.weights) != 0:
                factor = of_bias if name == "bias" else of_weights
                total += model.kernels.l2_penalty(parameter, getattr(layer.gradient, name), factor)
    return total


def _require_like(array: Any, expected: NDArray[Any], demand: str) -> None:
    """Raise ValueError unless an array has the shape and the dtype of another."""
    found = (getattr(array, "shape", None), getattr(array, "dtype", None))
    if found != (expected.shape, expected.dtype):
        got = f"{array.shape}, {array.dtype}" if isinstance(array, np.ndarray) else repr(array)
        raise ValueError(f"{demand}, an array of shape {expected.shape} and dtype {expected.dtype}; got {got}")


def use_gradients(layers: Sequence[Layer], gradients: Sequence[Gradient]) -> None:
    """Set each layer's gradient to the given one; `backward` or a user may have replaced it."""
    for layer, gradient in zip(layers, gradients, strict=True):
        layer.gradient = gradient


class _BlockMemory:
    """Memory for every layer's output for one row block."""

    def __init__(self, model: Model, n_rows: int) -> None:
        self._n_rows = n_rows
        self._arrays = [aligned_empty((n_rows, width), model.dtype) for width in model.widths]
        self._views = self._arrays

    def first(self, n_rows: int) -> list[NDArray[Any]]:
        """Return the first rows of each array; new views are made only when the number of rows changes."""
        if n_rows != self._n_rows:
            self._n_rows = n_rows
            self._views = [array[:n_rows] for array in self._arrays]
        return self._views
