"""Bad input is refused by our multilayer perceptrons as by scikit-learn's, in the same words, and changes nothing."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn_cases import (
    SIGNAL,
    TASKS,
    X,
    check_answers,
    check_attributes,
    estimators,
    outcome,
    recorded,
    refusal,
)

from fastfnn import TrainingWarning
from fastfnn import sklearn as ours

LABELS = SIGNAL.argmax(axis=1)


def with_one(value):
    changed = X.copy()
    changed[20, 3] = value
    return changed


class Unknown:
    """A thing that is no array."""


SAMPLES = {
    "nan": with_one(np.nan),
    "inf": with_one(-np.inf),
    "nan in float32": with_one(np.nan).astype(np.float32),
    "nan in csr": sparse.csr_matrix(with_one(np.nan)),
    "inf in csc": sparse.csc_matrix(with_one(np.inf)),
    "nan in one row": with_one(np.nan)[20:21],
    "nan in fortran": np.asfortranarray(with_one(np.nan)),
    "nan, read backwards": with_one(np.nan)[::-1],
    "a column more": np.hstack([X, X[:, :1]]),
    "a column less": X[:, 1:],
    "a column less in one row": X[:1, 1:],
    "a column less in csr": sparse.csr_matrix(X[:, 1:]),
    "coo of another width": sparse.coo_matrix(X[:, 1:]),
    "one sample": X[0],
    "a number": 3.0,
    "three axes": X[None],
    "no samples": X[:0],
    "no columns": X[:, :0],
    "strings": X.astype(str).astype(object) + "x",
    "complex": X + 1j,
    "ragged": [[1.0, 2.0], [3.0]],
    "none": None,
    "a thing": Unknown,
    "text": "X",
}


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_samples_to_predict(task, samples):
    theirs, mine = estimators(task)
    for estimator in (theirs, mine):
        recorded(estimator.fit, X, TASKS[task][1])
    before = mine.predict(X)
    assert refusal(mine.predict, samples) == refusal(theirs.predict, samples)
    assert refusal(mine.score, samples, LABELS) == refusal(theirs.score, samples, LABELS)
    if task == "multiclass":
        assert refusal(mine.predict_proba, samples) == refusal(theirs.predict_proba, samples)
    assert (mine.predict(X) == before).all()


OF_ANY_WIDTH = [name for name in SAMPLES if not name.startswith("a column") and name != "coo of another width"]


@pytest.mark.parametrize("name", OF_ANY_WIDTH)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_samples_to_fit(task, name):
    theirs, mine = estimators(task)
    y = TASKS[task][1][:1] if "one row" in name else TASKS[task][1]
    assert refusal(mine.fit, SAMPLES[name], y) == refusal(theirs.fit, SAMPLES[name], y)
    assert not hasattr(mine, "coefs_")


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_samples_to_go_on_with(method, name):
    theirs, mine = estimators("multiclass", warm_start=True)
    for estimator in (theirs, mine):
        recorded(estimator.fit, X, LABELS)
    before = mine.predict_proba(X)
    y = LABELS[:1] if "one row" in name else LABELS
    assert refusal(getattr(mine, method), SAMPLES[name], y) == refusal(getattr(theirs, method), SAMPLES[name], y)
    assert (mine.predict_proba(X) == before).all()


TARGETS = {
    "too few": LABELS[1:],
    "nan": np.where(LABELS == 1, np.nan, 1.0),
    "inf": np.where(LABELS == 1, np.inf, 1.0),
    "continuous": SIGNAL[:, 0],
    "several classes a sample": SIGNAL[:, :2].round().astype(int) * 3,
    "none": None,
    "three axes": SIGNAL[None],
    "text": "y",
    "sparse": sparse.csr_matrix(SIGNAL),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_targets_of_classes(targets):
    theirs, mine = estimators("multiclass")
    assert refusal(mine.fit, X, targets) == refusal(theirs.fit, X, targets)


@pytest.mark.parametrize(
    "name", [name for name in TARGETS if name not in ("continuous", "several classes a sample", "sparse")]
)
def test_targets_of_regression(name):
    theirs, mine = estimators("regression")
    assert refusal(mine.fit, X, TARGETS[name]) == refusal(theirs.fit, X, TARGETS[name])


WEIGHTS = {
    "too few": np.ones(5),
    "nan": np.full(len(X), np.nan),
    "of two axes": np.ones((len(X), 2)),
    "text": "heavy",
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_sample_weights(method, weights):
    theirs, mine = estimators("regression")
    refusals = [refusal(getattr(est, method), X, SIGNAL[:, 0], sample_weight=weights) for est in (mine, theirs)]
    assert refusals[0] == refusals[1]


OPTIONS = [
    {"hidden_layer_sizes": -1},
    {"hidden_layer_sizes": (3, 0)},
    {"hidden_layer_sizes": 2.5},
    {"hidden_layer_sizes": ("wide",)},
    {"solver": "rmsprop"},
    {"alpha": -1.0},
    {"alpha": np.nan},
    {"batch_size": 0},
    {"batch_size": 2.5},
    {"batch_size": "all"},
    {"learning_rate": "falling"},
    {"learning_rate_init": 0.0},
    {"power_t": -1},
    {"max_iter": 0},
    {"shuffle": "often"},
    {"random_state": -1},
    {"random_state": np.random.default_rng(0)},
    {"tol": 0.0},
    {"tol": -1.0},
    {"verbose": -1},
    {"warm_start": "yes"},
    {"momentum": 1.5},
    {"nesterovs_momentum": 2},
    {"early_stopping": "yes"},
    {"early_stopping": True, "validation_fraction": 1.0},
    {"early_stopping": True, "validation_fraction": 0.001},
    {"beta_1": 1.0},
    {"beta_2": -0.5},
    {"epsilon": 0},
    {"n_iter_no_change": 0},
    {"n_iter_no_change": 2.5},
    {"max_fun": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_options(task, options):
    theirs, mine = estimators(task, **options)
    assert outcome(mine.fit, X, TASKS[task][1]) == outcome(theirs.fit, X, TASKS[task][1])


@pytest.mark.parametrize("option", ["activation", "loss"])
def test_unknown_names_where_ours_know_more(option):
    theirs, mine = (kind(**{option: "swish"}) for kind in (neural_network.MLPRegressor, ours.MLPRegressor))
    (kind, message), (expected_kind, expected) = (refusal(each.fit, X, SIGNAL) for each in (mine, theirs))
    assert kind is expected_kind
    until_the_names = expected.partition("{")[0]
    assert message.startswith(until_the_names)
    assert message.endswith("Got 'swish' instead.")


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_a_model_that_was_not_fitted(name):
    theirs, mine = getattr(neural_network, name)(), getattr(ours, name)()
    assert refusal(mine.predict, X) == refusal(theirs.predict, X)
    assert refusal(mine.score, X, LABELS) == refusal(theirs.score, X, LABELS)
    if hasattr(theirs, "predict_proba"):
        assert refusal(mine.predict_proba, X) == refusal(theirs.predict_proba, X)
        assert refusal(mine.predict_log_proba, X) == refusal(theirs.predict_log_proba, X)
        assert refusal(mine.partial_fit, X, LABELS) == refusal(theirs.partial_fit, X, LABELS)


def refusals_in_turn(estimator):
    """Use a classifier in ways that are refused."""
    yield refusal(clone(estimator).set_params(early_stopping=True).partial_fit, X, LABELS, classes=[0, 1, 2])
    estimator.partial_fit(X, LABELS, classes=[0, 1, 2])
    yield refusal(estimator.partial_fit, X, LABELS + 1)
    yield refusal(estimator.partial_fit, X, LABELS, classes=[0, 1])
    yield refusal(estimator.set_params(warm_start=True).fit, X, LABELS + 1)
    yield refusal(lambda: estimator.set_params(solver="lbfgs").partial_fit(X, LABELS))
    estimator = clone(estimator)
    recorded(estimator.fit, X, LABELS)
    yield refusal(estimator.set_params(solver="adam").fit, X, LABELS)


def test_ways_of_use_that_are_refused():
    theirs, mine = (list(refusals_in_turn(estimator)) for estimator in estimators("multiclass"))
    assert mine == theirs
    assert len(mine) == 6


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_parameters_that_grew_beyond_all_numbers(solver):
    theirs, mine = estimators("regression", solver=solver, learning_rate_init=1e200, activation="identity")
    assert refusal(mine.fit, X, SIGNAL[:, 0]) == refusal(theirs.fit, X, SIGNAL[:, 0])


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_training_that_diverges_is_scored_with_nan():
    options = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1, "early_stopping": True}
    scores = []
    for estimator in estimators("regression", max_iter=20, n_iter_no_change=10, **options):
        recorded(estimator.fit, 4 * X, SIGNAL[:, 0])
        scores.append(np.isnan(estimator.validation_scores_).tolist())
    assert scores[0] == scores[1]
    assert scores[0][-1]


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 1.5, len(X))], ids=["even", "weighted"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_loss_of_poisson_is_nan_for_negative_targets(solver, weights):
    theirs, mine = estimators("counts", solver=solver, learning_rate_init=1e-3)
    y = TASKS["counts"][1] - 1
    expected = recorded(theirs.fit, X, y, sample_weight=weights)
    warned = recorded(mine.fit, X, y, sample_weight=weights)
    assert warned[1:] == expected
    assert warned[0][0] is TrainingWarning
    assert warned[0][1].startswith("the loss became nan in epoch 1, batch 1: ")
    assert np.isnan(mine.loss_curve_).all()
    assert mine.best_loss_ == np.inf
    check_attributes(mine, theirs, 1e-9)
    check_answers(mine, theirs, X, 1e-9)
