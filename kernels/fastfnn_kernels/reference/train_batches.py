"""Training on mini-batches with any update rule, one step for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import RowLosses, Rule, Stack, StepOptions
from fastfnn_kernels.packing import Packed, PackedBatches
from fastfnn_kernels.reference._row_losses import compare
from fastfnn_kernels.reference.activations import activation_gradient
from fastfnn_kernels.reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from fastfnn_kernels.reference.dropout import dropout
from fastfnn_kernels.reference.sparse import sparse_forward, sparse_weight_gradient
from fastfnn_kernels.reference.updates import adamw, l2_penalty, momentum, rmsprop, rmsprop_tensor, sgd, squared_norm
from fastfnn_kernels.workspace import Workspace


def train_batches(
    x: NDArray[Any] | PackedBatches,
    rows: NDArray[np.int64] | None,
    losses: RowLosses,
    stack: Stack,
    parameters: NDArray[Any],
    gradient: NDArray[Any],
    rule: Rule,
    options: StepOptions,
    workspace: Workspace | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Take a step on each batch in turn.

    A step computes the mean loss of the batch's rows, divided by their total weight; its gradient, as the layers'
    kernels do; adds the penalties; clips the gradient's elements, and then its norm; and updates all parameters. If
    all weights of a batch are 0, so are its loss and gradient.

    Parameters
    ----------
    x : ndarray, shape (n, n_inputs), or PackedBatches
        Samples; or the batches themselves, packed. The first layer must then be a dense one.
    rows : ndarray of int64, shape (n_rows,), or None
        Rows of x, batch after batch; None for packed batches.
    losses : RowLosses
        The loss, with the targets and weights of the batches' rows, in their order.
    stack : Stack
        The layers.
    parameters : ndarray, shape (n_parameters,)
        IN-OUT: the parameters of all layers. Between them may be other numbers, which stay as they are.
    gradient : ndarray like `parameters`
        OUT: the gradient of the last step, clipped, at the places of the parameters.
    rule : Rule
        The update rule; its states are IN-OUT.
    options : StepOptions
        Batches, penalties, bounds and seeds.
    workspace : Workspace, optional
        Memory to compute in, which calls for the same stack can share. This reference does not need it.

    Returns
    -------
    losses : ndarray of float64, shape (n_steps,)
        The mean loss of each batch with its penalty, before its step.
    n_correct : ndarray of int64, shape (n_steps,)
        Correct rows of each batch: those whose largest output is at the label, or, for binary cross-entropy, whose
        outputs all lie on the right side of 0. 0 for other losses.
    """
    batches = options.batches(len(losses.targets))
    values, n_correct = np.zeros(len(batches)), np.zeros(len(batches), np.int64)
    inputs: Iterable[Any] = x.batches() if isinstance(x, PackedBatches) else (x[rows[batch]] for batch in batches)  # type: ignore[index]  # rows are given
    for step, (batch, x_batch) in enumerate(zip(batches, inputs, strict=True)):
        seeds = None if options.seeds is None else options.seeds[step].tolist()
        of_batch = losses.of_rows(batch)
        values[step], n_correct[step] = _write_gradient(x_batch, of_batch, stack, parameters, gradient, seeds)
        values[step] += _add_penalty(stack, parameters, gradient, options, of_batch.total_weight)
        _clip(stack, gradient, options)
        _update(stack, parameters, gradient, rule, rule.n_before + step + 1)
    return values, n_correct


def _write_gradient(
    x: NDArray[Any] | Packed,
    losses: RowLosses,
    stack: Stack,
    parameters: NDArray[Any],
    gradient: NDArray[Any],
    seeds: Sequence[int] | None,
) -> tuple[float, int]:
    """Write the gradient of a batch's mean loss; return the loss and the number of correct rows."""
    weights, biases = _by_layer(stack, parameters)
    weight_gradients, bias_gradients = _by_layer(stack, gradient)
    outputs: list[Any] = [x]
    for i, layer in enumerate(stack.layers):
        if i in weights:
            forward = sparse_forward if isinstance(outputs[-1], Packed) else dense_forward
            outputs.append(forward(outputs[-1], weights[i], biases.get(i), layer.activation))
        else:
            outputs.append(dropout(outputs[-1], layer.drop_rate, seeds[i] if seeds else 0))
    loss, n_correct, grad = compare(outputs[-1], losses, losses.scale_of_mean(outputs[-1].shape[1]))
    grad = activation_gradient(outputs[-1], grad, stack.layers[-1].activation)
    for i in range(len(stack.layers) - 1, -1, -1):
        y, made_by = outputs[i], stack.layers[i - 1].activation if i > 0 else "identity"
        if i in weights:
            weight_gradient = sparse_weight_gradient if isinstance(y, Packed) else dense_weight_gradient
            weight_gradient(y, grad, weight_gradients[i], bias_gradients.get(i), i in biases)
            if i > 0:
                grad = dense_input_gradient(grad, weights[i], y, made_by)
        else:
            grad = activation_gradient(y, dropout(grad, stack.layers[i].drop_rate, seeds[i] if seeds else 0), made_by)
    return loss, n_correct


def _by_layer(stack: Stack, vector: NDArray[Any]) -> tuple[dict[int, NDArray[Any]], dict[int, NDArray[Any]]]:
    """Return the weights and the biases in a vector like the parameters, by the layer's number."""
    tensors = list(stack.tensors(vector))
    weights = {layer: array for layer, array, is_bias in tensors if not is_bias}
    return weights, {layer: array for layer, array, is_bias in tensors if is_bias}


def _add_penalty(
    stack: Stack, parameters: NDArray[Any], gradient: NDArray[Any], options: StepOptions, total_weight: float
) -> float:
    """Add the gradient of the penalties, and return them."""
    scale = 1.0
    if options.l2_of_sum:
        scale = 1 / total_weight if total_weight else 0.0
    penalty = 0.0
    tensors = zip(stack.tensors(parameters), stack.tensors(gradient), strict=True)
    for (_, parameter, is_bias), (_, grad, _) in tensors:
        l2 = scale * (options.l2_bias if is_bias else options.l2)
        if l2 != 0:
            penalty += l2_penalty(parameter, grad, l2)
    return penalty


def _clip(stack: Stack, gradient: NDArray[Any], options: StepOptions) -> None:
    """Clip each element, and then the norm of all, but not the gradients of layers that do not learn."""
    clipped = [array for layer, array, _ in stack.tensors(gradient) if stack.layers[layer].learning_rate_factor != 0]
    for array in clipped:
        np.clip(array, -options.clip_value, options.clip_value, out=array)
    if options.clip_norm < np.inf:
        norm = float(np.sqrt(sum(map(squared_norm, clipped))))
        if norm > options.clip_norm:
            for array in clipped:
                np.multiply(array, options.clip_norm / norm, out=array, dtype=array.dtype)


def _update(stack: Stack, parameters: NDArray[Any], gradient: NDArray[Any], rule: Rule, step: int) -> None:
    """Update each tensor."""
    vectors = (parameters, gradient) if rule.name == "rmsprop_tensor" else (parameters, gradient, *rule.states)
    tensors = zip(*map(stack.tensors, vectors), strict=True)
    for number, of_tensor in enumerate(tensors):
        factor = stack.layers[of_tensor[0][0]].learning_rate_factor
        w, g, *state = [array for _, array, _ in of_tensor]
        rate, numbers = rule.learning_rate * factor, dict[str, Any](rule.numbers)
        if rule.name == "sgd":
            sgd(w, g, rate)
        elif rule.name == "momentum":
            if factor != 0 or not numbers["velocity_of_steps"]:
                momentum(w, g, state[0], rate, **numbers)
        elif rule.name == "rmsprop":
            rmsprop(w, g, state[0], rate, **numbers)
        elif rule.name == "rmsprop_tensor":
            (means,) = rule.states
            means[number] = rmsprop_tensor(w, g, means[number], rate, **numbers)
        else:
            if numbers.pop("epsilon_hat"):
                numbers["epsilon"] /= float(np.sqrt(1 - numbers["beta2"] ** step))
            adamw(w, g, state[0], state[1], step, rate, **numbers)
