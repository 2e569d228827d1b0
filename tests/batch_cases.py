"""Calls of `train_batches`: stacks of dense and dropout layers with every loss, rule and option, drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from arrays import integers, normals
from fastfnn_kernels import reference
from fastfnn_kernels.arguments import FUSED_ACTIVATIONS, LOSSES
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, STATES, RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.jitted._products.batch_steps import BLOCK_ROWS
from fastfnn_kernels.jitted._products.tile_product import TILE_ROWS
from hypothesis import strategies as st
from numpy.typing import NDArray

WIDTHS = [1, 2, 3, 7, 16, 17, 33, 65, 129]
BATCH_SIZES = [1, 2, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 3 * TILE_ROWS, BLOCK_ROWS, BLOCK_ROWS + 1]
ACTIVATIONS = list(FUSED_ACTIVATIONS)
ALL_LOSSES = [SOFTMAX_CROSS_ENTROPY, *LOSSES]
# Without a kink, where a rounding error decides between two derivatives.
SMOOTH = ["identity", "sigmoid", "tanh"]
RATES = [0.25, 0.5]
RATE = 1 / 64
# Numbers by which every whole number is divided without rounding.
POWERS = [1, 2, 4, 16, 32, 64]
# Weights are 0 for no row, for some rows, or for those of the first batch too.
WEIGHTS = ["none", "some", "none in the first batch"]

# The numbers of each rule. A small epsilon would magnify the rounding errors of small gradients.
NUMBERS: dict[str, dict[str, list[Any]]] = {
    "sgd": {},
    "momentum": {"momentum": [0.5, 0.75], "nesterov": [False, True], "velocity_of_steps": [False, True]},
    "rmsprop": {"rho": [0.5, 0.9], "epsilon": [0.25]},
    "rmsprop_tensor": {"rho": [0.5, 0.9], "epsilon": [0.25]},
    "adamw": {
        "beta1": [0.5, 0.9], "beta2": [0.75, 0.99], "epsilon": [0.25], "weight_decay": [0.0, 0.125],
        "epsilon_hat": [False, True],
    },
}  # fmt: skip


class Case(NamedTuple):
    """The arguments of a call."""

    x: NDArray[Any]
    rows: NDArray[np.int64]
    losses: RowLosses
    stack: Stack
    parameters: NDArray[Any]
    gradient: NDArray[Any]
    rule: Rule
    options: StepOptions

    def arguments(self, packed: bool) -> tuple[Any, ...]:
        """Return the arguments, with the inputs packed in batches or as they are."""
        if not packed:
            return tuple(self)
        batches = reference.pack_batches(self.x, self.x.dtype, self.options.batch_size, 1.0, self.rows)
        return (batches, None, *self[2:])

    @property
    def can_be_packed(self) -> bool:
        """Whether the first layer takes packed inputs."""
        return self.stack.layers[0].weights_at is not None

    @property
    def written(self) -> list[NDArray[Any]]:
        """The arrays that a call writes to."""
        return [self.parameters, self.gradient, *self.rule.states]

    @property
    def read(self) -> list[NDArray[Any]]:
        """The arrays that a call only reads."""
        given = (self.x, self.rows, self.losses.targets, self.losses.weights, self.options.seeds)
        return [array for array in given if array is not None]

    @property
    def between(self) -> NDArray[np.bool_]:
        """Where vectors like the parameters have numbers that belong to no layer."""
        mask = np.ones(self.parameters.size, bool)
        for _, array, _ in self.stack.tensors(mask):
            array[...] = False
        return mask

    def copied(self) -> Case:
        """Return the same call with copies of the arrays that are written."""
        states = tuple(state.copy() for state in self.rule.states)
        parameters, gradient = self.parameters.copy(), self.gradient.copy()
        return self._replace(parameters=parameters, gradient=gradient, rule=self.rule._replace(states=states))

    def in_float64(self) -> Case:
        """Return the same call with copies in float64."""
        losses = self.losses
        targets, weights = losses.targets, losses.weights
        if losses.name != SOFTMAX_CROSS_ENTROPY:
            targets = targets.astype(np.float64)
        wide = losses._replace(targets=targets, weights=None if weights is None else weights.astype(np.float64))
        rule = self.rule._replace(states=tuple(state.astype(np.float64) for state in self.rule.states))
        x, parameters, gradient = (a.astype(np.float64) for a in (self.x, self.parameters, self.gradient))
        return self._replace(x=x, losses=wide, parameters=parameters, gradient=gradient, rule=rule)

    def steps(self) -> Iterator[Case]:
        """Yield a call for each step, all with the arrays of this one."""
        for step, batch in enumerate(self.options.batches(len(self.rows))):
            seeds = self.options.seeds
            yield self._replace(
                rows=self.rows[batch],
                losses=self.losses.of_rows(batch),
                rule=self.rule._replace(n_before=self.rule.n_before + step),
                options=self.options._replace(seeds=None if seeds is None else seeds[step : step + 1]),
            )


@st.composite
def cases(
    draw: Any, rule: str, losses: Sequence[str] = ALL_LOSSES, activations_in_float32: Sequence[str] = ACTIVATIONS
) -> Case:
    """Draw a call with an update rule, with few or no zeros in the samples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    stack, n_parameters = draw(stacks(rng, activations_in_float32 if dtype == np.float32 else ACTIVATIONS))
    batch_size = draw(st.sampled_from(BATCH_SIZES))
    n_rows = draw(st.integers(0, 2)) * batch_size + draw(st.integers(1, batch_size))
    parameters = drawn_parameters(rng, stack, n_parameters, dtype)
    options = draw(options_of_steps(rng, batch_size, -(-n_rows // batch_size), len(stack.layers)))
    n_samples = draw(st.integers(1, 2 * n_rows))
    x = normals(rng, (n_samples, stack.n_inputs), dtype)
    x[rng.random(x.shape) < draw(st.sampled_from([0, 0.8]))] = 0
    return Case(
        x,
        rng.integers(0, n_samples, n_rows),
        draw(
            losses_of_rows(rng, draw(st.sampled_from(losses)), n_rows, batch_size, stack.layers[-1].n_outputs, dtype)
        ),
        stack,
        parameters,
        normals(rng, n_parameters, dtype),
        draw(rules(rng, rule, stack, parameters)),
        options,
    )


@st.composite
def whole_cases(draw: Any, rule: str) -> Case:
    """Draw a single step that needs no rounding."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    stack, n_parameters = draw(stacks(rng, ["identity", "relu"], last_widths=POWERS, drop_rates=[0.5], most_dense=2))
    n_rows, n_samples = draw(st.sampled_from(POWERS)), draw(st.integers(1, 70))
    n_outputs = stack.layers[-1].n_outputs
    weights = draw(st.sampled_from([None, rng.permutation(np.resize([0, 2], n_rows)).astype(dtype)]))
    rule_and_numbers = draw(rules(rng, rule, stack, np.zeros(n_parameters, dtype)))
    options = StepOptions(
        n_rows, draw(st.sampled_from([0.0, 0.5])), draw(st.sampled_from([0.0, 2.0])), draw(st.booleans()),
        draw(st.sampled_from([np.inf, 0.25])), seeds=rng.integers(0, 2**63, (1, len(stack.layers))),
    )  # fmt: skip
    return Case(
        integers(rng, (n_samples, stack.n_inputs), dtype) // 2,
        rng.integers(0, n_samples, n_rows),
        RowLosses(
            draw(st.sampled_from(["squared_error", "huber"])), integers(rng, (n_rows, n_outputs), dtype), weights
        ),
        stack,
        integers(rng, n_parameters, dtype) // 4,
        integers(rng, n_parameters, dtype),
        rule_and_numbers._replace(states=tuple(integers(rng, n_parameters, dtype) for _ in rule_and_numbers.states)),
        options,
    )


@st.composite
def stacks(
    draw: Any,
    rng: np.random.Generator,
    activations: Sequence[str],
    last_widths: Sequence[int] = WIDTHS,
    drop_rates: Sequence[float] = RATES,
    most_dense: int = 4,
) -> tuple[Stack, int]:
    """Draw dense layers, at least one, dropout layers anywhere, and where the parameters are.

    Half of them have one hidden layer and no dropout, for which there is a kernel of its own.
    """
    has_one_hidden_layer = most_dense > 1 and draw(st.booleans())
    n_dense = 2 if has_one_hidden_layer else draw(st.integers(1, most_dense))
    n_inputs = draw(st.sampled_from(WIDTHS))
    layers, width = [], n_inputs
    for i in range(n_dense + 1):
        rates = [] if has_one_hidden_layer else draw(st.lists(st.sampled_from(drop_rates), max_size=2))
        layers += [StackLayer(width, drop_rate=rate) for rate in rates]
        if i < n_dense:
            width = draw(st.sampled_from(last_widths if i == n_dense - 1 else WIDTHS))
            activation, factor = draw(st.sampled_from(activations)), draw(st.sampled_from([1.0, 1.0, 0.5, 0.0]))
            bias_at = draw(st.sampled_from([0, None]))
            layers.append(StackLayer(width, activation, 0, bias_at, learning_rate_factor=factor))
    return placed(rng, Stack(n_inputs, tuple(layers)))


def placed(rng: np.random.Generator, stack: Stack) -> tuple[Stack, int]:
    """Put the parameters of all layers into a vector, in any order and with other numbers between them."""
    layers, sizes = list(stack.layers), []
    width = stack.n_inputs
    for i, layer in enumerate(layers):
        if layer.weights_at is not None:
            sizes.append((i, "weights_at", width * layer.n_outputs))
        if layer.bias_at is not None:
            sizes.append((i, "bias_at", layer.n_outputs))
        width = layer.n_outputs
    end = int(rng.integers(0, 3))
    for number in rng.permutation(len(sizes)).tolist():
        i, name, size = sizes[number]
        layers[i] = layers[i]._replace(**{name: end})
        end += size + int(rng.integers(0, 3))
    return Stack(stack.n_inputs, tuple(layers)), end


def drawn_parameters(rng: np.random.Generator, stack: Stack, n_parameters: int, dtype: Any) -> NDArray[Any]:
    """Draw weights whose outputs are about half as large as their inputs, and small biases."""
    parameters = normals(rng, n_parameters, dtype)
    for _, array, is_bias in stack.tensors(parameters):
        array /= parameters.dtype.type(8 if is_bias else 2 * np.sqrt(len(array)))
    return parameters


@st.composite
def losses_of_rows(
    draw: Any, rng: np.random.Generator, name: str, n_rows: int, batch_size: int, n_outputs: int, dtype: Any
) -> RowLosses:
    """Draw targets and weights of a loss."""
    weighted = draw(st.sampled_from(WEIGHTS))
    weights = None
    if weighted != "none":
        weights = rng.integers(0, 4, n_rows).astype(dtype) / dtype(2)
        weights[: 0 if weighted == "some" else batch_size] = 0
    factors = {name: draw(st.sampled_from([1.0, 1.0, 0.75])) for name in ("gradient_factor", "value_factor")}
    if name == SOFTMAX_CROSS_ENTROPY:
        smoothing = draw(st.sampled_from([0.0, 0.25]))
        return RowLosses(name, rng.integers(0, n_outputs, n_rows), weights, label_smoothing=smoothing, **factors)
    return RowLosses(name, rng.random((n_rows, n_outputs)).astype(dtype), weights, delta=0.375, **factors)


@st.composite
def rules(draw: Any, rng: np.random.Generator, name: str, stack: Stack, parameters: NDArray[Any]) -> Rule:
    """Draw the numbers and the states of an update rule."""
    numbers = {number: draw(st.sampled_from(values)) for number, values in NUMBERS[name].items()}
    return rule_with(rng, name, numbers, stack, parameters)._replace(n_before=draw(st.sampled_from([0, 3])))


def rule_with(
    rng: np.random.Generator, name: str, numbers: dict[str, Any], stack: Stack, parameters: NDArray[Any]
) -> Rule:
    """Draw the states of an update rule."""
    if name == "rmsprop_tensor":
        return Rule(name, RATE, numbers, (rng.random(len(list(stack.tensors(parameters)))),), 0)
    states = tuple(rng.random(parameters.size).astype(parameters.dtype) / 4 for _ in range(STATES[name]))
    return Rule(name, RATE, numbers, states, 0)


@st.composite
def options_of_steps(
    draw: Any, rng: np.random.Generator, batch_size: int, n_steps: int, n_layers: int
) -> StepOptions:
    """Draw penalties, bounds and seeds."""
    return StepOptions(
        batch_size,
        draw(st.sampled_from([0.0, 0.125])),
        draw(st.sampled_from([0.0, 0.25])),
        draw(st.booleans()),
        draw(st.sampled_from([np.inf, np.inf, 0.03])),
        draw(st.sampled_from([np.inf, np.inf, 0.3])),
        rng.integers(0, 2**63, (n_steps, n_layers)),
    )


def plain_case(
    rng: np.random.Generator, n_inputs: int, layers: Sequence[StackLayer], n_rows: int, dtype: Any
) -> Case:
    """Make a call of gradient descent on the squared error, with all rows in one batch."""
    stack, n_parameters = placed(rng, Stack(n_inputs, tuple(layers)))
    return Case(
        normals(rng, (n_rows, n_inputs), dtype),
        rng.permutation(n_rows),
        RowLosses("squared_error", normals(rng, (n_rows, layers[-1].n_outputs), dtype)),
        stack,
        drawn_parameters(rng, stack, n_parameters, dtype),
        normals(rng, n_parameters, dtype),
        Rule("sgd", RATE, {}, (), 0),
        StepOptions(n_rows),
    )
