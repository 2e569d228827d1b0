"""Fits of our multilayer perceptrons are those of scikit-learn's, number by number."""

import itertools

import numpy as np
import pytest
from fastfnn_kernels import runtime
from fastfnn_kernels.jitted._compile import jit
from sklearn.exceptions import ConvergenceWarning
from sklearn_cases import (
    FORMS,
    N_ROWS,
    SIGNAL,
    TASKS,
    WEIGHTS,
    X,
    check_answers,
    check_attributes,
    check_same_fit,
    estimators,
    outcome,
    recorded,
)

from fastfnn import sklearn as ours

ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
MAIN_TASKS = ["multiclass", "binary", "multilabel", "regression", "three numbers", "counts"]


def refuse(*arguments):
    raise AssertionError("scikit-learn's own training runs")


@pytest.fixture(params=["numba", "numpy"])
def backend(request):
    ours.set_backend(request.param)
    yield
    ours.set_backend("numba")


on_each_backend = pytest.mark.usefixtures("backend")


@pytest.fixture(autouse=True)
def without_their_training(monkeypatch):
    """Let our estimators compute by themselves alone."""
    for estimator in (ours.MLPClassifier, ours.MLPRegressor):
        for name in ("_backprop", "_forward_pass"):
            monkeypatch.setattr(estimator, name, refuse)


def check(task, form="dense", weights=None, tolerance=1e-9, **options):
    theirs, mine = estimators(task, **options)
    return check_same_fit(theirs, mine, FORMS[form](X), TASKS[task][1], tolerance, weights)


@on_each_backend
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", MAIN_TASKS)
def test_activations_and_tasks(task, activation):
    check(task, activation=activation, solver="adam")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", MAIN_TASKS)
def test_gradient_descent(task, activation):
    check(task, activation=activation, solver="sgd", learning_rate_init=0.02, hidden_layer_sizes=(5, 4))


@pytest.mark.parametrize("task", ["strings", "two strings", "one class", "whole numbers", "counts of two"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_kinds_of_targets(task, solver):
    check(task, solver=solver, learning_rate_init=0.01)


MOMENTA = [(0, True), (0, False), (0.9, True), (0.9, False), (1, True), (1, False)]


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize(("momentum", "nesterov"), MOMENTA)
def test_schedules_and_momenta(schedule, momentum, nesterov):
    check(
        "multiclass",
        solver="sgd",
        learning_rate=schedule,
        learning_rate_init=0.02,
        momentum=momentum,
        nesterovs_momentum=nesterov,
        tol=0.02,  # the rate falls within these epochs
        n_iter_no_change=1,
        max_iter=12,
    )


@on_each_backend
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_an_adaptive_rate_to_its_end(task):
    options = {"learning_rate_init": 0.3, "tol": 0.05, "n_iter_no_change": 2, "max_iter": 500}
    theirs, mine = estimators(task, solver="sgd", learning_rate="adaptive", **options)
    assert check_same_fit(theirs, mine, X, TASKS[task][1]) == []
    assert mine._optimizer.learning_rate == theirs._optimizer.learning_rate <= 1e-6


@pytest.mark.parametrize("power_t", [0, 0.25, 2])
def test_powers_of_inverse_scaling(power_t):
    theirs, mine = estimators("regression", solver="sgd", learning_rate="invscaling", power_t=power_t)
    check_same_fit(theirs, mine, X, SIGNAL[:, 0])
    assert mine._optimizer.learning_rate == theirs._optimizer.learning_rate


ADAMS = [
    {"epsilon": 1e-2},
    {"epsilon": 10.0},
    {"beta_1": 0.0},
    {"beta_2": 0.0, "epsilon": 0.01},
    {"beta_1": 0.5, "beta_2": 0.5, "learning_rate_init": 0.1},
]


@on_each_backend
@pytest.mark.parametrize("options", ADAMS, ids=str)
def test_options_of_adam(options):
    check("multiclass", **options)


@on_each_backend
@pytest.mark.parametrize("task", MAIN_TASKS)
def test_sample_weights(task):
    check(task, weights=WEIGHTS)


@pytest.mark.parametrize("weights", [WEIGHTS.tolist(), (9 * WEIGHTS).astype(int) + 1, WEIGHTS[::-1], 0.5])
def test_forms_of_sample_weights(weights):
    check("multiclass", weights=weights, solver="sgd", alpha=0.5, batch_size=20)


def test_float32_weights_whose_sums_scikit_learn_rounds():
    check("multiclass", weights=WEIGHTS.astype(np.float32), solver="sgd", batch_size=20, tolerance=1e-6)


BATCHES = [
    {"batch_size": 1, "max_iter": 2},
    {"batch_size": 7},
    {"batch_size": 52},
    {"batch_size": 53},
    {"batch_size": np.int64(9)},
]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("options", BATCHES, ids=str)
def test_batches(options, solver, shuffle):
    check("multiclass", solver=solver, shuffle=shuffle, **options)


def test_batches_of_200_unless_asked_otherwise():
    theirs, mine = estimators("regression", batch_size="auto")
    check_same_fit(theirs, mine, np.tile(X, (5, 1)), np.tile(SIGNAL[:, 0], 5))


def test_a_batch_larger_than_the_samples_is_warned_of():
    (_, message), (category, _) = check("regression", batch_size=1000)
    assert "Got `batch_size` less than 1 or larger than sample size" in message
    assert category is ConvergenceWarning


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("alpha", [0, 0.5, 100.0])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_penalties(solver, alpha, weights):
    check("multiclass", weights=weights, solver=solver, alpha=alpha)


@pytest.mark.parametrize("sizes", [(), (3, 4, 5), 8, [1], np.array([4, 2]), (40, 30)], ids=str)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_hidden_layers(task, sizes):
    check(task, hidden_layer_sizes=sizes)


@pytest.mark.parametrize("weights", [None, WEIGHTS + 0.1], ids=["even", "weighted"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression", "three numbers"])
def test_early_stopping(task, solver, weights):
    options = {"learning_rate_init": 0.05, "validation_fraction": 0.25, "n_iter_no_change": 2, "max_iter": 30}
    check(task, weights=weights, solver=solver, early_stopping=True, **options)


@pytest.mark.parametrize("task", ["strings", "two strings"])
def test_early_stopping_of_strings(task):
    theirs, mine = estimators(task, early_stopping=True)
    expected = outcome(theirs.fit, X, TASKS[task][1])  # an error, before scikit-learn 1.9
    assert outcome(mine.fit, X, TASKS[task][1]) == expected
    if isinstance(expected, list):
        check_attributes(mine, theirs, 1e-9)


def test_early_stopping_with_an_adaptive_rate():
    options = {"learning_rate_init": 0.2, "validation_fraction": 0.3, "n_iter_no_change": 1, "max_iter": 60}
    check("multiclass", solver="sgd", early_stopping=True, learning_rate="adaptive", **options)


@pytest.mark.parametrize("form", [form for form in FORMS if "float32" not in form])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_forms_of_samples(task, form):
    check(task, form)


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"batch_size": 53}, {"shuffle": False}], ids=str)
@pytest.mark.parametrize("weights", [None, WEIGHTS + 0.1], ids=["even", "weighted"])
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_sparse_samples(form, weights, options):
    check("multiclass", form, weights, activation="relu", **options)


@pytest.mark.parametrize("form", ["float32", "float32 csr"])
@pytest.mark.parametrize("task", MAIN_TASKS)
def test_float32(task, form):
    check(task, form, solver="sgd", learning_rate_init=0.05, max_iter=4, tolerance=2e-4)


def test_tolerances_of_training():
    for options in ({"tol": 0.1, "n_iter_no_change": 3, "max_iter": 100}, {"n_iter_no_change": np.inf}):
        check("multiclass", learning_rate_init=0.02, **options)


LBFGS = [
    ("multiclass", "dense", None),
    ("binary", "dense", None),
    ("multilabel", "dense", None),
    ("regression", "dense", None),
    ("three numbers", "dense", WEIGHTS),
    ("counts", "dense", WEIGHTS),
    ("multiclass", "csr", WEIGHTS),
    ("regression", "csc", None),
    ("multiclass", "fortran", WEIGHTS),
]


@on_each_backend
@pytest.mark.parametrize(("task", "form", "weights"), LBFGS)
def test_lbfgs(task, form, weights):
    options = {"solver": "lbfgs", "max_iter": 40, "alpha": 0.1, "hidden_layer_sizes": (4,)}
    check(task, form, weights, tolerance=1e-6, **options)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lbfgs_and_activations(activation):
    options = {"solver": "lbfgs", "max_iter": 40, "alpha": 0.5, "hidden_layer_sizes": (5, 4)}
    check("multiclass", activation=activation, tolerance=1e-6, **options)


@pytest.mark.parametrize("options", [{"max_fun": 5}, {"max_iter": 3}, {"tol": 1.0}], ids=str)
def test_ends_of_lbfgs(options):
    check("regression", solver="lbfgs", tolerance=1e-6, **{"max_iter": 40} | options)


@pytest.mark.parametrize("form", ["float32", "float32 csr"])
def test_lbfgs_of_float32_samples_leaves_float64(form):
    theirs, mine = estimators("multiclass", solver="lbfgs", max_iter=5)
    recorded(mine.fit, FORMS[form](X), TASKS["multiclass"][1])
    recorded(theirs.fit, FORMS[form](X), TASKS["multiclass"][1])
    assert {array.dtype.name for array in mine.coefs_ + mine.intercepts_} == {"float64"}
    check_attributes(mine, theirs, 1e-4)


@pytest.mark.parametrize("task", MAIN_TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_warm_starts(solver, task):
    theirs, mine = estimators(task, solver=solver, warm_start=True, max_iter=4)
    for n_epochs in (4, 3, 5):
        tolerance = 1e-6 if solver == "lbfgs" else 1e-9
        check_same_fit(
            theirs.set_params(max_iter=n_epochs), mine.set_params(max_iter=n_epochs), X, TASKS[task][1], tolerance
        )


def test_warm_starts_with_early_stopping():
    theirs, mine = estimators(
        "multiclass", warm_start=True, early_stopping=True, learning_rate="invscaling", solver="sgd"
    )
    for _ in range(3):
        check_same_fit(theirs, mine, X, TASKS["multiclass"][1])


# A fit by L-BFGS leaves no curve that another solver could go on with.
SOLVERS = [solvers for solvers in itertools.permutations(["sgd", "adam", "lbfgs"]) if solvers[0] != "lbfgs"]


@pytest.mark.parametrize("solvers", SOLVERS, ids="-".join)
def test_warm_starts_with_another_solver(solvers):
    theirs, mine = estimators("multiclass", warm_start=True, solver=solvers[0])
    for solver in solvers:
        check_same_fit(
            theirs.set_params(solver=solver), mine.set_params(solver=solver), X, TASKS["multiclass"][1], 1e-6
        )


@on_each_backend
@pytest.mark.parametrize("as_instance", [False, True], ids=["seed", "random state"])
@pytest.mark.parametrize("weighted", [False, True], ids=["even", "weighted"])
@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_partial_fits(task, weighted, as_instance):
    theirs, mine = estimators(task)
    if as_instance:
        theirs.random_state, mine.random_state = np.random.RandomState(4), np.random.RandomState(4)
    is_classifier, y = TASKS[task]
    for first, last in ((0, 20), (20, 53), (5, 30), (0, 53)):
        weights = {"sample_weight": WEIGHTS[first:last] + 0.1} if weighted else {}
        classes = {"classes": np.arange(3)} if is_classifier and last == 20 else {}
        for estimator in (theirs, mine):
            recorded(estimator.partial_fit, X[first:last], y[first:last], **weights, **classes)
        check_attributes(mine, theirs, 1e-9)
        check_answers(mine, theirs, X, 1e-9)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive"])
def test_partial_fits_after_a_fit(schedule, task):
    theirs, mine = estimators(task, solver="sgd", learning_rate=schedule, tol=0.05, n_iter_no_change=1)
    check_same_fit(theirs, mine, X, TASKS[task][1])
    for _ in range(8):
        theirs.partial_fit(X, TASKS[task][1])
        mine.partial_fit(X, TASKS[task][1])
        check_attributes(mine, theirs, 1e-9)
        assert mine._optimizer.learning_rate == theirs._optimizer.learning_rate


DRAWING = [{}, {"batch_size": N_ROWS}, {"early_stopping": True}, {"shuffle": False}, {"solver": "lbfgs"}]


@pytest.mark.parametrize("options", DRAWING, ids=str)
def test_the_same_numbers_are_drawn(options):
    theirs, mine = estimators("multiclass", **options)
    theirs.random_state, mine.random_state = np.random.RandomState(4), np.random.RandomState(4)
    for _ in range(2):
        check_same_fit(theirs, mine, X, TASKS["multiclass"][1], 1e-6)
        assert mine.random_state.random_sample() == theirs.random_state.random_sample()


def test_a_fit_draws_its_seed_from_numpy():
    theirs, mine = estimators("multiclass", random_state=None)
    for estimator in (theirs, mine):
        np.random.seed(5)  # noqa: NPY002 - scikit-learn draws from it
        recorded(estimator.fit, X, TASKS["multiclass"][1])
    check_attributes(mine, theirs, 1e-9)


def test_batches_whose_weights_are_all_zero_change_nothing():
    weights = np.repeat([1.0, 0.0, 2.0], [10, 10, 33])
    kept = weights > 0
    options = {"solver": "sgd", "momentum": 0, "alpha": 0, "shuffle": False, "learning_rate_init": 0.1}
    _, mine = estimators("multiclass", **options)
    theirs, _ = estimators("multiclass", **options)
    recorded(mine.fit, X, SIGNAL.argmax(axis=1), sample_weight=weights)
    recorded(theirs.fit, X[kept], SIGNAL[kept].argmax(axis=1), sample_weight=weights[kept])
    np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], 1e-9)
    np.testing.assert_allclose(mine.loss_curve_, np.array(theirs.loss_curve_) * 43 / 53, 1e-9)  # of all rows


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("form", ["dense", "csr"])
def test_the_same_bits_on_one_and_two_threads(form, solver, monkeypatch):
    monkeypatch.setattr(jit, "PARALLEL_OPERATIONS", 0)
    results = set()
    for n_threads in (1, 2):
        _, mine = estimators("multiclass", solver=solver)
        with runtime.threads(n_threads):
            recorded(mine.fit, FORMS[form](X), TASKS["multiclass"][1])
            results.add((*(array.tobytes() for array in mine.coefs_), mine.loss_, mine.predict_proba(X).tobytes()))
    assert len(results) == 1
