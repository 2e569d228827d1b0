"""Samples that are held out, and callbacks: the keywords that `fit` of the estimators has beyond scikit-learn's."""

import csv

import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.utils.fixes import parse_version
from sklearn_samples import CASES, CLASSIFIERS, LABELS, NAMES, NUMBERS, REGRESSORS, WEIGHTS, X, brief

from fastfnn.callbacks import CsvLogger, EarlyStopping, StopTraining
from fastfnn.sklearn import FastRegressor, MLPClassifier, MLPRegressor
from fastfnn.sklearn.mixin import FastMLP

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OTHER = slice(None, 20)
TEXTS = {"text", "text of two"}  # which scikit-learn 1.7 and 1.8 cannot score in early stopping
ALL = CLASSIFIERS + REGRESSORS


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


def as_in_the_estimator(name, loss, y):
    """Return the loss of a network as scikit-learn defines it: by sums over outputs, or halved."""
    constants = np.where(y > 0, y * np.log(np.maximum(y, 1)), 0) - y if name == "counts" else np.zeros(1)
    return loss * {"labels": 3, "numbers": 0.5, "one number": 0.5}.get(name, 1) + constants.mean()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_losses_of_validation_are_those_of_the_network(name, weighted):
    y, weights = CASES[name].y, WEIGHTS.astype(int)[OTHER] if weighted else np.ones(20, int)
    estimator, expected = CASES[name].estimator(), []
    rows = np.repeat(np.arange(20), weights)
    is_of_classes = name in ("classes", "two classes") or name in TEXTS
    targets = np.unique(y, return_inverse=True)[1] if is_of_classes else y

    def evaluate(epoch):
        loss, _ = estimator.to_network().evaluate(X[rows], targets[rows])
        expected.append(as_in_the_estimator(name, loss, targets[rows]))

    keywords = {"sample_weight_val": weights} if weighted else {}
    estimator.fit(X, y, X_val=X[OTHER], y_val=y[OTHER], callbacks=[evaluate], **keywords)
    np.testing.assert_allclose(estimator.validation_loss_curve_, expected, rtol=1e-12)
    assert len(expected) == 5


@pytest.mark.parametrize("name", CASES)
def test_validation_leaves_training_as_it_is(name):
    y = CASES[name].y
    plain, watched = CASES[name].estimator(), CASES[name].estimator()
    plain.fit(X, y, WEIGHTS)
    watched.fit(X, y, WEIGHTS, X_val=X[OTHER], y_val=y[OTHER])
    assert plain.loss_curve_ == watched.loss_curve_
    assert plain.validation_loss_curve_ == []
    np.testing.assert_array_equal(plain.predict(X), watched.predict(X))


@pytest.mark.parametrize("name", sorted(CASES.keys() - TEXTS))
def test_early_stopping_uses_them_instead_of_a_split(name):
    """Nothing is split off: the draws are those without early stopping, and so are the losses."""
    y = CASES[name].y
    plain = CASES[name].estimator().fit(X, y)
    scores = []
    stopping = CASES[name].estimator(early_stopping=True)

    def score(epoch):
        scores.append(stopping.score(X[OTHER], y[OTHER]))

    stopping.fit(X, y, X_val=X[OTHER], y_val=y[OTHER], callbacks=[score])
    assert stopping.loss_curve_ == plain.loss_curve_
    np.testing.assert_allclose(stopping.validation_scores_, scores, rtol=1e-13)
    assert stopping.best_validation_score_ == max(stopping.validation_scores_)
    assert stopping.score(X[OTHER], y[OTHER]) == pytest.approx(max(scores), rel=1e-13)


def test_early_stopping_scores_with_weights_of_validation():
    estimator = brief(MLPClassifier, early_stopping=True, max_iter=1)
    estimator.fit(X, LABELS, X_val=X[OTHER], y_val=LABELS[OTHER], sample_weight_val=WEIGHTS[OTHER])
    assert estimator.validation_scores_ == [estimator.score(X[OTHER], LABELS[OTHER], WEIGHTS[OTHER])]


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.9"), reason="it cannot score text")
@pytest.mark.parametrize("name", sorted(TEXTS))
@pytest.mark.parametrize("held_out", [False, True], ids=["split off", "held out"])
def test_early_stopping_scores_text(held_out, name):
    y, numbers = CASES[name].y, np.unique(CASES[name].y, return_inverse=True)[1]
    stopping = [CASES[name].estimator(early_stopping=True, max_iter=9) for _ in range(2)]
    for estimator, targets in zip(stopping, (y, numbers), strict=True):
        estimator.fit(X, targets, **({"X_val": X[OTHER], "y_val": targets[OTHER]} if held_out else {}))
    assert stopping[0].validation_scores_ == stopping[1].validation_scores_
    np.testing.assert_array_equal(stopping[0].predict(X), stopping[0].classes_[stopping[1].predict(X)])


def test_samples_that_are_split_off_have_losses_too():
    estimator = brief(MLPClassifier, early_stopping=True).fit(X, LABELS)
    assert len(estimator.validation_loss_curve_) == len(estimator.validation_scores_) == 5


@pytest.mark.parametrize("as_samples", [scipy.sparse.csr_array, scipy.sparse.csc_matrix, np.ndarray.tolist])
def test_validation_in_other_forms(as_samples):
    expected = brief(MLPClassifier).fit(X, NAMES, X_val=X[OTHER], y_val=NAMES[OTHER])
    other = brief(MLPClassifier).fit(X, NAMES, X_val=as_samples(X[OTHER]), y_val=NAMES[OTHER].tolist())
    np.testing.assert_allclose(other.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-13)


def test_warm_starts_continue_the_curve():
    estimator = brief(MLPClassifier, warm_start=True)
    for n_epochs in (5, 10):
        estimator.fit(X, NAMES, X_val=X, y_val=NAMES)
        assert len(estimator.validation_loss_curve_) == len(estimator.loss_curve_) == n_epochs
    estimator.set_params(warm_start=False).fit(X, NAMES)
    assert estimator.validation_loss_curve_ == []


SEVERAL = CASES["labels"].y

REFUSED = {
    "labels that are new": (MLPClassifier, NAMES, X, np.where(NAMES == "ash", "elm", NAMES), r"y lacks: \['elm'\]"),
    "labels of several": (
        MLPClassifier,
        NAMES,
        X,
        SEVERAL,
        "must hold one label of each sample, as y does; got multil",
    ),
    "one label of several": (MLPClassifier, SEVERAL, X, LABELS, "must hold 3 labels, .* as y does; got multiclass"),
    "fewer labels": (MLPClassifier, SEVERAL, X, SEVERAL[:, :2], r"3 labels, .* as y does; got .* of shape \(50, 2\)"),
    "too many outputs": (MLPRegressor, NUMBERS, X, np.hstack([NUMBERS, NUMBERS]), "must have 2 columns, .* got 4"),
    "one output": (MLPRegressor, NUMBERS, X, NUMBERS[:, 0], "y_val must have 2 columns, as y has; got 1"),
    "one output, scaled": (FastRegressor, NUMBERS, X, NUMBERS[:, 0], "y_val must have 2 columns, as y has; got 1"),
    "other columns": (MLPClassifier, NAMES, X[:, :3], NAMES, "X has 3 features, but MLPClassifier is expecting 4"),
    "other rows": (MLPClassifier, NAMES, X[:9], NAMES, "inconsistent numbers of samples"),
    "NaN": (MLPClassifier, NAMES, X * np.nan, NAMES, "Input X contains NaN"),
    "NaN as a target": (FastRegressor, NUMBERS, X, NUMBERS * np.nan, "Input y contains NaN"),
    "no targets": (MLPClassifier, NAMES, X, None, "pass X_val and y_val"),
    "no samples": (MLPClassifier, NAMES, None, NAMES, "pass X_val and y_val"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_validation_that_does_not_fit(name):
    kind, y, X_val, y_val, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        brief(kind).fit(X, y, X_val=X_val, y_val=y_val)


@pytest.mark.parametrize("weights", [np.ones(3), [[1.0]] * 50, np.full(50, np.nan)])
def test_weights_of_validation_that_do_not_fit(weights):
    with pytest.raises(ValueError, match="ample"):
        brief(MLPClassifier).fit(X, NAMES, X_val=X, y_val=NAMES, sample_weight_val=weights)


def test_weights_of_validation_without_samples():
    with pytest.raises(ValueError, match="pass X_val and y_val"):
        brief(MLPClassifier).fit(X, NAMES, sample_weight_val=WEIGHTS)


@pytest.mark.parametrize("keywords", [{"X_val": X, "y_val": NAMES}, {"callbacks": [print]}])
def test_lbfgs_has_no_epochs(keywords):
    estimator = brief(MLPClassifier, solver="lbfgs")
    with pytest.raises(ValueError, match="the solver lbfgs has no epochs: X_val and callbacks need solver='adam'"):
        estimator.fit(X, NAMES, **keywords)
    assert estimator.fit(X, NAMES, callbacks=[]).n_iter_ == 5


class Watching:
    """A callback that notes what it is called with."""

    def __init__(self, ending=None):
        self.ending, self.seen = ending, []

    def start(self, training):
        self.seen.append(("start", training.n_epochs, len(training.history)))

    def __call__(self, epoch):
        self.seen.append((epoch.number, epoch.n_epochs))
        if self.ending is not None and epoch.number == 3:
            raise self.ending

    def finish(self, training):
        self.seen.append(("finish", training.error))


@pytest.mark.parametrize("kind", ALL)
def test_callbacks_see_every_epoch(kind):
    watching = Watching()
    brief(kind).fit(X, LABELS, callbacks=[watching])
    assert watching.seen == [("start", 5, 0), *((number, 5) for number in range(1, 6)), ("finish", None)]


def test_callbacks_see_the_estimator_after_the_epoch():
    estimator, records, curves = brief(MLPClassifier, early_stopping=True), [], []

    def note(epoch):
        records.append(epoch.record)
        curves.append((estimator.n_iter_, *estimator.loss_curve_))
        assert epoch.network.predict_proba(X[:1]).tolist() == estimator.predict_proba(X[:1]).tolist()
        assert epoch.optimizer is estimator._optimizer

    estimator.fit(X, LABELS, callbacks=[note])
    columns = {name: [record[name] for record in records] for name in records[0]}
    seconds = columns.pop("seconds")
    assert sorted(seconds) == seconds
    assert columns == {
        "epoch": [1, 2, 3, 4, 5],
        "loss": estimator.loss_curve_,
        "validation_loss": estimator.validation_loss_curve_,
        "validation_score": estimator.validation_scores_,
    }
    assert curves == [(n, *estimator.loss_curve_[:n]) for n in range(1, 6)]


def test_records_without_validation():
    records = []
    brief(MLPRegressor).fit(X, NUMBERS, callbacks=[lambda epoch: records.append(epoch.record)])
    assert {tuple(record) for record in records} == {("epoch", "loss", "seconds")}


def test_a_file_of_the_records(tmp_path):
    path = tmp_path / "log.csv"
    estimator = brief(MLPClassifier).fit(X, NAMES, X_val=X, y_val=NAMES, callbacks=[CsvLogger(path)])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == estimator.loss_curve_
    assert [float(row["validation_loss"]) for row in rows] == estimator.validation_loss_curve_


def test_a_callback_restores_the_best_epoch():
    stopping = EarlyStopping(patience=3)
    shuffled = np.roll(NAMES[OTHER], 1)
    estimator = brief(MLPClassifier, max_iter=100, learning_rate_init=0.1)
    estimator.fit(X, NAMES, X_val=X[OTHER], y_val=shuffled, callbacks=[stopping])
    curve = estimator.validation_loss_curve_
    assert stopping.best_epoch == int(np.argmin(curve)) + 1 == estimator.n_iter_ - 3
    again = brief(MLPClassifier, max_iter=stopping.best_epoch, learning_rate_init=0.1).fit(X, NAMES)
    np.testing.assert_array_equal(estimator.predict_proba(X), again.predict_proba(X))


def test_a_callback_watches_scores():
    stopping = EarlyStopping(patience=4, monitor="validation_score")
    estimator = brief(MLPClassifier, early_stopping=True, n_iter_no_change=50, max_iter=50)
    estimator.fit(X, LABELS, callbacks=[stopping])
    assert stopping.best_epoch == int(np.argmax(estimator.validation_scores_)) + 1 == estimator.n_iter_ - 4


@pytest.mark.parametrize("first", [False, True])
def test_what_reads_the_record_is_called_after_what_adds_to_it(first, tmp_path):
    def add(epoch):
        epoch.record["f1"] = float(-epoch.number)

    readers = [EarlyStopping(2, "f1", "max"), CsvLogger(tmp_path / "log.csv")]
    estimator = brief(MLPClassifier).fit(X, NAMES, callbacks=[*readers, add] if first else [add, *readers])
    assert estimator.n_iter_ == 3
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["f1"]) for row in rows] == [-1, -2, -3]


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "sgd"}], ids=str)
def test_callbacks_see_the_epoch_in_which_training_converges(options):
    watching = Watching()
    estimator = brief(MLPClassifier, max_iter=50, n_iter_no_change=2, tol=0.5, **options)
    estimator.fit(X, LABELS, callbacks=[watching])
    assert estimator.n_iter_ < 50
    assert watching.seen[1:-1] == [(number, 50) for number in range(1, estimator.n_iter_ + 1)]


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_callback_ends_training_without_a_warning():
    watching = Watching(StopTraining())
    estimator = brief(MLPClassifier).fit(X, NAMES, callbacks=[watching])
    assert (estimator.n_iter_, watching.seen[-1]) == (3, ("finish", None))


def test_the_error_of_a_callback_leaves_an_estimator_of_whole_epochs():
    error = RuntimeError("disk full")
    watching = Watching(error)
    estimator = brief(MLPClassifier)
    with pytest.raises(RuntimeError, match="disk full"):
        estimator.fit(X, NAMES, X_val=X, y_val=NAMES, callbacks=[watching])
    assert watching.seen[-1] == ("finish", error)
    same = brief(MLPClassifier, max_iter=3).fit(X, NAMES, X_val=X, y_val=NAMES)
    assert (estimator.n_iter_, estimator.t_, estimator.loss_curve_) == (3, same.t_, same.loss_curve_)
    np.testing.assert_array_equal(estimator.predict_proba(X), same.predict_proba(X))
    estimator.fit(X, NAMES)
    assert (estimator.n_iter_, estimator.validation_loss_curve_, watching.seen[-1]) == (5, [], ("finish", error))


def test_keywords_are_those_of_one_fit():
    watching = Watching()
    estimator = brief(MLPClassifier).fit(X, NAMES, X_val=X, y_val=NAMES, callbacks=[watching])
    curve, seen = [*estimator.validation_loss_curve_], [*watching.seen]
    estimator.partial_fit(X, NAMES)
    assert (estimator.validation_loss_curve_, watching.seen) == (curve, seen)


@pytest.mark.parametrize("callbacks", [print, [3], None])
def test_callbacks_that_are_none(callbacks):
    with pytest.raises(TypeError, match="callbacks must be a list of callables; got"):
        brief(MLPClassifier).fit(X, NAMES, callbacks=callbacks)


@pytest.mark.parametrize("kind", ALL)
def test_keywords_are_routed(kind):
    """A search passes them on, once the estimator asks for them."""
    seen = []
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = brief(kind, max_iter=2).set_fit_request(X_val=True, y_val=True, callbacks=True)
        search = GridSearchCV(estimator, {"alpha": [0.0, 1.0]}, cv=2)
        search.fit(X, LABELS, X_val=X, y_val=LABELS, callbacks=[lambda epoch: seen.append(epoch.record)])
    assert len(seen) == 2 * (2 * 2 + 1)
    assert len(search.best_estimator_.validation_loss_curve_) == 2
