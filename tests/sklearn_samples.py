"""Samples for the estimators of `fastfnn.sklearn`, and estimators that are trained on them for a few epochs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn.sklearn import FastClassifier, FastRegressor, MLPClassifier, MLPRegressor

CLASSIFIERS, REGRESSORS = (MLPClassifier, FastClassifier), (MLPRegressor, FastRegressor)


class Case(NamedTuple):
    """Targets of one kind, and the parameters of an estimator for them."""

    y: NDArray[Any]
    kind: Any
    parameters: dict[str, Any]

    def estimator(self, kind: Any = None, **parameters: Any) -> Any:
        return brief(kind or self.kind, **self.parameters | parameters)


def brief(kind: Any, **parameters: Any) -> Any:
    """Return an estimator of two narrow hidden layers that trains for five epochs of three batches."""
    given = {"hidden_layer_sizes": (6, 5), "max_iter": 5, "batch_size": 20, "learning_rate_init": 0.01}
    return kind(**given | {"random_state": 3} | parameters)


_rng = np.random.default_rng(20261127)
X = _rng.standard_normal((50, 4))
_scores = X @ _rng.standard_normal((4, 3)) + _rng.standard_normal((50, 3))
NUMBERS = 50 + 7 * _scores[:, :2]
LABELS = _scores.argmax(axis=1)
NAMES = np.array(["ash", "fir", "oak"])[LABELS]
WEIGHTS = _rng.integers(1, 5, 50).astype(np.float64)

CASES = {
    "classes": Case(np.array([3, 5, 8])[LABELS], MLPClassifier, {}),
    "two classes": Case(np.where(LABELS == 1, 7.0, -1.0), MLPClassifier, {}),
    "text": Case(NAMES, MLPClassifier, {}),
    "text of two": Case(np.where(LABELS == 1, "yes", "no"), MLPClassifier, {}),
    "labels": Case((_scores > 0).astype(np.int64), MLPClassifier, {}),
    "numbers": Case(_scores[:, :2], MLPRegressor, {}),
    "one number": Case(_scores[:, 0], MLPRegressor, {}),
    "counts": Case(np.floor(np.exp(_scores[:, 0] / 2)), MLPRegressor, {"loss": "poisson"}),
    "huber": Case(_scores[:, :2], MLPRegressor, {"loss": "huber"}),
}
