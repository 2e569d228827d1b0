"""A fit that is refused leaves a fitted estimator exactly as it was."""

import copy
import pickle

import numpy as np
import pytest
from sklearn_samples import CASES, CLASSIFIERS, NAMES, NUMBERS, REGRESSORS, WEIGHTS, X, brief

from fastfnn.sklearn import FastClassifier, MLPClassifier, MLPRegressor
from fastfnn.sklearn.mixin import OF_A_CALL, FastMLP

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ALL = CLASSIFIERS + REGRESSORS


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


def targets_of(kind):
    return NAMES if kind in CLASSIFIERS else NUMBERS


class Unchanged:
    """What an estimator holds, to be compared later; a copy of it goes on alike."""

    def __init__(self, estimator):
        self.estimator, self.copied = estimator, copy.deepcopy(estimator)
        self.held = dict(vars(estimator))
        self.written = self.write()

    def write(self):
        return pickle.dumps({name: value for name, value in self.held.items() if name not in OF_A_CALL})

    def check(self, *again):
        held = vars(self.estimator)
        assert held.keys() == self.held.keys()
        assert [name for name in held if held[name] is not self.held[name] and name not in OF_A_CALL] == []
        assert self.write() == self.written
        rows = X[:, : self.estimator.n_features_in_]
        assert self.estimator.predict(rows).tobytes() == self.copied.predict(rows).tobytes()
        for each in (self.estimator, self.copied) if again else ():
            again[0](each)
        assert self.estimator.loss_ == self.copied.loss_
        for one, other in zip(self.estimator.coefs_, self.copied.coefs_, strict=True):
            np.testing.assert_array_equal(one, other)


def scored_targets_of(kind):
    """Return targets that scikit-learn before 1.9 can stop early on: it fails on labels of text."""
    return np.unique(NAMES, return_inverse=True)[1] if kind in CLASSIFIERS else NUMBERS


def go_on(estimator):
    estimator.set_params(validation_fraction=0.3).fit(X, targets_of(type(estimator)))


def go_on_in_part(estimator):
    estimator.set_params(early_stopping=False).partial_fit(X, targets_of(type(estimator)))


def validation(kind, **changed):
    return {"X_val": X[:9], "y_val": targets_of(kind)[:9]} | changed


# By a name: estimators, keywords beside fitting ones, and the error.
KEYWORDS = {
    "callbacks that are none": (ALL, {"callbacks": [3]}, TypeError, "callbacks must be a list of callables"),
    "other columns": (ALL, {"X_val": X[:9, :3]}, ValueError, "X has 3 features, but"),
    "other rows": (ALL, {"X_val": X[:8]}, ValueError, "inconsistent numbers of samples"),
    "weights of other rows": (ALL, {"sample_weight_val": np.ones(3)}, ValueError, "ample"),
    "no targets": (ALL, {"y_val": None}, ValueError, "pass X_val and y_val"),
    "no samples": (ALL, {"X_val": None}, ValueError, "pass X_val and y_val"),
    "weights alone": (ALL, {"X_val": None, "y_val": None, "sample_weight_val": WEIGHTS}, ValueError, "pass X_val"),
    "new labels": (CLASSIFIERS, {"y_val": np.full(9, "elm")}, ValueError, r"y_val has labels .* lacks: \['elm'\]"),
    "labels of several": (CLASSIFIERS, {"y_val": CASES["labels"].y[:9]}, ValueError, "y_val must hold one label"),
    "one column": (REGRESSORS, {"y_val": NUMBERS[:9, 0]}, ValueError, "y_val must have 2 columns, as y has; got 1"),
    "NaN": (REGRESSORS, {"y_val": np.full((9, 2), np.nan)}, ValueError, "Input y contains NaN"),
}

each_start = pytest.mark.parametrize("warm_start", [False, True], ids=["cold", "warm"])
each_kind = pytest.mark.parametrize("kind", ALL)


@each_start
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, case in KEYWORDS.items() for kind in case[0]])
def test_keywords_that_do_not_fit(name, kind, solver, warm_start):
    _, changed, error, message = KEYWORDS[name]
    y = targets_of(kind)
    fitting = {"X_val": X[:9], "y_val": y[:9]}
    estimator = brief(kind, solver=solver, warm_start=warm_start).fit(X, y, **fitting)
    before = Unchanged(estimator)
    with pytest.raises(error, match=message):
        estimator.fit(X, y, **fitting | changed)
    before.check(go_on)


@each_kind
@each_start
@pytest.mark.parametrize("keywords", [{"callbacks": [print]}, {"callbacks": [3]}, {"X_val": X, "y_val": NAMES}])
def test_keywords_that_lbfgs_lacks(keywords, warm_start, kind):
    y = targets_of(kind)
    estimator = brief(kind, solver="lbfgs", warm_start=warm_start).fit(X, y)
    before = Unchanged(estimator)
    with pytest.raises(ValueError, match="the solver lbfgs has no epochs"):
        estimator.fit(X, y, **keywords)
    before.check(go_on)


@each_kind
@each_start
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_too_few_samples_to_hold_out(solver, warm_start, kind):
    y = scored_targets_of(kind)
    estimator = brief(kind, solver=solver, warm_start=warm_start, early_stopping=True, validation_fraction=0.3).fit(
        X, y
    )
    before = Unchanged(estimator.set_params(validation_fraction=0.01))
    with pytest.raises(ValueError, match="The validation set is too small"):
        estimator.fit(X, y)
    before.check(lambda each: each.set_params(validation_fraction=0.3).fit(X, y))


TEXTS = {
    "text": (
        np.stack([NAMES, NAMES], axis=1),
        TypeError,
        r"y must hold numbers; got <U3: convert it with astype\(float\)",
    ),
    "text of numbers": (NUMBERS.astype(str), TypeError, "y must hold numbers; got <U32"),
}
OTHER_COLUMNS = {
    "fewer columns": (NUMBERS[:, 0], ValueError, "y has 1 columns, .* fitted on 2: fit it anew"),
    "more columns": (np.hstack([NUMBERS, NUMBERS]), ValueError, "y has 4 columns, .* on 2: fit it anew"),
}
TARGETS = TEXTS | OTHER_COLUMNS


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(
    ("name", "warm_start"), [*((name, True) for name in TARGETS), *((name, False) for name in TEXTS)]
)
def test_other_targets(name, warm_start, solver):
    y, error, message = TARGETS[name]
    estimator = brief(MLPRegressor, solver=solver, warm_start=warm_start).fit(X, NUMBERS)
    before = Unchanged(estimator)
    with pytest.raises(error, match=message):
        estimator.fit(X, y)
    before.check(go_on)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("name", OTHER_COLUMNS)
def test_a_fit_anew_takes_other_columns(name, solver):
    y, _, _ = TARGETS[name]
    estimator = brief(MLPRegressor, solver=solver).fit(X, NUMBERS).fit(X, y)
    assert estimator.loss_ == brief(MLPRegressor, solver=solver).fit(X, y).loss_


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", TARGETS)
def test_other_targets_of_a_partial_fit(name, solver):
    y, error, message = TARGETS[name]
    estimator = brief(MLPRegressor, solver=solver).fit(X, NUMBERS).partial_fit(X, NUMBERS)
    before = Unchanged(estimator)
    with pytest.raises(error, match=message):
        estimator.partial_fit(X, y)
    before.check(go_on_in_part)


@each_kind
def test_the_first_fit(kind):
    """It leaves an estimator that was not fitted."""
    y, estimator = targets_of(kind), brief(kind)
    with pytest.raises(TypeError, match="callbacks must be a list of callables"):
        estimator.fit(X, y, callbacks=[3])
    assert [name for name in vars(estimator) if name.endswith("_")] == []
    assert not hasattr(estimator, "_optimizer")
    assert estimator.fit(X[:, :3], y).loss_curve_ == brief(kind).fit(X[:, :3], y).loss_curve_


COUNTS = np.floor(np.exp(NUMBERS[:, 0] / 50))
# Losses whose outputs mean something else.
LOSSES = [("squared_error", "poisson"), ("poisson", "squared_error"), ("poisson", "huber"), ("huber", "poisson")]
WAYS = [("fit", "adam"), ("fit", "sgd"), ("fit", "lbfgs"), ("partial_fit", "adam"), ("partial_fit", "sgd")]


@pytest.mark.parametrize("kind", REGRESSORS)
@pytest.mark.parametrize(("loss", "other"), LOSSES)
@pytest.mark.parametrize(("method", "solver"), WAYS)
def test_another_loss(method, solver, loss, other, kind):
    given = {"solver": solver, "alpha": 0.5}
    estimator = brief(kind, loss=loss, warm_start=True, **given).fit(X, COUNTS)
    predicted = estimator.predict(X)
    np.testing.assert_array_equal(estimator.set_params(loss=other).predict(X), predicted)
    before = Unchanged(estimator)
    with pytest.raises(ValueError, match=f"the model was fitted with another loss than '{other}': fit it anew"):
        getattr(estimator, method)(X, COUNTS)
    before.check(lambda each: getattr(each.set_params(loss=loss), method)(X, COUNTS))
    anew = estimator.set_params(loss=other, warm_start=False).fit(X, COUNTS)
    assert anew.loss_ == brief(kind, loss=other, **given).fit(X, COUNTS).loss_


def squared_error(error):
    return np.mean(error**2) / 2


def huber(error):
    error = np.abs(error)
    return np.where(error <= 1, error**2 / 2, error - 0.5).mean()


@pytest.mark.parametrize(("method", "solver"), WAYS)
@pytest.mark.parametrize(("loss", "other"), [(squared_error, huber), (huber, squared_error)])
def test_another_loss_of_the_same_outputs(loss, other, method, solver):
    given = {"solver": solver, "alpha": 0.0, "batch_size": 50, "max_iter": 1, "warm_start": True}
    estimator, y = brief(MLPRegressor, loss=loss.__name__, **given), CASES["numbers"].y
    before = other(estimator.fit(X, y).predict(X) - y)
    trained = getattr(estimator.set_params(loss=other.__name__), method)(X, y)
    after = other(trained.predict(X) - y)
    assert trained.loss_ == pytest.approx(after if solver == "lbfgs" else before, rel=1e-12)
    assert after < before


@each_kind
@pytest.mark.parametrize("at_first", [False, True])
def test_early_stopping_that_is_changed_before_a_warm_start(at_first, kind):
    estimator = brief(kind, warm_start=True, early_stopping=at_first, validation_fraction=0.3)
    estimator.fit(X, scored_targets_of(kind)).set_params(early_stopping=not at_first)
    before = Unchanged(estimator)
    with pytest.raises(ValueError, match="early_stopping was changed after the first fit"):
        estimator.fit(X, scored_targets_of(kind))
    before.check()


@pytest.mark.parametrize("kind", REGRESSORS)
@pytest.mark.parametrize("n_columns", [1, 4])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_another_number_of_targets(method, n_columns, kind):
    estimator = brief(kind, warm_start=True).fit(X, NUMBERS)
    before = Unchanged(estimator)
    with pytest.raises(ValueError, match=f"y has {n_columns} columns, and the model was fitted on 2: fit it anew"):
        getattr(estimator, method)(X, np.squeeze(np.tile(NUMBERS, 2)[:, :n_columns]))
    before.check(go_on)


def test_weights_of_classes_that_do_not_fit():
    estimator = brief(FastClassifier, warm_start=True).fit(X, NAMES)
    before = Unchanged(estimator.set_params(class_weight=[{0: 1.0}]))
    with pytest.raises(ValueError, match="class_weight"):
        estimator.fit(X, NAMES)
    before.check()


def test_a_refused_fit_leaves_the_network_on_the_arrays_of_the_estimator():
    estimator = pickle.loads(pickle.dumps(brief(MLPClassifier, warm_start=True).fit(X, NAMES)))
    estimator.predict(X)
    with pytest.raises(TypeError, match="callbacks"):
        estimator.fit(X, NAMES, callbacks=[3])
    for array in estimator.coefs_ + estimator.intercepts_:
        array[...] = 0
    np.testing.assert_allclose(estimator.predict_proba(X), 1 / len(estimator.classes_), rtol=1e-15)
