"""A pytest plugin: scikit-learn's own tests of its multilayer perceptrons, run on those of `fastfnn.sklearn`.

It fails where a test module sees another class, where scikit-learn's own training runs, and where a test is left out.
"""

from typing import NoReturn

import pytest
from sklearn import neural_network
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron

from fastfnn.sklearn import MLPClassifier, MLPRegressor

OURS = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}


def _refuse(*arguments: object) -> NoReturn:
    raise AssertionError("scikit-learn's own training runs")


def pytest_configure() -> None:
    for name, ours in OURS.items():
        setattr(neural_network, name, ours)
    BaseMultilayerPerceptron._backprop = BaseMultilayerPerceptron._forward_pass = _refuse


def pytest_deselected(items: list[pytest.Item]) -> None:
    raise pytest.UsageError(f"{len(items)} tests were deselected: run all")


def pytest_collection_finish(session: pytest.Session) -> None:
    seen = {(name, getattr(item.module, name)) for item in session.items for name in OURS}
    if seen != set(OURS.items()):
        raise pytest.UsageError(f"the tests see {seen}, expected those of fastfnn.sklearn")
