"""The step of a part of the hidden units: gradient, penalty, bounds and update of its weights, by one thread."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inlined, uncounted
from fastfnn_kernels.jitted._products.batch_steps import (
    Sums,
    Update,
    Vectors,
    advance_mean,
    bound_and_update,
    bound_of,
    penalise_and_clip,
)
from fastfnn_kernels.jitted._products.hidden_units import (
    Batch,
    Network,
    Part,
    of_part,
    part_of,
    write_first_gradient,
    write_second_gradient,
)
from fastfnn_kernels.jitted._products.loops import copy, sum_in_order, sum_of_squares
from fastfnn_kernels.jitted._products.panels import INTO_PANELS, OUT_OF_PANELS
from fastfnn_kernels.jitted._products.update_rules import RMSPROP_TENSOR, update_elements
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns

# Tensors, as rows of the sums of squares; each part has a column. The second bias belongs to the first part.
# For literals, functions would be compiled once more.
WEIGHTS, BIAS, SECOND_WEIGHTS, SECOND_BIAS = map(np.int64, range(4))


class Tensors(NamedTuple):
    """The four weights and biases, and what their updates need."""

    starts: Any  # in vectors like the parameters; -1 for none
    learns: Any  # whether the first and the second layer do
    state: Any  # of the first weights, in panels
    other_state: Any
    gradients: Any  # of a part's first weights, for each thread
    penalised: Any  # sums of squares of the parameters before the odd and the even steps: (2, 4, n_parts)
    squares: Any  # of the gradients: (4, n_parts)


@inlined
def _slice(tensors: Tensors, vectors: Vectors, tensor: int, first: int, end: int) -> Any:
    """Return elements of a tensor, of its gradient and of both states; a state may be empty."""
    first, end = tensors.starts[tensor] + first, tensors.starts[tensor] + end
    state, other_state = vectors.state[first:end], vectors.other_state[first:end]
    return vectors.parameters[first:end], vectors.gradient[first:end], state, other_state


@inlined
def _panels(network: Network, tensors: Tensors, part: Part, worker: int) -> Any:
    """Return a part's first weights, their gradient and both states, all in panels; a state may be empty."""
    first, end = part.first * network.n_inputs, (part.first + part.width) * network.n_inputs
    g = tensors.gradients[worker, : end - first]
    return network.weights[first:end], g, tensors.state[first:end], tensors.other_state[first:end]


@uncounted
def step_part(
    network: Network,
    tensors: Tensors,
    vectors: Vectors,
    batch: Batch,
    update: Update,
    parity: int,
    number: int,
    worker: int,
    keeps: bool,
) -> None:
    """Compute the gradient of a part's weights and biases, and update them unless the update waits for norms.

    With `keeps`, or if it waits, the gradient of the first weights is stored.
    """
    part = part_of(network, number)
    w, g, s, t = _panels(network, tensors, part, worker)
    write_first_gradient(network, batch, part, g)
    _finish(tensors, update, WEIGHTS, parity, number, w, g)
    if keeps or update.waits:
        _exchange_gradient(network, tensors, vectors, part, g, OUT_OF_PANELS)
    if not update.waits:
        update_elements(update.code, update.numbers[1], w, g, s, t)
    if tensors.starts[BIAS] >= 0:
        w, g, s, t = _slice(tensors, vectors, BIAS, part.first, part.end)
        g[:] = 0
        grad = of_part(batch.hidden_gradients, part, batch.n_rows, batch.capacity)
        add_sums_of_columns(grad, 0, batch.n_rows, 0, g.size, g)
        _finish(tensors, update, BIAS, parity, number, w, g)
        if not update.waits:
            update_elements(update.code, update.numbers[1], w, g, s, t)
    n_outputs = network.n_outputs
    w, g, s, t = _slice(tensors, vectors, SECOND_WEIGHTS, part.first * n_outputs, part.end * n_outputs)
    write_second_gradient(network, batch, part, g)
    _finish(tensors, update, SECOND_WEIGHTS, parity, number, w, g)
    if not update.waits:
        update_elements(update.code, update.numbers[2], w, g, s, t)
    if number == 0 and tensors.starts[SECOND_BIAS] >= 0:
        w, g, s, t = _slice(tensors, vectors, SECOND_BIAS, 0, n_outputs)
        g[:] = 0
        add_sums_of_columns(
            batch.gradients[: batch.n_rows * n_outputs].reshape((batch.n_rows, n_outputs)),
            0,
            batch.n_rows,
            0,
            n_outputs,
            g,
        )
        _finish(tensors, update, SECOND_BIAS, parity, number, w, g)
        if not update.waits:
            update_elements(update.code, update.numbers[2], w, g, s, t)
    if not update.waits:
        pack_part(network, tensors, vectors, number)


@uncounted
def _finish(tensors: Tensors, update: Update, tensor: int, parity: int, number: int, w: Any, g: Any) -> None:
    """Add the penalty's gradient, clip each element, and write the sums of squares."""
    l2 = update.l2_bias if tensor in (BIAS, SECOND_BIAS) else update.l2
    if l2 != 0:
        tensors.penalised[parity, tensor, number] = sum_of_squares(w)
    penalise_and_clip(g, w, l2, bound_of(update, tensors.learns[tensor // 2]))
    if update.waits:
        tensors.squares[tensor, number] = sum_of_squares(g)


@uncounted
def pack_part(network: Network, tensors: Tensors, vectors: Vectors, number: int) -> None:
    """Copy a part's biases and second weights to where products read them."""
    part, n_outputs = part_of(network, number), network.n_outputs
    width = network.output_biases.size
    if tensors.starts[BIAS] >= 0:
        w, _, _, _ = _slice(tensors, vectors, BIAS, part.first, part.end)
        copy(w, network.biases[part.first : part.end])
    if number == 0 and tensors.starts[SECOND_BIAS] >= 0:
        w, _, _, _ = _slice(tensors, vectors, SECOND_BIAS, 0, n_outputs)
        copy(w, network.output_biases)
    w, _, _, _ = _slice(tensors, vectors, SECOND_WEIGHTS, part.first * n_outputs, part.end * n_outputs)
    panel = of_part(network.backward, part, n_outputs, n_outputs)
    for unit in range(part.end - part.first):
        row = w[unit * n_outputs : (unit + 1) * n_outputs]
        copy(row, network.forward[(part.first + unit) * width : (part.first + unit + 1) * width])
        for o in range(n_outputs):
            panel[np.uintp(o), np.uintp(unit)] = row[o]


@uncounted
def exchange_part(network: Network, tensors: Tensors, vectors: Vectors, number: int, into_panels: bool) -> None:
    """Copy a part's first weights and states from vectors like the parameters into panels, or back."""
    part = part_of(network, number)
    _exchange(network, tensors, vectors.parameters, network.weights, part, into_panels)
    if vectors.state.size > 0:
        _exchange(network, tensors, vectors.state, tensors.state, part, into_panels)
    if vectors.other_state.size > 0:
        _exchange(network, tensors, vectors.other_state, tensors.other_state, part, into_panels)


@uncounted
def _exchange(network: Network, tensors: Tensors, vector: Any, panels: Any, part: Part, into_panels: bool) -> None:
    panel = of_part(panels, part, network.n_inputs, network.n_inputs)
    _exchange_panel(network, tensors, vector, part, panel, into_panels)


@uncounted
def _exchange_panel(
    network: Network, tensors: Tensors, vector: Any, part: Part, panel: Any, into_panels: bool
) -> None:
    """Copy a part's columns of the first weights into a panel, padded with zeros, or back."""
    n_existing = part.end - part.first
    for i in range(network.n_inputs):
        start = tensors.starts[WEIGHTS] + i * network.n_units + part.first
        if into_panels:
            copy(vector[start : start + n_existing], panel[i])
            panel[i, n_existing:] = 0
        else:
            copy(panel[i, :n_existing], vector[start : start + n_existing])


@uncounted
def _exchange_gradient(
    network: Network, tensors: Tensors, vectors: Vectors, part: Part, g: Any, into_panel: bool
) -> None:
    panel = g.reshape((network.n_inputs, part.width))
    _exchange_panel(network, tensors, vectors.gradient, part, panel, into_panel)


@uncounted
def penalty_of_parts(tensors: Tensors, parity: int, l2: float, l2_bias: float) -> float:
    """Return the penalties of a step, from the sums of squares of each part."""
    penalty = 0.0
    for tensor in range(np.int64(4)):
        factor = l2_bias if tensor in (BIAS, SECOND_BIAS) else l2
        if factor != 0:  # else the sums may be those of an earlier call
            penalty += factor / 2 * sum_in_order(tensors.penalised[parity, tensor])
    return penalty


@uncounted
def settle_norms_of_parts(tensors: Tensors, update: Update, clip_norm: float, sums: Sums) -> None:
    """Write the factor that bounds the norm of all gradients, and each tensor's rate, if the rule has such."""
    total = 0.0
    for tensor in range(np.int64(4)):
        if tensors.learns[tensor // 2] and tensors.starts[tensor] >= 0:
            total += sum_in_order(tensors.squares[tensor])
    norm = math.sqrt(total)
    factor = clip_norm / norm if norm > clip_norm else 1.0
    if update.code == RMSPROP_TENSOR:
        n_before = np.int64(0)
        for tensor in range(np.int64(4)):
            if tensors.starts[tensor] >= 0:
                bounded = factor if tensors.learns[tensor // 2] else 1.0
                advance_mean(tensors.squares[tensor], bounded, update.numbers[1 + tensor // 2], n_before, sums)
                n_before += 1
    sums.factor[0] = factor


@uncounted
def update_part_after_norms(
    network: Network, tensors: Tensors, vectors: Vectors, update: Update, sums: Sums, number: int, worker: int
) -> None:
    """Bound the stored gradient of a part, and update and pack it."""
    part, n_outputs, tensor = part_of(network, number), network.n_outputs, np.int64(0)
    factor, rates, learns = sums.factor[0], sums.rates, tensors.learns
    w, g, s, t = _panels(network, tensors, part, worker)
    _exchange_gradient(network, tensors, vectors, part, g, INTO_PANELS)
    bound_and_update(update.code, update.numbers[1], factor, learns[0], rates, tensor, w, g, s, t)
    _exchange_gradient(network, tensors, vectors, part, g, OUT_OF_PANELS)
    if tensors.starts[BIAS] >= 0:
        tensor += 1
        w, g, s, t = _slice(tensors, vectors, BIAS, part.first, part.end)
        bound_and_update(update.code, update.numbers[1], factor, learns[0], rates, tensor, w, g, s, t)
    tensor += 1
    w, g, s, t = _slice(tensors, vectors, SECOND_WEIGHTS, part.first * n_outputs, part.end * n_outputs)
    bound_and_update(update.code, update.numbers[2], factor, learns[1], rates, tensor, w, g, s, t)
    if number == 0 and tensors.starts[SECOND_BIAS] >= 0:
        w, g, s, t = _slice(tensors, vectors, SECOND_BIAS, 0, n_outputs)
        bound_and_update(update.code, update.numbers[2], factor, learns[1], rates, tensor + 1, w, g, s, t)
    pack_part(network, tensors, vectors, number)
