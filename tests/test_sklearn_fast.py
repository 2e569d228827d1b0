"""`FastClassifier` and `FastRegressor`: weights of classes, dropout, scaled targets."""

import inspect
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight
from sklearn_samples import CASES, LABELS, NAMES, NUMBERS, WEIGHTS, X, brief

from fastfnn import Dropout
from fastfnn.sklearn import FastClassifier, FastRegressor, MLPClassifier, MLPRegressor
from fastfnn.sklearn.mixin import FastMLP

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEVERAL = CASES["labels"].y
BY_NAME = {"ash": 1.0, "fir": 5.0, "oak": 0.5}


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


def assert_same_training(first, second, rtol=0.0):
    """Compare losses and parameters; they are the same bits unless a tolerance is given."""
    assert_allclose(first.loss_curve_, second.loss_curve_, rtol=rtol)
    for one, other in zip(first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True):
        assert_allclose(one, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("y", "class_weight"),
    [
        (NAMES, BY_NAME),
        (NAMES, "balanced"),
        (LABELS, {0: 2.0, 1: 1.0, 2: 3.0}),
        (NAMES == "oak", {False: 1.0, True: 4.0}),
        (SEVERAL, "balanced"),
        (SEVERAL, [{0: 1.0, 1: 2.0}, {0: 3.0, 1: 1.0}, {0: 1.0, 1: 1.0}]),
    ],
)
def test_weights_of_classes_are_those_of_their_samples(y, class_weight, sample_weight):
    weights = compute_sample_weight(class_weight, y) * (1 if sample_weight is None else sample_weight)
    for early_stopping in {False, y.dtype.kind != "U"}:  # scikit-learn 1.7 and 1.8 cannot score text
        given = {"early_stopping": early_stopping, "validation_fraction": 0.3}
        weighted = brief(FastClassifier, class_weight=class_weight, **given).fit(X, y, sample_weight)
        expected = brief(MLPClassifier, **given).fit(X, y, weights)
        assert_same_training(weighted, expected)
        assert weighted.validation_scores_ == expected.validation_scores_


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_nothing_is_added_unless_asked_for(kind):
    plain = MLPClassifier if kind is FastClassifier else MLPRegressor
    given = {} if kind is FastClassifier else {"scale_targets": False}
    assert_same_training(brief(kind, **given).fit(X, LABELS, WEIGHTS), brief(plain).fit(X, LABELS, WEIGHTS))


def test_weights_of_classes_with_lbfgs():
    weighted = brief(FastClassifier, class_weight=BY_NAME, solver="lbfgs").fit(X, NAMES)
    expected = brief(MLPClassifier, solver="lbfgs").fit(X, NAMES, compute_sample_weight(BY_NAME, NAMES))
    assert_array_equal(weighted.predict_proba(X), expected.predict_proba(X))


def test_weights_of_classes_in_parts():
    weighted, expected = brief(FastClassifier, class_weight=BY_NAME), brief(MLPClassifier)
    for rows in (slice(None, 30), slice(30, None)):
        classes = sorted(BY_NAME)
        weighted.partial_fit(X[rows], NAMES[rows], classes=classes)
        expected.partial_fit(X[rows], NAMES[rows], compute_sample_weight(BY_NAME, NAMES[rows]), classes)
    assert_same_training(weighted, expected)


def test_a_part_may_lack_classes():
    """Classes that are not listed have a weight of 1, as in a fit of them all."""
    weighted, expected = brief(FastClassifier, class_weight={"ash": 4.0}), brief(MLPClassifier)
    classes = sorted(BY_NAME)
    for rows in (NAMES != "ash", NAMES == "ash", NAMES != "oak"):
        weighted.partial_fit(X[rows], NAMES[rows], classes=classes)
        expected.partial_fit(X[rows], NAMES[rows], np.where(NAMES[rows] == "ash", 4.0, 1.0), classes)
    assert_same_training(weighted, expected)


@pytest.mark.parametrize(
    ("y", "class_weight", "message"),
    [
        (np.where(LABELS == 1, np.nan, LABELS), "balanced", "Input y contains NaN"),
        (NAMES, "balance", "The 'class_weight' parameter of FastClassifier must be"),
        (NAMES, {"elm": 3.0}, "are not in class_weight"),
        (SEVERAL, {0: 1.0, 1: 2.0}, "class_weight should be a list of dicts"),
    ],
)
def test_weights_of_classes_that_do_not_fit(y, class_weight, message):
    with pytest.raises(ValueError, match=message):
        brief(FastClassifier, class_weight=class_weight).fit(X, y)


def test_a_part_cannot_be_balanced():
    estimator = brief(FastClassifier, class_weight="balanced")
    with pytest.raises(ValueError, match="partial_fit cannot balance classes: class_weight must be a dict"):
        estimator.partial_fit(X, NAMES, classes=sorted(BY_NAME))


def dropping(kind, **parameters):
    return brief(kind, **{"dropout": 0.5, "max_iter": 3} | parameters)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_dropout_follows_the_random_state(kind, solver):
    first, second, other = (dropping(kind, solver=solver, random_state=seed).fit(X, LABELS) for seed in (3, 3, 4))
    assert_same_training(first, second)
    assert first.loss_curve_ != other.loss_curve_
    assert first.loss_curve_ != dropping(kind, solver=solver, dropout=0.0).fit(X, LABELS).loss_curve_


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_dropout_is_the_same_on_both_backends(kind, monkeypatch):
    expected = dropping(kind).fit(X, LABELS)
    monkeypatch.setattr(FastMLP, "backend", "numba")
    assert_same_training(dropping(kind).fit(X, LABELS), expected, rtol=1e-10)


def test_dropout_draws_once_from_the_random_state():
    estimator = dropping(FastClassifier, random_state=np.random.RandomState(3), max_iter=1, shuffle=False)
    estimator.fit(X, NAMES)
    assert dropping(FastClassifier, max_iter=1, shuffle=False).fit(X, NAMES).loss_ == estimator.loss_
    assert estimator.fit(X, NAMES).loss_ != dropping(FastClassifier, max_iter=1, shuffle=False).fit(X, NAMES).loss_


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_predictions_drop_nothing(kind):
    estimator = dropping(kind).fit(X, LABELS)
    first, second = estimator.predict(X), estimator.predict(X)
    assert_array_equal(first, second)
    assert_allclose(estimator.set_params(dropout=0.0).predict(X), first, rtol=1e-13)


def test_each_hidden_layer_is_followed_by_dropout():
    net = dropping(FastClassifier, dropout=0.25).fit(X, NAMES).to_network()
    assert [type(layer) is Dropout for layer in net.layers] == [False, True, False, True, False]
    assert {layer.rate for layer in net.layers if isinstance(layer, Dropout)} == {0.25}


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_lbfgs_drops_nothing(kind):
    dropped = dropping(kind, solver="lbfgs").fit(X, LABELS)
    expected = dropping(kind, solver="lbfgs", dropout=0.0).fit(X, LABELS)
    assert_array_equal(dropped.predict(X), expected.predict(X))


@pytest.mark.parametrize("dropout", [1.0, -0.1, np.nan, "half"])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ValueError, match="The 'dropout' parameter of FastRegressor must be a float in the range"):
        brief(FastRegressor, dropout=dropout).fit(X, NUMBERS)


SCALED = [
    {},
    {"solver": "sgd", "learning_rate": "adaptive"},
    {"solver": "lbfgs"},
    {"loss": "huber"},
    {"early_stopping": True, "max_iter": 20},
]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("y", [NUMBERS, NUMBERS[:, 0]], ids=["two", "one"])
@pytest.mark.parametrize("parameters", SCALED)
def test_targets_are_scaled(y, weights, parameters):
    mean = np.average(y, axis=0, weights=weights)
    scale = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))
    by_hand = brief(MLPRegressor, **parameters).fit(X, (y - mean) / scale, weights)
    inside = brief(FastRegressor, **parameters).fit(X, y, weights)
    assert_allclose(inside.target_mean_, np.atleast_1d(mean), rtol=1e-15)
    assert_allclose(inside.target_scale_, np.atleast_1d(scale), rtol=1e-14)
    assert inside.loss_ == pytest.approx(by_hand.loss_, rel=1e-12)
    assert_allclose(inside.predict(X), by_hand.predict(X) * scale + mean, rtol=1e-12)
    assert inside.score(X, y) == pytest.approx(by_hand.score(X, (y - mean) / scale), rel=1e-10)
    if "early_stopping" in parameters:
        assert_allclose(inside.validation_scores_, by_hand.validation_scores_, rtol=1e-10)


def test_targets_of_validation_are_scaled_alike():
    mean, scale = NUMBERS.mean(axis=0), NUMBERS.std(axis=0)
    by_hand, inside = brief(MLPRegressor), brief(FastRegressor)
    scaled = (NUMBERS - mean) / scale
    by_hand.fit(X, scaled, X_val=X[:20], y_val=scaled[:20])
    inside.fit(X, NUMBERS, X_val=X[:20], y_val=NUMBERS[:20])
    assert_allclose(inside.validation_loss_curve_, by_hand.validation_loss_curve_, rtol=1e-12)


def test_scaled_targets_are_learned_where_others_are_not():
    scaled, plain = (brief(kind, max_iter=60).fit(X, 1e4 + NUMBERS) for kind in (FastRegressor, MLPRegressor))
    assert scaled.score(X, 1e4 + NUMBERS) > 0.2
    assert plain.score(X, 1e4 + NUMBERS) < -100


def test_targets_in_single_precision():
    estimator = brief(FastRegressor).fit(X.astype(np.float32), NUMBERS.astype(np.float32))
    predicted = estimator.predict(X.astype(np.float32))
    assert predicted.dtype == np.float32
    assert_allclose(estimator.target_mean_, NUMBERS.astype(np.float32).astype(np.float64).mean(axis=0), rtol=1e-15)
    assert_allclose(predicted, brief(FastRegressor).fit(X, NUMBERS).predict(X), rtol=1e-4)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_targets_whose_squares_are_no_numbers(factor):
    estimator, expected = brief(FastRegressor).fit(X, factor * NUMBERS), brief(FastRegressor).fit(X, NUMBERS)
    assert_allclose(estimator.predict(X), factor * expected.predict(X), rtol=1e-11)


def test_large_targets_in_single_precision():
    y = (1e30 * NUMBERS).astype(np.float32)
    estimator, expected = brief(FastRegressor), brief(FastRegressor).fit(X, NUMBERS)
    assert_allclose(estimator.fit(X.astype(np.float32), y).predict(X), 1e30 * expected.predict(X), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e6])  # the mean of 0.1 is rounded
def test_constant_targets(value):
    estimator = brief(FastRegressor, max_iter=200).fit(X, np.full(50, value))
    assert estimator.target_scale_.item() == 1
    assert_allclose(estimator.target_mean_, value, rtol=1e-15)
    assert_allclose(estimator.predict(X), value, rtol=0.2, atol=0.2)


def test_one_constant_output_of_two():
    y = np.column_stack([NUMBERS[:, 0], np.full(50, 7.0)])
    estimator = brief(FastRegressor).fit(X, y)
    assert estimator.target_scale_[1] == 1
    assert estimator.target_scale_[0] == pytest.approx(NUMBERS[:, 0].std())


def test_rates_are_not_scaled():
    y = CASES["counts"].y
    scaled, plain = (brief(kind, loss="poisson").fit(X, y) for kind in (FastRegressor, MLPRegressor))
    assert_same_training(scaled, plain)
    assert_array_equal(scaled.predict(X), plain.predict(X))
    assert (scaled.target_mean_.tolist(), scaled.target_scale_.tolist()) == ([0], [1])


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_first_scale_is_kept(in_parts):
    estimator = brief(FastRegressor, warm_start=not in_parts)
    train = estimator.partial_fit if in_parts else estimator.fit
    train(X, NUMBERS)
    mean, scale = estimator.target_mean_.copy(), estimator.target_scale_.copy()
    train(X, 9 * NUMBERS)
    assert_array_equal(estimator.target_mean_, mean)
    assert_array_equal(estimator.target_scale_, scale)
    by_hand = brief(MLPRegressor, warm_start=not in_parts)
    for y in (NUMBERS, 9 * NUMBERS):
        (by_hand.partial_fit if in_parts else by_hand.fit)(X, (y - mean) / scale)
    assert_same_training(estimator, by_hand, rtol=1e-12)


def test_a_new_fit_measures_anew():
    estimator = brief(FastRegressor).fit(X, NUMBERS).fit(X, 9 * NUMBERS)
    assert_same_training(estimator, brief(FastRegressor).fit(X, 9 * NUMBERS))
    assert_array_equal(estimator.target_mean_, brief(FastRegressor).fit(X, 9 * NUMBERS).target_mean_)


def test_another_number_of_outputs_needs_a_new_fit():
    estimator = brief(FastRegressor).fit(X, NUMBERS).fit(X, NUMBERS[:, 0])
    assert estimator.target_mean_.shape == (1,)
    assert estimator.predict(X).shape == (50,)


@pytest.mark.parametrize("parameters", [{}, {"loss": "huber"}, {"scale_targets": False}, {"hidden_layer_sizes": ()}])
def test_a_network_scales_back(parameters):
    estimator = brief(FastRegressor, **parameters).fit(X, NUMBERS)
    assert_allclose(estimator.to_network().predict(X), estimator.predict(X), rtol=1e-13)
    back = FastRegressor.from_network(estimator.to_network())
    assert_allclose(back.predict(X), estimator.predict(X), rtol=1e-13)
    assert back.partial_fit(X, NUMBERS).target_scale_.tolist() == [1, 1]


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_constructors_have_scikit_learns_form(kind):
    plain = MLPClassifier if kind is FastClassifier else MLPRegressor
    own = {"class_weight", "dropout"} if kind is FastClassifier else {"dropout", "scale_targets"}
    assert kind().get_params().keys() - plain().get_params().keys() == own
    assert plain().get_params().items() <= kind().get_params().items()
    signature = inspect.signature(kind)
    assert [name for name in signature.parameters if name in own] == sorted(own)
    assert all(signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in own)
    with pytest.raises(TypeError, match="unexpected keyword argument 'drop'"):
        kind(drop=0.5)


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_copies_train_alike(kind):
    parameters = {"class_weight": "balanced"} if kind is FastClassifier else {"scale_targets": False}
    estimator = dropping(kind, activation=["gelu", "relu"], **parameters)
    copies = [clone(estimator), pickle.loads(pickle.dumps(estimator)), kind(**estimator.get_params())]
    estimator.fit(X, LABELS)
    for copy in copies:
        assert copy.get_params() == estimator.get_params()
        assert_same_training(copy.fit(X, LABELS), estimator)


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_pickles_of_fitted_estimators(kind):
    estimator = dropping(kind).fit(X, LABELS)
    copy = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(copy.predict(X), estimator.predict(X))
    for each in (copy, estimator):
        each.partial_fit(X, LABELS)
    assert_same_training(copy, estimator)
    assert_array_equal(copy.predict(X), estimator.predict(X))


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor])
def test_what_is_shown(kind):
    assert repr(kind(dropout=0.5)) == f"{kind.__name__}(dropout=0.5)"
