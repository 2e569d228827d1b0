"""Small seeded data, fits of it by scikit-learn's estimators and by ours, and comparisons of these."""

import warnings

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import neural_network

from fastfnn import sklearn as ours

N_ROWS = 53  # no multiple of a batch


def _draw():
    rng = np.random.default_rng(23)
    X = rng.standard_normal((N_ROWS, 7)) * (rng.random((N_ROWS, 7)) < 0.6)
    signal = X @ rng.standard_normal((7, 3)) + 0.3 * rng.standard_normal((N_ROWS, 3))
    weights = rng.random(N_ROWS) * (rng.random(N_ROWS) < 0.8)
    return X, signal, weights


X, SIGNAL, WEIGHTS = _draw()
COUNTS = np.floor(np.minimum(np.exp(SIGNAL), 6))

# By the name of a task: whether it is one of classes, and the targets.
TASKS = {
    "multiclass": (True, SIGNAL.argmax(axis=1)),
    "binary": (True, np.where(SIGNAL[:, 0] > 0, 7, -3)),
    "multilabel": (True, (SIGNAL > 0).astype(int)),
    "strings": (True, np.array(["ant", "bee", "cat"], dtype=object)[SIGNAL.argmax(axis=1)]),
    "two strings": (True, np.where(SIGNAL[:, 1] > 0, "yes", "no")),
    "one class": (True, np.full(N_ROWS, 4)),
    "regression": (False, SIGNAL[:, 0]),
    "three numbers": (False, SIGNAL),
    "whole numbers": (False, np.floor(5 * SIGNAL[:, 0])),
    "counts": (False, COUNTS[:, 0]),
    "counts of two": (False, COUNTS[:, :2]),
}
POISSON = ("counts", "counts of two")

FORMS = {
    "dense": np.asarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr array": sparse.csr_array,
    "csc array": sparse.csc_array,
    "fortran": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "lists": np.ndarray.tolist,
    "whole numbers": lambda X: np.round(3 * X).astype(np.int32),
    "float32": lambda X: X.astype(np.float32),
    "float32 csr": lambda X: sparse.csr_matrix(X.astype(np.float32)),
}

DEFAULTS = {"hidden_layer_sizes": (6,), "batch_size": 10, "max_iter": 6, "activation": "tanh", "random_state": 11}


def estimators(task, **options):
    """Return scikit-learn's estimator for a task, and ours."""
    name = "MLPClassifier" if TASKS[task][0] else "MLPRegressor"
    loss = {"loss": "poisson"} if task in POISSON else {}
    theirs = getattr(neural_network, name)(**DEFAULTS | loss | options)
    return theirs, getattr(ours, name)(**theirs.get_params())


def recorded(call, *arguments, **keywords):
    """Call; returns what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*arguments, **keywords)
    return [(warning.category, str(warning.message)) for warning in caught]


def outcome(call, *arguments, **keywords):
    """Call; returns what it warned of, or the class and the text of its error."""
    try:
        return recorded(call, *arguments, **keywords)
    except Exception as error:  # of any class: it is compared
        return type(error), str(error)


def refusal(call, *arguments, **keywords):
    """Return the class and the text of the error that a call raises."""
    error = outcome(call, *arguments, **keywords)
    assert isinstance(error, tuple), "nothing was raised"
    return error


def close(actual, expected, tolerance):
    """Compare arrays: numbers relative to their own size, or to a thousandth of the largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    assert_allclose(actual, expected, tolerance, atol=1e-3 * tolerance * largest)


EXACT = ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "_no_improvement_count")
NUMBERS = ("loss_", "loss_curve_", "best_loss_")
SCORES = ("validation_scores_", "best_validation_score_")


def check_attributes(mine, theirs, tolerance):
    """Compare all that a fit leaves."""
    public = {name for name in vars(theirs) if name.endswith("_")}
    assert public <= vars(mine).keys()
    for name in EXACT:
        assert getattr(mine, name, None) == getattr(theirs, name, None), name
    if hasattr(theirs, "classes_"):
        assert mine.classes_.dtype == theirs.classes_.dtype
        assert mine.classes_.tolist() == theirs.classes_.tolist()
    for name in set(NUMBERS + SCORES) & public:
        check_numbers(getattr(mine, name), getattr(theirs, name), tolerance, name)
    assert (len(mine.coefs_), len(mine.intercepts_)) == (len(theirs.coefs_), len(theirs.intercepts_))
    for actual, expected in zip(mine.coefs_ + mine.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        close(actual, expected, tolerance)


def check_numbers(actual, expected, tolerance, name):
    """Compare losses or scores: accuracies are equal."""
    assert (actual is None) == (expected is None), name
    if expected is not None:
        assert isinstance(actual, float | list), name
        assert_allclose(actual, expected, tolerance, err_msg=name)


def check_answers(mine, theirs, X, tolerance):
    """Compare predictions, of all rows and of one."""
    for rows in (X, X[:1]) if not hasattr(X, "format") or X.format == "csr" else (X,):
        predicted = mine.predict(rows)
        if not hasattr(theirs, "predict_proba"):
            close(predicted, theirs.predict(rows), tolerance)
            continue
        assert predicted.dtype == theirs.predict(rows).dtype
        assert predicted.tolist() == theirs.predict(rows).tolist()
        close(mine.predict_proba(rows), theirs.predict_proba(rows), tolerance)
        close(mine.predict_log_proba(rows), theirs.predict_log_proba(rows), tolerance)


def check_same_fit(theirs, mine, X, y, tolerance=1e-9, weights=None):
    """Fit both, and compare what they warn of, what they leave and what they answer; returns the warnings."""
    expected = recorded(theirs.fit, X, y, sample_weight=weights)
    assert recorded(mine.fit, X, y, sample_weight=weights) == expected
    check_attributes(mine, theirs, tolerance)
    check_answers(mine, theirs, X, tolerance)
    return expected
