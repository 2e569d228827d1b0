"""Losses, gradients of networks and optimizers are those of JAX and optax."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from networks import assert_close, each_backend, each_dtype
from processes import output_of
from tolerances import ELEMENT_RATIO, PRODUCT_RATIO, assert_elements_close

from fastfnn import SGD, Adam, AdamW, Dense, Network, RMSprop, get_backend
from fastfnn.losses import BinaryCrossEntropy, Huber, MeanSquaredError, Poisson, SoftmaxCrossEntropy


def draw(seed, *shapes):
    """Draw numbers that float32 holds: the answers, in float64, are then right for both dtypes."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32).astype(np.float64) for shape in shapes]


CLASSES = np.arange(12) % 3

OUTPUTS, NUMBERS = draw(1, (12, 3), (12, 3))
SHARES = np.abs(NUMBERS) / (1 + 2.0 ** np.ceil(np.log2(np.abs(NUMBERS).max())))

# Ours, the targets, and a loss's own arguments.
LOSSES = {
    "softmax_cross_entropy": (SoftmaxCrossEntropy(), CLASSES, ()),
    "class weights": (SoftmaxCrossEntropy(class_weight=[0.5, 2, 0.25]), CLASSES, ((0.5, 2, 0.25),)),
    "label smoothing": (SoftmaxCrossEntropy(label_smoothing=0.25), CLASSES, (0.25,)),
    "mean_squared_error": (MeanSquaredError(), NUMBERS, ()),
    "huber": (Huber(delta=0.5), NUMBERS, (0.5,)),
    "binary_cross_entropy": (BinaryCrossEntropy(), SHARES.astype(np.float32).astype(np.float64), ()),
    "poisson": (Poisson(), np.floor(4 * np.abs(NUMBERS)), ()),
}

# Each activation stands once in each place.
ACTIVATIONS = ["identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus"]
NETWORKS = [tuple((2 * ACTIVATIONS)[first : first + 3]) for first in range(len(ACTIVATIONS))]
PENALTIES = [(0.0, 0.0), (0.3, 0.0), (0.3, 0.7)]
W1, b1, W2, W3, b3, X = draw(2, (4, 5), 5, (5, 6), (6, 3), 3, (12, 4))
LAYERS = [(W1, b1), (W2, None), (W3, b3)]

# Ours, and optax's name and options. Epsilons so large show where they are added.
OPTIMIZERS = {
    "sgd": (
        lambda: SGD(0.25),
        "sgd",
        {"learning_rate": 0.25},
    ),
    "momentum": (
        lambda: SGD(0.25, momentum=0.9),
        "sgd",
        {"learning_rate": 0.25, "momentum": 0.9},
    ),
    "nesterov": (
        lambda: SGD(0.25, momentum=0.9, nesterov=True),
        "sgd",
        {"learning_rate": 0.25, "momentum": 0.9, "nesterov": True},
    ),
    "rmsprop": (
        lambda: RMSprop(0.25, rho=0.8, epsilon=0.01, initial=0.5),
        "rmsprop",
        {"learning_rate": 0.25, "decay": 0.8, "eps": 0.01, "initial_scale": 0.5, "eps_in_sqrt": True},
    ),
    "adam": (
        lambda: Adam(0.25, beta1=0.8, beta2=0.95, epsilon=0.01),
        "adam",
        {"learning_rate": 0.25, "b1": 0.8, "b2": 0.95, "eps": 0.01, "eps_root": 0.0},
    ),
    "adamw": (
        lambda: AdamW(0.25, beta1=0.8, beta2=0.95, epsilon=0.01, weight_decay=0.1),
        "adamw",
        {"learning_rate": 0.25, "b1": 0.8, "b2": 0.95, "eps": 0.01, "eps_root": 0.0, "weight_decay": 0.1},
    ),
}
SHAPES = [(4, 3), (3,), (70, 9)]
PARAMETERS = draw(3, *SHAPES)
GRADIENTS = [
    [size * gradient for size, gradient in zip((1, 8, 0.125), draw(seed, *SHAPES), strict=True)]
    for seed in range(10, 20)
]


def questions():
    """Name a function of jax_oracle.py and its arguments for every case."""
    for name, (_, targets, arguments) in LOSSES.items():
        yield name, ("loss_and_gradient", name, OUTPUTS, targets, *arguments)
    yield "gelu", ("activation_and_gradient", "gelu", OUTPUTS, NUMBERS)
    for activations, factors in itertools.product(NETWORKS, PENALTIES):
        arguments = (activations, LAYERS, X, CLASSES, *factors)
        yield (activations, factors), ("network_loss_and_gradients", "softmax_cross_entropy", *arguments)
    for name, (_, theirs, options) in OPTIMIZERS.items():
        yield name, ("steps", theirs, options, PARAMETERS, GRADIENTS)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Ask everything of one process, which takes seconds to start and to compile."""
    folder = tmp_path_factory.mktemp("jax")
    (folder / "questions").write_bytes(pickle.dumps(dict(questions())))
    environment = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "true", "JAX_ORACLE_FOLDER": str(folder)}
    output_of(Path(__file__).with_name("jax_oracle.py"), environment)
    return pickle.loads((folder / "answers").read_bytes())


@each_backend
@each_dtype
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, backend, dtype, answers):
    ours, y, _ = LOSSES[name]
    targets = ours.targets(y, *OUTPUTS.shape, np.dtype(dtype))
    outputs, scale = OUTPUTS.astype(dtype), 1 / targets.total_weight
    loss, gradient = ours.loss_and_gradient(get_backend(backend), outputs, targets, scale, None)
    expected_loss, expected = answers[name]
    assert loss == pytest.approx(float(expected_loss), rel=ELEMENT_RATIO[gradient.dtype] * float(np.finfo(dtype).eps))
    assert_elements_close(gradient, expected, scale=np.abs(expected).max())


@each_backend
@each_dtype
def test_gelu(backend, dtype, answers):
    kernels, z = get_backend(backend), OUTPUTS.astype(dtype)
    y, gradient = answers["gelu"]
    assert_elements_close(kernels.gelu_forward(z), y, scale=np.abs(OUTPUTS))
    assert_elements_close(kernels.gelu_gradient(z, NUMBERS.astype(dtype)), gradient, scale=2 * np.abs(NUMBERS))


@each_backend
@each_dtype
@pytest.mark.parametrize("factors", PENALTIES, ids=lambda factors: "l2={},{}".format(*factors))
@pytest.mark.parametrize("activations", NETWORKS, ids=",".join)
def test_gradients_of_networks(activations, factors, backend, dtype, answers):
    net = network(activations, backend, dtype)
    loss, gradients = net.loss_and_gradients(X.astype(dtype), CLASSES, l2=factors[0], l2_bias=factors[1])
    expected_loss, expected = answers[activations, factors]
    tolerance = len(LAYERS) * PRODUCT_RATIO * float(np.finfo(dtype).eps)
    assert loss == pytest.approx(float(expected_loss), rel=tolerance)
    for gradient, (weights, bias) in zip(gradients, expected, strict=True):
        assert_close(gradient.weights, weights, tolerance)
        assert_close(gradient.bias, bias, tolerance)


def network(activations, backend, dtype):
    dense = [
        Dense(*weights.shape, activation, use_bias=bias is not None)
        for activation, (weights, bias) in zip(activations, LAYERS, strict=True)
    ]
    net = Network(dense, backend, dtype)
    for layer, (weights, bias) in zip(dense, LAYERS, strict=True):
        layer.weights[...] = weights
        if bias is not None:
            layer.bias[...] = bias
    return net


@each_backend
@each_dtype
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_optimizers(name, backend, dtype, answers):
    optimizer = OPTIMIZERS[name][0]()
    parameters = [array.astype(dtype) for array in PARAMETERS]
    passed = [np.abs(array) for array in PARAMETERS]  # a rounding is as large as the numbers on the way
    ways = itertools.pairwise([PARAMETERS, *answers[name]])
    for gradients, (before, after) in zip(GRADIENTS, ways, strict=True):
        optimizer.step(get_backend(backend), parameters, [array.astype(dtype) for array in gradients])
        for index, parameter in enumerate(parameters):
            passed[index] += np.abs(after[index] - before[index])
            assert_elements_close(parameter, after[index], scale=passed[index])
