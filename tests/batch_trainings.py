"""Trainings in mini-batches that a kernel computes many steps of: networks, data, options, and what they leave."""

import numpy as np
import pytest
from hypothesis import strategies as st
from networks import bytes_of
from scipy import sparse

from fastfnn import SGD, Adam, AdamW, Dense, Dropout, Network, RMSprop
from fastfnn.execution import thresholds
from fastfnn.execution.plan import Steps
from fastfnn.losses import BinaryCrossEntropy, Huber, MeanSquaredError, Poisson, SoftmaxCrossEntropy

N_ROWS, N_INPUTS, N_OUTPUTS = 23, 6, 3

OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.05, 0.9),
    "nesterov": lambda: SGD(0.05, 0.9, nesterov=True),
    "velocity of steps": lambda: SGD(0.05, 0.5, velocity="steps"),
    "rmsprop": lambda: RMSprop(0.01, reset_every=3),
    "rmsprop of tensors": lambda: RMSprop(0.05, 0.9, 1e-3, "tensor", 1.0, reset_every=4),
    "rmsprop without a reset": lambda: RMSprop(0.05, 0.9, 1e-3, "tensor"),
    "adam": lambda: Adam(0.02),
    "adam, epsilon hat": lambda: Adam(0.02, epsilon=1e-3, epsilon_hat=True),
    "adamw": lambda: AdamW(0.02, weight_decay=0.1),
}
LOSSES = {
    "softmax": SoftmaxCrossEntropy,
    "smoothed": lambda: SoftmaxCrossEntropy(0.1),
    "weighted classes": lambda: SoftmaxCrossEntropy(class_weight=[1.0, 0.5, 2.0]),
    "binary": BinaryCrossEntropy,
    "squares": MeanSquaredError,
    "huber": lambda: Huber(0.25),
    "poisson": Poisson,
}
INPUTS = ("floats", "bytes", "columns in order", "packed floats", "packed bytes", "sparse array", "mostly zeros")
SHUFFLES = (True, False, lambda n: np.arange(n)[::-2], lambda n: [3, 1, 4, 1, 5, 9, 2, 6, 5])


def inputs(kind, dtype):
    """Return samples and `input_format`."""
    rng = np.random.default_rng(5)
    floats = rng.standard_normal((N_ROWS, N_INPUTS)).astype(dtype)
    zeros = np.where(rng.random((N_ROWS, N_INPUTS)) < 0.3, 8 * np.abs(floats), 0)
    return {
        "floats": (floats, "auto"),
        "bytes": (np.minimum(40 * np.abs(floats) + 1, 255).astype(np.uint8), "auto"),
        "columns in order": (np.asfortranarray(floats), "auto"),
        "packed floats": (floats, "sparse"),
        "packed bytes": (zeros.astype(np.uint8), "sparse"),
        "sparse array": (sparse.csr_array(zeros), "auto"),
        "mostly zeros": (zeros.astype(dtype), "sparse"),
    }[kind]


def targets(loss):
    """Return the targets that a loss takes."""
    rng = np.random.default_rng(6)
    if isinstance(loss, SoftmaxCrossEntropy):
        return rng.integers(0, N_OUTPUTS, N_ROWS)
    numbers = rng.integers(0, 2, (N_ROWS, N_OUTPUTS)).astype(float)
    return numbers if isinstance(loss, BinaryCrossEntropy) else numbers + rng.random(numbers.shape)


def layers_of(case):
    """Return the layers of a case."""
    hidden = [Dropout(case["drop_rate"])] if case["drop_rate"] else []
    return [
        Dense(N_INPUTS, 9, case["activation"]),
        *hidden,
        Dense(9, 5, "tanh", use_bias=False, learning_rate_factor=case["factor"]),
        Dense(5, N_OUTPUTS),
    ]


@st.composite
def cases(draw, backends=("numpy", "numba"), dtypes=("float32", "float64")):
    """Draw a training in mini-batches that a kernel computes many steps of."""
    one_of = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    optimizer, batch_size = one_of(*OPTIMIZERS), one_of(1, 4, 7, 9, 23, 30)
    l2 = one_of(0.0, 0.25)
    options = {
        "epochs": 2,
        "batch_size": batch_size,
        "shuffle": one_of(*SHUFFLES),
        "drop_last": batch_size <= 9 and draw(st.booleans()),
        "sample_weight": one_of(None, np.linspace(0, 2, N_ROWS), np.arange(N_ROWS) % 8 == 1),
        # Plain SGD alone has kernels of its own.
        "l2": 0.25 if optimizer == "sgd" else l2,
        "l2_bias": one_of(0.0, 0.125),
        "l2_added_to": one_of("mean", "sum"),
        "average_by": one_of("weight", "rows"),
        "clip_norm": one_of(None, 0.5),
        "clip_value": one_of(None, 0.05),
    }
    return {
        "backend": one_of(*backends),
        "dtype": one_of(*dtypes),
        "optimizer": optimizer,
        "loss": one_of(*LOSSES),
        "inputs": one_of(*INPUTS),
        "activation": one_of("identity", "relu", "sigmoid", "tanh"),
        "drop_rate": one_of(0.0, 0.25),
        "factor": one_of(1.0, 0.0, 0.5),
        "operations_of_call": one_of(10**4, 10**5, 4 * 10**9),
        "options": options,
    }


def built(case):
    """Return the network, the optimizer, the data and the options of a case."""
    loss = LOSSES[case["loss"]]()
    X, input_format = inputs(case["inputs"], case["dtype"])
    net = Network(layers_of(case), case["backend"], case["dtype"], 4, loss=loss, input_scale=0.0625)
    return net, OPTIMIZERS[case["optimizer"]](), (X, targets(loss)), case["options"] | {"input_format": input_format}


def trained(case, make=None, steps=Steps.BATCHES, **further):
    """Return network, optimizer and history of a case; `make` turns the optimizer into another."""
    net, optimizer, data, options = built(case)
    optimizer = optimizer if make is None else make(optimizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "OPERATIONS_OF_CALL", case["operations_of_call"])
        assert net.plan(*data, optimizer, **options, **further).steps is steps
        return net, optimizer, net.fit(*data, optimizer, **options, **further)


def left_by(net, optimizer, history):
    """Return everything that a training leaves, numbers as bytes."""
    return {
        "parameters": bytes_of(net),
        "gradients": [
            None if array is None else array.tobytes()
            for layer in net.layers
            for array in (layer.gradient.weights, layer.gradient.bias)
        ],
        "random": net.rng.bit_generator.state,
        "n_steps": optimizer.n_steps,
        "state": {name: [np.asarray(value).tobytes() for value in state] for name, state in optimizer.state.items()},
        "last steps": repr(getattr(optimizer, "last_steps", None)),
        "history": [{name: value for name, value in record.items() if name != "seconds"} for record in history],
    }


def of_ones_own(optimizer):
    """Return the optimizer as one of a class of a user's own, which no kernel of many steps knows."""
    kind = type(optimizer)
    optimizer.__class__ = type(f"Own{kind.__name__}", (kind,), {})
    return optimizer


# Some of all that can be drawn, by name.
SOME = {
    "backend": "numpy",
    "dtype": "float64",
    "optimizer": "adam",
    "loss": "softmax",
    "inputs": "floats",
    "activation": "relu",
    "drop_rate": 0.25,
    "factor": 0.5,
    "operations_of_call": 10**5,
    "options": {"epochs": 3, "batch_size": 4, "l2": 0.1, "clip_norm": 1.0},
}
