"""Losses and their gradients are those of scikit-learn.

`sklearn._loss` is private. It is used because no public function of scikit-learn returns the gradient of a loss; its
linear models and boosted trees minimise these.
"""

import numpy as np
import pytest
from arrays import normals
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss, HalfPoissonLoss, HalfSquaredError
from tolerances import ELEMENT_RATIO, assert_elements_close


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
