"""scikit-learn's MLPClassifier, which trains with Adam: a call of `partial_fit` is an epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from adam_job import BETA1, BETA2, EPSILON, LEARNING_RATE, AdamJob, Orders
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


class AdamBatches:
    """Training with Adam, epoch by epoch; without scikit-learn's penalty."""

    def __init__(self, job: AdamJob) -> None:
        self._x, self._y = job.x, job.samples.y
        n_hidden, n_classes = job.widths[1:]
        self._classifier = MLPClassifier(
            (n_hidden,),
            alpha=0.0,
            batch_size=job.batch_size,
            learning_rate_init=LEARNING_RATE,
            beta_1=BETA1,
            beta_2=BETA2,
            epsilon=EPSILON,
        )
        classes = np.arange(n_classes)
        self._classifier.partial_fit(self._x[: job.batch_size], self._y[: job.batch_size], classes=classes)
        self._begin_again(job)

    def epoch(self) -> float:
        """Go through all samples once, and return the mean loss."""
        self._classifier.partial_fit(self._x, self._y)
        return float(self._classifier.loss_)

    def _begin_again(self, job: AdamJob) -> None:
        """Replace what the step took that made the parameters: these, the optimizer, and the random numbers."""
        coefs, intercepts = self._classifier.coefs_, self._classifier.intercepts_
        made = [coefs[0], intercepts[0], coefs[1], intercepts[1]]
        for parameter, drawn in zip(made, job.initial_parameters(), strict=True):
            parameter[...] = drawn
        del self._classifier._optimizer
        self._classifier.random_state = GivenOrders(job)


class GivenOrders(np.random.RandomState):
    """Random numbers that shuffle the samples into the given orders."""

    def __init__(self, job: AdamJob) -> None:
        super().__init__()
        self._orders = Orders(job)

    def shuffle(self, x: Any) -> None:
        """Put the next order in place of the samples' own."""
        x[:] = self._orders.draw().ravel()


def full_batch(samples: Samples) -> FullBatch:
    """Start the training."""
    return FullBatch(samples)


def adam_batches(job: AdamJob) -> AdamBatches:
    """Start a training with Adam in mini-batches."""
    return AdamBatches(job)


def classifier(*arguments: Any, **parameters: Any) -> MLPClassifier:
    """Return an untrained classifier."""
    return MLPClassifier(*arguments, **parameters)
