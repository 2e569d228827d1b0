"""Losses and their gradients are those of scikit-learn.

`sklearn._loss` is private. It is used because no public function of scikit-learn returns the gradient of a loss; its
linear models and boosted trees minimise these.
"""

import numpy as np
import pytest
from arrays import normals
from sklearn._loss import HalfMultinomialLoss
from tolerances import ELEMENT_RATIO, assert_elements_close


def logits_and_labels(rng, shape, dtype):
    return 3 * normals(rng, shape, dtype), rng.integers(0, shape[1], shape[0])


# By the kernel's name: what it is given, and scikit-learn's losses of the rows, where "half" halves nothing.
LOSSES = {
    "softmax_cross_entropy": (logits_and_labels, lambda n_columns: HalfMultinomialLoss(n_classes=n_columns)),
}


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (700, 10), (70, 300)])
@pytest.mark.parametrize("name", LOSSES)
def test_mean_of_losses(kernels, name, shape, dtype, rng):
    draw, oracle = LOSSES[name]
    outputs, targets = draw(rng, shape, dtype)
    expected_losses, expected = oracle(shape[1]).loss_gradient(targets.astype(np.float64), outputs.astype(np.float64))
    loss, gradient = getattr(kernels, name)(outputs, targets)
    assert loss == pytest.approx(expected_losses.mean(), rel=ELEMENT_RATIO[dtype] * float(np.finfo(dtype).eps))
    # An exponential is as far off as its argument, which is of the size of the outputs.
    assert_elements_close(gradient, expected / len(outputs), scale=np.abs(outputs).max() / len(outputs))
