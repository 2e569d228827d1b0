"""What estimators hold after a fit and during one: nothing of the samples, and nothing of a call goes into copies."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from sklearn_samples import CLASSIFIERS, LABELS, NUMBERS, REGRESSORS, WEIGHTS, X, brief

from fastfnn.objective import Objective
from fastfnn.sklearn import MLPClassifier, MLPRegressor
from fastfnn.sklearn.mixin import OF_A_CALL, FastMLP
from fastfnn.sklearn.stochastic import StochasticFit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ALL = CLASSIFIERS + REGRESSORS


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


@pytest.fixture
def _no_collector():
    """Let nothing be freed but what no other thing holds."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def runs(monkeypatch):
    """Return references to all runs of solvers."""
    made = []

    def noting(kind, name):
        original = getattr(kind, name)

        def note(self, *arguments):
            made.append(weakref.ref(self))
            return original(self, *arguments)

        monkeypatch.setattr(kind, name, note)

    noting(StochasticFit, "__init__")
    noting(Objective, "_prepare")
    return made


class Watching:
    """A callback."""

    def __call__(self, epoch):
        epoch.evaluate_training_set()


def targets_of(kind):
    return (LABELS if kind in CLASSIFIERS else NUMBERS).astype(np.float64)


FITS = {
    "adam": {},
    "adam in order": {"shuffle": False},
    "sgd": {"solver": "sgd"},
    "sgd in order": {"solver": "sgd", "shuffle": False},
    "adaptive sgd": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
    "all rows": {"batch_size": 50},
    "all rows in order": {"batch_size": 50, "shuffle": False},
    "early stopping": {"early_stopping": True},
    "early stopping of sgd": {"early_stopping": True, "solver": "sgd", "batch_size": 45},
    "lbfgs": {"solver": "lbfgs"},
}


def are_freed(watched):
    return all(each() is None for each in watched)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("options", FITS.values(), ids=FITS)
def test_samples_are_freed_after_a_fit(options, order, kind, runs):
    samples, y, weights = np.array(X, order=order), targets_of(kind), WEIGHTS.copy()
    watched = [weakref.ref(each) for each in (samples, y, weights)]
    estimator = brief(kind, **options).fit(samples, y, weights)
    estimator.predict(samples)
    del samples, y, weights
    assert are_freed(watched)
    assert len(runs) == 1
    assert are_freed(runs)
    watched = [weakref.ref(estimator)]
    del estimator
    assert are_freed(watched)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("options", [FITS[name] for name in FITS if name != "lbfgs"], ids=str)
def test_samples_that_are_held_out_and_callbacks_are_freed(options, kind, runs):
    y = targets_of(kind)
    held_out, callback = [X.copy(), y.copy(), WEIGHTS.copy()], Watching()
    watched = [weakref.ref(each) for each in (*held_out, callback)]
    names = "X_val", "y_val", "sample_weight_val"
    estimator = brief(kind, **options).fit(X, y, callbacks=[callback], **dict(zip(names, held_out, strict=True)))
    del held_out, callback
    assert are_freed(watched)
    assert are_freed(runs)
    watched = [weakref.ref(estimator)]
    del estimator
    assert are_freed(watched)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [20, 50])
def test_samples_are_freed_after_a_partial_fit(batch_size, shuffle, order, kind, runs):
    estimator, y = brief(kind, shuffle=shuffle, batch_size=batch_size), targets_of(kind)
    first = {"classes": np.unique(y)} if kind in CLASSIFIERS else {}
    for keywords in (first, {}):
        samples = np.array(X, order=order)
        watched = weakref.ref(samples)
        estimator.partial_fit(samples, y, **keywords)
        del samples
        assert watched() is None
    assert len(runs) == 2
    assert are_freed(runs)
    watched = weakref.ref(estimator)
    del estimator
    assert watched() is None


COPIES = {"pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)), "deep": copy.deepcopy}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_copies_that_a_callback_makes_hold_nothing_of_the_call(kind, name):
    """The callback is a local function, which could not be pickled."""
    y, seen, copies = targets_of(kind), [], []
    estimator = brief(kind)

    def keep(epoch):
        seen.append(epoch.number)
        copies.append(COPIES[name](estimator))

    estimator.fit(X, y, X_val=X[:9], y_val=y[:9], callbacks=[keep])
    for number, copied in enumerate(copies, start=1):
        assert not vars(copied).keys() & set(OF_A_CALL)
        assert copied.n_iter_ == number
        copied.partial_fit(X, y)
        copied.fit(X, y)
        assert copied.loss_curve_ == estimator.loss_curve_
        assert copied.validation_loss_curve_ == []
    assert seen == [1, 2, 3, 4, 5]


def test_pickles_that_a_callback_writes_hold_no_samples():
    held_out, pickles = X[:9].copy(), []
    estimator = brief(MLPRegressor)

    def write(epoch):
        pickles.append(pickle.dumps(estimator))

    estimator.fit(X, NUMBERS, WEIGHTS, X_val=held_out, y_val=NUMBERS[:9], callbacks=[write])
    assert held_out.tobytes() in pickle.dumps(held_out)
    for written in pickles:
        assert len(written) < len(pickle.dumps(estimator)) + 100
        assert held_out.tobytes() not in written


def test_a_copy_of_a_callback_goes_on_as_the_epochs_did():
    copies = []
    estimator = brief(MLPClassifier, shuffle=False)
    estimator.fit(X, LABELS, callbacks=[lambda epoch: copies.append(copy.deepcopy(estimator))])
    copied = copies[1]
    for _ in range(3):
        copied.partial_fit(X, LABELS)
    assert copied.loss_curve_ == estimator.loss_curve_
    np.testing.assert_array_equal(copied.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_partial_fit_within_a_fit_is_an_epoch_more(kind):
    y, seen = targets_of(kind), []
    estimator = brief(kind, shuffle=False, max_iter=3)

    def train(epoch):
        seen.append(epoch.number)
        estimator.partial_fit(X, y)

    estimator.fit(X, y, X_val=X, y_val=y, callbacks=[train])
    expected = brief(kind, shuffle=False, max_iter=6).fit(X, y)
    assert seen == [1, 2, 3]
    assert estimator.loss_curve_ == expected.loss_curve_
    assert len(estimator.validation_loss_curve_) == 3
    assert estimator.t_ == expected.t_
    np.testing.assert_array_equal(estimator.predict(X), expected.predict(X))


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "sgd", "warm_start": True}], ids=str)
def test_a_fit_within_a_fit_calls_no_callbacks(options):
    seen = []
    estimator = brief(MLPClassifier, max_iter=3, **options)

    def train(epoch):
        seen.append(epoch.number)
        estimator.fit(X, LABELS)
        assert np.isfinite(estimator.predict_proba(X)).all()

    estimator.fit(X, LABELS, callbacks=[train])
    assert seen == [1, 2, 3]
    assert np.isfinite(estimator.predict_proba(X)).all()
    assert estimator._extras.callbacks == ()
    estimator.set_params(warm_start=False).fit(X, LABELS)
    assert estimator.loss_curve_ == brief(MLPClassifier, **options | {"max_iter": 3}).fit(X, LABELS).loss_curve_
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_predictions_change_nothing(solver):
    estimator = brief(MLPClassifier, solver=solver).fit(X, LABELS)
    before = dict(vars(estimator))
    estimator.predict(X)
    estimator.predict_proba(X[:1])
    estimator.score(X, LABELS)
    estimator.hidden_outputs(X)
    estimator.to_network()
    assert vars(estimator).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(estimator).items())
