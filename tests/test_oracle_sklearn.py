"""Losses and their gradients are those of scikit-learn, and so are the steps of its optimizers.

`sklearn._loss` is private. It is used because no public function of scikit-learn returns the gradient of a loss; its
linear models and boosted trees minimise these. The optimizers of its perceptrons are private, too.
"""

import numpy as np
import pytest
from arrays import normals
from networks import assert_close
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss, HalfPoissonLoss, HalfSquaredError
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from tolerances import ELEMENT_RATIO, assert_elements_close

from fastfnn import SGD, Adam


def logits_and_labels(rng, shape, dtype):
    return 3 * normals(rng, shape, dtype), rng.integers(0, shape[1], shape[0])


# By the kernel's name scikit-learn's losses of single numbers, and how many times theirs ours is.
LOSSES = {
    "binary_cross_entropy": (HalfBinomialLoss(), 1),
    "poisson": (HalfPoissonLoss(), 1),
    "squared_error": (HalfSquaredError(), 2),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_single_numbers(kernels, name, weighted, dtype, rng):
    oracle, times = LOSSES[name]
    outputs, targets = 2 * normals(rng, (500, 1), dtype), rng.integers(0, 2, (500, 1)).astype(dtype)
    weights = rng.random(500).astype(dtype) if weighted else None
    given = (array.astype(np.float64).ravel() for array in (targets, outputs))
    wide_weights = None if weights is None else weights.astype(np.float64)
    losses, expected = oracle.loss_gradient(*given, sample_weight=wide_weights)
    loss, gradient = kernels.elementwise_loss(outputs, targets, name, 1.0, weights)
    assert loss == pytest.approx(times * losses.sum(), rel=ELEMENT_RATIO[dtype] * float(np.finfo(dtype).eps))
    assert_elements_close(gradient[:, 0], times * expected, scale=3 + np.exp(outputs[:, 0]))


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (700, 10), (70, 300)])
def test_mean_of_losses_of_classes(kernels, shape, dtype, rng):
    outputs, targets = logits_and_labels(rng, shape, dtype)
    oracle = HalfMultinomialLoss(n_classes=shape[1])  # "half" halves nothing here
    expected_losses, expected = oracle.loss_gradient(targets.astype(np.float64), outputs.astype(np.float64))
    loss, gradient = kernels.softmax_cross_entropy(outputs, targets)
    assert loss == pytest.approx(expected_losses.mean(), rel=ELEMENT_RATIO[dtype] * float(np.finfo(dtype).eps))
    # An exponential is as far off as its argument, which is of the size of the outputs.
    assert_elements_close(gradient, expected / len(outputs), scale=np.abs(outputs).max() / len(outputs))


def assert_same_steps(kernels, rng, ours, theirs, rates):
    """Compare after each step; scikit-learn's optimizers update the parameters that they were made with."""
    shapes = [(40, 9), (9,), (9, 3), (3,)]
    parameters = [normals(rng, shape, np.float64) for shape in shapes]
    others = [parameter.copy() for parameter in parameters]
    theirs = theirs(others)
    for rate in rates:
        ours.learning_rate = theirs.learning_rate = rate
        gradients = [normals(rng, shape, np.float64) for shape in shapes]
        ours.step(kernels, parameters, gradients)
        theirs.update_params(others, gradients)
        for parameter, other in zip(parameters, others, strict=True):
            assert_close(parameter, other, 1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_steps_of_gradient_descent(kernels, rng, momentum, nesterov):
    ours = SGD(0.1, momentum, nesterov and momentum > 0, velocity="steps")
    rates = [0.2, 0.2, 0.0, *(0.3 / (t + 1) ** 0.5 for t in range(20))]
    assert_same_steps(kernels, rng, ours, lambda p: SGDOptimizer(p, 0.1, "constant", momentum, nesterov), rates)


@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
def test_steps_of_adam(kernels, rng, epsilon):
    ours = Adam(0.01, 0.8, 0.99, epsilon, epsilon_hat=True)
    assert_same_steps(kernels, rng, ours, lambda p: AdamOptimizer(p, 0.01, 0.8, 0.99, epsilon), [0.01] * 20)
