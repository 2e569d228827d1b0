"""Our multilayer perceptrons, fitted, in the hands of users: copied, edited, printed, in pipelines."""

import copy
import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_cases import (
    FORMS,
    SIGNAL,
    TASKS,
    WEIGHTS,
    X,
    check_answers,
    check_attributes,
    check_same_fit,
    estimators,
    recorded,
    refusal,
)

from fastfnn import sklearn as ours

LABELS = SIGNAL.argmax(axis=1)
NAMES = ["MLPClassifier", "MLPRegressor"]


def fitted(task="multiclass", form="dense", **options):
    pair = estimators(task, **options)
    for estimator in pair:
        recorded(estimator.fit, FORMS[form](X), TASKS[task][1])
    return pair


@pytest.mark.parametrize("name", NAMES)
def test_the_class_is_scikit_learns(name):
    theirs, mine = getattr(neural_network, name), getattr(ours, name)
    assert issubclass(mine, theirs)
    assert inspect.signature(mine) == inspect.signature(theirs)
    assert mine.__name__ == name
    assert mine().get_params() == theirs().get_params()
    assert repr(mine(alpha=1)) == repr(theirs(alpha=1))
    assert mine().__sklearn_tags__() == theirs().__sklearn_tags__()
    assert hasattr(mine(), "set_output") == hasattr(theirs(), "set_output")
    assert hasattr(mine(solver="lbfgs"), "partial_fit") == hasattr(theirs(solver="lbfgs"), "partial_fit")


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_fit_is_made_by_this_package(solver):
    _, mine = fitted(solver=solver)
    assert type(mine._optimizer).__module__.startswith("fastfnn.")


def test_backends():
    assert ours.MLPClassifier.backend == ours.MLPRegressor.backend == "numba"
    ours.set_backend("numpy")
    try:
        assert ours.MLPClassifier.backend == ours.MLPRegressor.backend == "numpy"
        assert ours.MLPClassifier().backend == "numpy"
    finally:
        ours.set_backend("numba")
    with pytest.raises(ValueError, match="backend must be one of numba, numpy; got 'numb'"):
        ours.set_backend("numb")
    assert ours.MLPClassifier.backend == "numba"


COPIES = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("asked_before", [False, True])
def test_copies(name, solver, asked_before):
    theirs, mine = fitted(solver=solver)
    if asked_before:
        mine.predict(X)
    theirs, copied = COPIES[name](theirs), COPIES[name](mine)
    check_attributes(copied, theirs, 1e-6)
    check_answers(copied, theirs, X, 1e-6)
    assert copied.predict_proba(X).tobytes() == mine.predict_proba(X).tobytes()
    if solver != "lbfgs":  # an optimizer goes on where it was
        for estimator in (theirs, copied):
            estimator.partial_fit(X, LABELS)
        check_attributes(copied, theirs, 1e-9)
        check_answers(copied, theirs, X, 1e-9)


def test_pickles_hold_parameters_and_no_network():
    theirs, mine = fitted(hidden_layer_sizes=(200,))
    written = pickle.dumps(mine)
    assert len(written) < 1.05 * len(pickle.dumps(theirs))
    assert b"fastfnn.network" not in written


def test_a_deep_copy_is_another_model():
    _, mine = fitted()
    before = mine.predict_proba(X)
    copied = copy.deepcopy(mine)
    copied.partial_fit(X, LABELS)
    assert (mine.predict_proba(X) == before).all()
    assert (copied.predict_proba(X) != before).any()


def test_files_of_joblib(tmp_path):
    theirs, mine = fitted()
    for estimator, name in ((mine, "mine"), (theirs, "theirs")):
        joblib.dump(estimator, tmp_path / name)
    mapped = joblib.load(tmp_path / "mine", mmap_mode="r")  # arrays that cannot be written to
    check_answers(mapped, joblib.load(tmp_path / "theirs"), X, 1e-9)
    loaded = joblib.load(tmp_path / "mine")
    for estimator in (loaded, theirs):
        estimator.partial_fit(X, LABELS)
    check_attributes(loaded, theirs, 1e-9)


def test_clones():
    _, mine = fitted(alpha=0.5)
    cloned = clone(mine)
    assert type(cloned) is type(mine)
    assert not hasattr(cloned, "coefs_")
    assert cloned.get_params() == mine.get_params()
    recorded(cloned.fit, X, LABELS)
    assert cloned.predict_proba(X).tobytes() == mine.predict_proba(X).tobytes()


def double_in_place(estimator):
    estimator.coefs_[0] *= 2
    estimator.intercepts_[-1][0] += 1


def replace_one(estimator):
    estimator.coefs_[1] = 2 * estimator.coefs_[1]


def replace_an_intercept(estimator):
    estimator.intercepts_[0] = estimator.intercepts_[0] + 1


def set_to_zero(estimator):
    for array in estimator.coefs_ + estimator.intercepts_:
        array[...] = 0  # all classes are as probable


def replace_lists(estimator):
    estimator.coefs_ = [2 * array for array in estimator.coefs_]
    estimator.intercepts_ = [array + 1 for array in estimator.intercepts_]


def replace_by_other_layouts(estimator):
    estimator.coefs_ = [np.asfortranarray(array) for array in estimator.coefs_]
    estimator.intercepts_ = [np.repeat(array, 2)[::2] + 1 for array in estimator.intercepts_]


def swap_units(estimator):
    estimator.coefs_[0] = estimator.coefs_[0][:, ::-1]
    estimator.intercepts_[0] = estimator.intercepts_[0][::-1]


def drop_a_unit(estimator):
    estimator.coefs_ = [estimator.coefs_[0][:, 1:], estimator.coefs_[1][1:]]
    estimator.intercepts_[0] = estimator.intercepts_[0][1:]


EDITS = [
    double_in_place,
    replace_one,
    replace_an_intercept,
    set_to_zero,
    replace_lists,
    replace_by_other_layouts,
    swap_units,
    drop_a_unit,
]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("task", ["multiclass", "binary"])
def test_edited_parameters_are_seen(task, edit, solver):
    theirs, mine = fitted(task, solver=solver)
    check_answers(mine, theirs, X, 1e-6)
    edit(theirs)
    edit(mine)
    check_answers(mine, theirs, X, 1e-6)


@pytest.mark.parametrize("edit", [double_in_place, replace_lists])
def test_training_goes_on_from_edited_parameters(edit):
    theirs, mine = fitted()
    for estimator in (theirs, mine):
        edit(estimator)
        estimator.partial_fit(X, LABELS)
    check_attributes(mine, theirs, 1e-9)
    theirs, mine = fitted(warm_start=True)
    edit(theirs)
    edit(mine)
    check_same_fit(theirs, mine, X, LABELS)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("task", "loss"), [("regression", "poisson"), ("counts", "squared_error")])
def test_predictions_are_those_of_the_loss_that_was_fitted(task, loss, solver):
    theirs, mine = fitted(task, solver=solver)
    before = mine.predict(X)
    for estimator in (theirs, mine):
        estimator.set_params(loss=loss)
    check_answers(mine, theirs, X, 1e-6)
    np.testing.assert_array_equal(mine.predict(X), before)


PRINTING = {
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "adam": {"solver": "adam", "learning_rate_init": 0.05},
    "stopping": {"tol": 0.5, "n_iter_no_change": 2, "max_iter": 20},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1, "max_iter": 80},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 20},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("verbose", [True, 2])
@pytest.mark.parametrize("options", PRINTING.values(), ids=PRINTING)
def test_the_same_is_printed(options, verbose, capfd):
    printed = []
    for estimator in estimators("multiclass", verbose=verbose, **options):
        recorded(estimator.fit, X, LABELS)
        printed.append(capfd.readouterr())
    assert printed[0] == printed[1]
    assert ("Iteration 1, loss = " in printed[0].out) == (options.get("solver") != "lbfgs")


def test_a_partial_fit_prints_the_same(capfd):
    printed = []
    for estimator in estimators("regression", verbose=True):
        estimator.partial_fit(X, SIGNAL[:, 0]).partial_fit(X, SIGNAL[:, 0])
        printed.append(capfd.readouterr())
    assert printed[0] == printed[1]
    assert printed[0].out.count("Iteration 1, loss = ") == 2


def test_the_scores_of_a_subclass_are_used():
    class Constant(ours.MLPClassifier):
        def _score(self, X, y, sample_weight=None):
            return 0.25

    model = Constant(early_stopping=True, max_iter=3, random_state=0)
    recorded(model.fit, X, LABELS)
    assert model.validation_scores_ == [0.25] * 3


FRAME = pd.DataFrame(X, columns=list("abcdefg"))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_names_of_features(early_stopping):
    theirs, mine = estimators("multiclass", early_stopping=early_stopping)
    assert len(check_same_fit(theirs, mine, FRAME, pd.Series(LABELS))) == 1  # that it has not converged
    assert mine.feature_names_in_.tolist() == list("abcdefg")
    unnamed = recorded(mine.predict, X)
    assert unnamed == recorded(theirs.predict, X)
    assert "X does not have valid feature names" in unnamed[0][1]
    assert refusal(mine.predict, FRAME[list("bacdefg")]) == refusal(theirs.predict, FRAME[list("bacdefg")])


def test_a_frame_of_integers_and_one_for_a_model_without_names():
    theirs, mine = estimators("regression")
    whole = FRAME.round().astype(int)
    check_same_fit(theirs, mine, whole, SIGNAL[:, 0])
    theirs, mine = fitted("regression")
    named = recorded(mine.predict, FRAME)
    assert named == recorded(theirs.predict, FRAME)
    assert "X has feature names, but MLPRegressor was fitted without feature names" in named[0][1]


def test_a_pipeline_with_frames():
    answers = []
    for estimator in estimators("multiclass"):
        pipeline = make_pipeline(StandardScaler(), estimator).set_output(transform="pandas")
        recorded(pipeline.fit, FRAME, LABELS)
        assert pipeline[-1].feature_names_in_.tolist() == list("abcdefg")
        assert recorded(pipeline.predict, FRAME) == []
        answers.append(pipeline.predict_proba(FRAME))
    np.testing.assert_allclose(answers[1], answers[0], 1e-9)


def scores(estimator, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs
        search = GridSearchCV(estimator, {"alpha": [0.1, 10.0], "solver": ["sgd", "adam"]}, cv=2)
        search.fit(X, LABELS, **options)
        folds = cross_val_score(search.best_estimator_, X, LABELS, cv=3)
    return search.cv_results_["mean_test_score"].tolist(), search.best_params_, folds.tolist()


def test_searches_find_the_same():
    theirs, mine = estimators("multiclass")
    assert scores(mine) == scores(theirs)


def test_metadata_is_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        results = [
            scores(
                estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
                sample_weight=WEIGHTS,
            )
            for estimator in estimators("multiclass")
        ]
        assert results[0] == results[1]
        requests = [est.set_partial_fit_request(classes=True).get_metadata_routing() for est in estimators("binary")]
        assert repr(requests[1].partial_fit) == repr(requests[0].partial_fit)
        assert "True" in repr(requests[1].partial_fit)
    assert results[0][0] != scores(estimators("multiclass")[0])[0]


def test_a_float32_model_answers_in_float32():
    theirs, mine = fitted("regression", "float32")
    for given in (X, X[:1], X.astype(np.float32), sparse.csr_matrix(X), np.asfortranarray(X)):
        answers = mine.predict(given)
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, theirs.predict(given), 1e-4, 1e-5)


@pytest.mark.parametrize("form", [*FORMS, "integer csr", "integer csc", "float16", "read-only"])
@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_forms_of_samples_to_predict(task, form):
    whole = np.round(3 * X)
    forms = FORMS | {
        "integer csr": lambda X: sparse.csr_matrix(X.astype(int)),
        "integer csc": lambda X: sparse.csc_matrix(X.astype(int)),
        "float16": lambda X: X.astype(np.float16),
        "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
    }
    theirs, mine = fitted(task)
    check = mine.predict(forms[form](whole)), theirs.predict(forms[form](whole))
    if task != "regression":
        assert (check[0] == check[1]).all()
        check = mine.predict_proba(forms[form](whole)), theirs.predict_proba(forms[form](whole))
    np.testing.assert_allclose(*check, 1e-9 if "float32" not in form else 1e-4, 1e-6)
    assert check[0].shape == check[1].shape
