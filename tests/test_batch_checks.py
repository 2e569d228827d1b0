"""Bad arguments of `train_batches`: refused before anything is written, with the same words by both backends."""

import inspect

import numpy as np
import pytest
from arrays import Unchanged, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.batches import NUMBERS, STATES, RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.checks import batches

F4, F8 = np.float32, np.float64
N_ROWS, N_PARAMETERS = 6, 30


def zeros(*shape, dtype=F4):
    return np.zeros(shape, dtype)


def valid():
    """Return arguments that both backends take: layers with 4 inputs, 3 units, dropout and 2 outputs."""
    layers = (StackLayer(3, "relu", 0, 12), StackLayer(3, drop_rate=0.5), StackLayer(2, "identity", 15, 21))
    numbers = {"beta1": 0.5, "beta2": 0.5, "epsilon": 1.0, "weight_decay": 0.0, "epsilon_hat": False}
    return {
        "x": zeros(5, 4),
        "rows": np.arange(N_ROWS) % 5,
        "losses": RowLosses("softmax_cross_entropy", np.arange(N_ROWS) % 2, zeros(N_ROWS)),
        "stack": Stack(4, layers),
        "parameters": zeros(N_PARAMETERS),
        "gradient": zeros(N_PARAMETERS),
        "rule": Rule("adamw", 0.5, numbers, (zeros(N_PARAMETERS), zeros(N_PARAMETERS)), 0),
        "options": StepOptions(4, seeds=np.ones((2, 3), np.int64)),
    }


def changed(arguments, name, value):
    """Replace an argument, some of its fields, or some of those of a layer whose number is given."""
    value = value(arguments) if inspect.isfunction(value) else value
    if isinstance(name, int):
        layers = list(arguments["stack"].layers)
        layers[name] = layers[name]._replace(**value)
        return arguments | {"stack": Stack(4, tuple(layers))}
    return arguments | {name: arguments[name]._replace(**value) if isinstance(value, dict) else value}


def arrays_of(arguments):
    """Yield the arrays in arguments and their fields."""
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            yield argument
        elif isinstance(argument, tuple):
            yield from arrays_of(argument)


HUBER = {"name": "huber", "targets": zeros(N_ROWS, 2)}
OF_TENSORS = {"name": "rmsprop_tensor", "numbers": {"rho": 0.5, "epsilon": 1.0}}
LABELS = np.arange(N_ROWS) % 2
SEEDS = np.ones((2, 3), np.int64)

# An argument, its value or some of its fields, the error, and what it says.
BAD = [
    ("losses", None, TypeError, "losses must be a fastfnn_kernels.batches.RowLosses; got NoneType"),
    ("stack", (4, ()), TypeError, "stack must be a fastfnn_kernels.batches.Stack; got tuple"),
    ("rule", "sgd", TypeError, "rule must be a fastfnn_kernels.batches.Rule; got str"),
    ("options", 4, TypeError, "options must be a fastfnn_kernels.batches.StepOptions; got int"),
    ("x", [[1.0]], TypeError, "x must be a NumPy array; got list"),
    ("x", zeros(5, 4, dtype=np.uint8), TypeError, "x must be float32 or float64; got uint8"),
    ("x", zeros(5, 4, dtype=F8), TypeError, "losses.weights must be float64 as the first argument is"),
    ("x", zeros(4), ValueError, "x must have 2 dimensions; got shape (4,)"),
    ("x", zeros(5, 3), ValueError, "x must have shape (any, 4); got (5, 3)"),
    ("x", zeros(4, 5).T, ValueError, "x must be C-contiguous"),
    ("x", zeros(0, 4), ValueError, "rows must lie from 0 to -1, the rows of x; got 0 to 4"),
    ("rows", list(range(N_ROWS)), TypeError, "rows must be a NumPy array; got list"),
    ("rows", LABELS.astype(np.int32), TypeError, "rows must be int64; got int32"),
    ("rows", LABELS.reshape(2, 3), ValueError, "rows must have 1 dimension; got shape (2, 3)"),
    ("rows", np.arange(2 * N_ROWS)[::2], ValueError, "rows must be C-contiguous"),
    ("rows", LABELS + 4, ValueError, "rows must lie from 0 to 4, the rows of x; got 4 to 5"),
    ("rows", LABELS - 1, ValueError, "rows must lie from 0 to 4, the rows of x; got -1 to 0"),
    ("losses", {"name": "hinge"}, ValueError, "losses.name must be one of softmax_cross_entropy, squared_error, "),
    ("losses", {"name": None}, ValueError, "got None"),
    ("losses", {"targets": [0] * N_ROWS}, TypeError, "losses.targets must be a NumPy array; got list"),
    ("losses", {"targets": LABELS.astype(F4)}, TypeError, "losses.targets must be int64; got float32"),
    ("losses", {"targets": LABELS[1:]}, ValueError, "losses.targets must have shape (6,), one a row; got (5,)"),
    ("losses", {"targets": LABELS + 1}, ValueError, "losses.targets must lie from 0 to 1; got 1 to 2"),
    ("losses", {"targets": LABELS - 1}, ValueError, "losses.targets must lie from 0 to 1; got -1 to 0"),
    ("losses", {"name": "huber"}, TypeError, "losses.targets must be float32 or float64; got int64"),
    ("losses", HUBER | {"targets": zeros(N_ROWS, 3)}, ValueError, "losses.targets must have shape (6, 2); got (6, "),
    ("losses", HUBER | {"targets": zeros(5, 2)}, ValueError, "losses.targets must have shape (6, 2); got (5, 2)"),
    ("losses", HUBER | {"targets": zeros(6, 2, dtype=F8)}, TypeError, "losses.targets must be float32 as the first"),
    ("losses", HUBER | {"targets": zeros(2, 6).T}, ValueError, "losses.targets must be C-contiguous"),
    ("losses", {"weights": zeros(5)}, ValueError, "losses.weights must have shape (6); got (5,)"),
    ("losses", {"weights": [1.0] * N_ROWS}, TypeError, "losses.weights must be a NumPy array; got list"),
    ("losses", {"label_smoothing": 1.0}, ValueError, "losses.label_smoothing must lie from 0 to below 1; got 1.0"),
    ("losses", {"delta": 0.0}, ValueError, "losses.delta must be a finite number above 0; got 0.0"),
    ("losses", {"delta": np.inf}, ValueError, "losses.delta must be a finite number above 0; got inf"),
    ("stack", {"n_inputs": 5}, ValueError, "begin at 12, before the weights of stack.layers[0] end at 15"),
    ("stack", {"n_inputs": -1}, ValueError, "stack.n_inputs must be a whole number from 0 up; got -1"),
    ("stack", {"n_inputs": 4.5}, ValueError, "stack.n_inputs must be a whole number from 0 up; got 4.5"),
    ("stack", {"layers": ()}, ValueError, "stack.layers must contain a layer with weights; got ()"),
    ("stack", {"layers": (StackLayer(4),)}, ValueError, "stack.layers must contain a layer with weights"),
    ("stack", {"layers": [StackLayer(4)]}, TypeError, "stack.layers must be a tuple of StackLayers; got list"),
    ("stack", {"layers": (3,)}, TypeError, "stack.layers[0] must be a StackLayer; got int"),
    (0, {"activation": "gelu"}, ValueError, "activation must be one of identity, relu, sigmoid, tanh; got 'gelu'"),
    (1, {"n_outputs": 4}, ValueError, "stack.layers[1].n_outputs must be 3, as the layer has no weights; got 4"),
    (0, {"n_outputs": -3}, ValueError, "stack.layers[0].n_outputs must be a whole number from 0 up; got -3"),
    (0, {"n_outputs": 3.5}, ValueError, "stack.layers[0].n_outputs must be a whole number from 0 up; got 3.5"),
    (0, {"weights_at": -1}, ValueError, "stack.layers[0].weights_at must be a whole number from 0 up; got -1"),
    (0, {"bias_at": -1}, ValueError, "stack.layers[0].bias_at must be a whole number from 0 up; got -1"),
    (0, {"bias_at": 11}, ValueError, "begin at 11, before the weights of stack.layers[0] end at 12: parameters must"),
    (0, {"drop_rate": 0.5}, ValueError, "stack.layers[0].drop_rate must be 0, as the layer has weights; got 0.5"),
    (0, {"learning_rate_factor": -1.0}, ValueError, "learning_rate_factor must be a finite number from 0 up; got -1"),
    (0, {"learning_rate_factor": np.nan}, ValueError, "must be a finite number from 0 up; got nan"),
    (1, {"drop_rate": 1.0}, ValueError, "stack.layers[1].drop_rate must lie from 0 to below 1; got 1.0"),
    (1, {"activation": "relu"}, ValueError, "stack.layers[1] must have neither a bias nor an activation"),
    (1, {"bias_at": 25}, ValueError, "stack.layers[1] must have neither a bias nor an activation"),
    (2, {"n_outputs": 0}, ValueError, "stack.layers must end with at least one output"),
    (2, {"bias_at": 29}, ValueError, "must have at least 31 numbers, where the layers' parameters end; got 30"),
    (2, {"weights_at": 26}, ValueError, "parameters must have at least 32 numbers"),
    (2, {"weights_at": 12}, ValueError, "before the bias of stack.layers[0] end at 15: parameters must not overlap"),
    ("parameters", [0.0] * 30, TypeError, "parameters must be a NumPy array; got list"),
    ("parameters", zeros(30, dtype=F8), TypeError, "parameters must be float32 as the first argument is"),
    ("parameters", zeros(30, 1), ValueError, "parameters must have 1 dimensions; got shape (30, 1)"),
    ("parameters", zeros(60)[::2], ValueError, "parameters must be C-contiguous"),
    ("parameters", zeros(22), ValueError, "parameters must have at least 23 numbers"),
    ("parameters", read_only(zeros(30)), ValueError, "parameters is written to, but is read-only"),
    ("parameters", lambda given: given["x"].reshape(-1), ValueError, "parameters shares memory with x"),
    ("losses", lambda given: RowLosses("huber", given["parameters"][:12].reshape(6, 2)), ValueError,
     "parameters shares memory with losses.targets"),
    ("losses", lambda given: {"weights": given["gradient"][:6]}, ValueError, "gradient shares memory with losses.w"),
    ("gradient", zeros(29), ValueError, "gradient must have shape (30); got (29,)"),
    ("gradient", zeros(30, dtype=F8), TypeError, "gradient must be float32 as the first argument is; got float64"),
    ("gradient", read_only(zeros(30)), ValueError, "gradient is written to, but is read-only"),
    ("gradient", lambda given: given["parameters"][:], ValueError, "gradient shares memory with parameters"),
    ("rule", {"name": "adam"}, ValueError, "rule.name must be one of sgd, momentum, rmsprop, adamw, rmsprop_tensor;"),
    ("rule", {"numbers": {"beta1": 0.5}}, ValueError,
     "rule.numbers of adamw must be beta1, beta2, epsilon, epsilon_hat, weight_decay; got beta1"),
    ("rule", {"numbers": {}}, ValueError, "; got none"),
    ("rule", {"name": "sgd"}, ValueError, "rule.numbers of sgd must be none; got beta1, beta2, epsilon"),
    ("rule", {"states": (zeros(30),)}, ValueError, "rule.states of adamw must have length 2; got 1"),
    ("rule", {"n_before": -1}, ValueError, "rule.n_before must be 0 or more; got -1"),
    ("rule", {"states": (zeros(30), zeros(29))}, ValueError, "rule.states[1] must have shape (30); got (29,)"),
    ("rule", {"states": (zeros(30), zeros(30, dtype=F8))}, TypeError, "rule.states[1] of adamw must be float32; got"),
    ("rule", {"states": (zeros(30), [0.0] * 30)}, TypeError, "rule.states[1] must be a NumPy array; got list"),
    ("rule", {"states": (zeros(60)[::2], zeros(30))}, ValueError, "rule.states[0] must be C-contiguous"),
    ("rule", {"states": (read_only(zeros(30)), zeros(30))}, ValueError, "rule.states[0] is written to, but is read"),
    ("rule", {"states": (np.zeros(30, F4),) * 2}, ValueError, "rule.states[1] shares memory with rule.states[0]"),
    ("rule", lambda given: {"states": (zeros(30), given["gradient"])}, ValueError, "[1] shares memory with gradient"),
    ("rule", OF_TENSORS, ValueError, "rule.states of rmsprop_tensor must have length 1; got 2"),
    ("rule", OF_TENSORS | {"states": (zeros(4),)}, TypeError, "rule.states[0] of rmsprop_tensor must be float64;"),
    ("rule", OF_TENSORS | {"states": (zeros(3, dtype=F8),)}, ValueError, "rule.states[0] must have shape (4);"),
    ("options", {"batch_size": 0}, ValueError, "options.batch_size must be a whole number from 1 up; got 0"),
    ("options", {"batch_size": 4.0}, ValueError, "options.batch_size must be a whole number from 1 up; got 4.0"),
    ("options", {"batch_size": 6}, ValueError, "options.seeds must have shape (1, 3), one a step and layer; got (2,"),
    ("options", {"clip_value": 0.0}, ValueError, "options.clip_value must be a number above 0; got 0.0"),
    ("options", {"clip_norm": np.nan}, ValueError, "options.clip_norm must be a number above 0; got nan"),
    ("options", {"seeds": None}, ValueError, "options.seeds must be given, as a layer drops inputs; got None"),
    ("options", {"seeds": SEEDS.astype(F8)}, TypeError, "options.seeds must be int64; got float64"),
    ("options", {"seeds": SEEDS[0]}, ValueError, "options.seeds must have 2 dimensions; got shape (3,)"),
    ("options", {"seeds": SEEDS[:, :2].copy()}, ValueError, "options.seeds must have shape (2, 3), one a step"),
    ("options", {"seeds": np.ones((3, 2), np.int64).T}, ValueError, "options.seeds must be C-contiguous"),
    ("options", {"seeds": -SEEDS}, ValueError, "options.seeds must lie from 0 to 2**63 - 1; got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error", "words"), BAD)
def test_bad_arguments_are_refused_alike(name, value, error, words):
    arguments = changed(valid(), name, value)
    unchanged = Unchanged(*arrays_of(arguments.values()))
    messages = []
    for kernels in (reference, jitted):
        with pytest.raises(error) as caught:
            kernels.train_batches(**arguments)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert words in messages[0]
    unchanged.check()


def test_the_arguments_without_a_change_are_taken(kernels):
    values, n_correct = kernels.train_batches(**valid())
    assert len(values) == len(n_correct) == 2


TAKEN = [
    ("options", {"batch_size": np.int64(4)}),
    ("options", {"batch_size": 10**12, "seeds": np.ones((1, 3), np.int64)}),
    ("options", {"clip_value": 1e-3, "clip_norm": np.inf}),
    (1, {"drop_rate": 0.0}),
    (0, {"learning_rate_factor": 0.0}),
    (0, {"n_outputs": np.int64(3)}),
    ("parameters", lambda given: zeros(31)[1:]),
    ("rule", lambda given: {"states": tuple(np.zeros((2, 30), F4))}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), TAKEN)
def test_unusual_arguments_are_taken(kernels, name, value):
    values, _ = kernels.train_batches(**changed(valid(), name, value))
    assert np.isfinite(values).all()


def test_seeds_are_only_needed_by_layers_that_drop(kernels):
    arguments = changed(changed(valid(), 1, {"drop_rate": 0.0}), "options", {"seeds": None})
    kernels.train_batches(**arguments)


@pytest.mark.parametrize("widths", [(0, 3, 2), (4, 0, 2)])
def test_layers_without_units_train_the_later_biases(kernels, widths):
    n_inputs, n_units, n_outputs = widths
    stack = Stack(n_inputs, (StackLayer(n_units, "relu", 0, 12), StackLayer(n_outputs, "identity", 15, 21)))
    arguments = valid() | {"stack": stack, "x": np.ones((5, n_inputs), F4), "options": StepOptions(4)}
    arguments["losses"] = RowLosses("softmax_cross_entropy", np.ones(N_ROWS, np.int64))
    kernels.train_batches(**arguments)
    bias = arguments["parameters"][21:23]
    assert bias[1] > 0 > bias[0]


def test_every_rule_has_its_numbers_and_states():
    assert NUMBERS.keys() == STATES.keys()


def test_a_stack_is_looked_at_once():
    batches._sizes_of.cache_clear()
    for _ in range(3):
        batches.train_batches(**valid())
    assert batches._sizes_of.cache_info().misses == 1
