"""Parameters of an optimizer that change after a fit: `partial_fit` keeps the optimizer, as scikit-learn's does."""

import pytest
from sklearn_cases import TASKS, X, check_answers, check_attributes, estimators, recorded

from fastfnn.sklearn.mixin import FastMLP

EAGER = {"tol": 0.5, "n_iter_no_change": 1}  # an adaptive rate falls soon

# Parameters at first, and later.
CHANGES = [
    ({"solver": "sgd"}, {"learning_rate": "invscaling"}),
    ({"solver": "sgd"}, {"learning_rate": "adaptive"}),
    ({"solver": "sgd", "learning_rate": "invscaling"}, {"power_t": 0.9}),
    ({"solver": "sgd", "learning_rate": "invscaling"}, {"learning_rate_init": 0.05}),
    ({"solver": "sgd", "learning_rate": "invscaling"}, {"learning_rate": "constant"}),
    ({"solver": "sgd", "learning_rate": "invscaling"}, {"learning_rate": "adaptive"}),
    ({"solver": "sgd", "learning_rate": "adaptive"}, {"learning_rate": "constant"}),
    ({"solver": "sgd", "learning_rate": "adaptive"}, {"learning_rate_init": 0.05}),
    ({"solver": "sgd", "learning_rate": "invscaling"}, {"solver": "adam"}),
    ({"solver": "sgd"}, {"momentum": 0.1, "nesterovs_momentum": False, "learning_rate_init": 0.5}),
    ({"solver": "adam"}, {"solver": "sgd"}),
    ({"solver": "adam"}, {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.9}),
    ({"solver": "adam"}, {"solver": "sgd", "learning_rate": "adaptive"}),
    ({"solver": "adam", "learning_rate": "invscaling"}, {"solver": "sgd"}),
    ({"solver": "adam"}, {"beta_1": 0.1, "beta_2": 0.2, "epsilon": 0.1, "learning_rate_init": 0.5}),
]
each_change = pytest.mark.parametrize(("first", "later"), CHANGES, ids=str)


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


def check_both(theirs, mine):
    check_attributes(mine, theirs, 1e-9)
    check_answers(mine, theirs, X, 1e-9)
    if hasattr(theirs._optimizer, "lr_schedule"):  # that of Adam is another number in each step
        assert mine._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate, rel=1e-14)


def partial_fits(pair, task, count):
    y = TASKS[task][1]
    classes = {"classes": [0, 1, 2]} if task == "multiclass" else {}
    for _ in range(count):
        for estimator in pair:
            estimator.partial_fit(X, y, **classes)
        check_both(*pair)


@each_change
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_partial_fits_keep_the_schedule_of_their_optimizer(task, first, later):
    pair = estimators(task, **EAGER | first)
    partial_fits(pair, task, 3)
    for estimator in pair:
        estimator.set_params(**later)
    partial_fits(pair, task, 6)


@each_change
def test_partial_fits_keep_the_schedule_of_a_fit(first, later):
    pair = estimators("multiclass", **EAGER | first)
    for estimator in pair:
        recorded(estimator.fit, X, TASKS["multiclass"][1])
        estimator.set_params(**later)
    partial_fits(pair, "multiclass", 5)


@each_change
def test_a_warm_start_makes_an_optimizer_anew(first, later):
    pair = estimators("multiclass", warm_start=True, **EAGER | first)
    partial_fits(pair, "multiclass", 2)
    for estimator in pair:
        recorded(estimator.set_params(**later).fit, X, TASKS["multiclass"][1])
    check_both(*pair)
    partial_fits(pair, "multiclass", 2)
