"""scikit-learn's MLPClassifier, and one `partial_fit` over the whole batch: one step of Adam in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from main_job import L2, N_CLASSES, N_HIDDEN, Samples, initial_parameters
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier


class FullBatch:
    """The main job's network, step by step; its output layer has a bias, and it updates by Adam."""

    def __init__(self, samples: Samples) -> None:
        self._X, self._y = samples.floats("float32"), samples.y
        n_rows = len(self._y)
        # Its penalty is divided by the number of samples.
        self._classifier = MLPClassifier(
            (N_HIDDEN,), solver="adam", alpha=L2 * n_rows, batch_size=n_rows, shuffle=False
        )
        self._classifier.partial_fit(self._X[:N_CLASSES], np.arange(N_CLASSES), classes=np.arange(N_CLASSES))
        self._write_initial_parameters()

    def step(self) -> float:
        """Update the parameters once, and return the loss before."""
        self._classifier.partial_fit(self._X, self._y)
        return float(self._classifier.loss_)

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        coefs, intercepts = self._classifier.coefs_, self._classifier.intercepts_
        return [coefs[0], intercepts[0], coefs[1]]

    def _write_initial_parameters(self) -> None:
        for parameter, drawn in zip(self.current_parameters(), initial_parameters(), strict=True):
            parameter[...] = drawn
        self._classifier.intercepts_[1][...] = 0


def full_batch(samples: Samples) -> FullBatch:
    """Start the training."""
    return FullBatch(samples)


def classifier(*arguments: Any, **parameters: Any) -> MLPClassifier:
    """Return an untrained classifier."""
    return MLPClassifier(*arguments, **parameters)
