"""Ctrl-C and SIGTERM during a fit of our multilayer perceptrons."""

import signal

import numpy as np
import pytest
from sklearn_cases import SIGNAL, X, check_answers, check_attributes, estimators, recorded

from fastfnn.execution import thresholds
from fastfnn.sklearn.mixin import FastMLP

LABELS = SIGNAL.argmax(axis=1)


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


@pytest.fixture(autouse=True)
def usual_handlers():
    """Let an interrupt be Ctrl-C's, also where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class Interrupting(np.random.RandomState):
    """Draws that are interrupted in the third epoch, as by Ctrl-C."""

    n_epochs = 0
    signal = signal.SIGINT

    def shuffle(self, rows):
        self.n_epochs += 1
        if self.n_epochs == 3:
            signal.raise_signal(self.signal)
        super().shuffle(rows)


class Terminating(Interrupting):
    """Draws that are interrupted in the third epoch by the end of the program."""

    signal = signal.SIGTERM


class Raising(np.random.RandomState):
    """Draws in which Ctrl-C acts at once, before the first step."""

    def shuffle(self, rows):
        raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"batch_size": 53}, {"early_stopping": True}], ids=str)
def test_an_interrupted_fit(options):
    mine = estimators("multiclass", **options)[1].set_params(random_state=Interrupting(3))
    assert recorded(mine.fit, X, LABELS) == [(UserWarning, "Training interrupted by user.")]
    assert 1 <= mine.n_iter_ <= 3
    assert len(mine.loss_curve_) == mine.n_iter_
    assert np.isfinite(mine.predict_proba(X)).all()
    before = len(mine.loss_curve_)
    recorded(mine.set_params(warm_start=True, random_state=0).fit, X, LABELS)  # the model goes on
    assert len(mine.loss_curve_) == before + mine.n_iter_


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}], ids=str)
def test_an_interrupt_between_epochs(options, monkeypatch):
    pair = estimators("multiclass", **options)
    for estimator in pair:
        note = type(estimator)._update_no_improvement_count

        def interrupt(self, *arguments, note=note):
            note(self, *arguments)
            if self.n_iter_ == 3:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(type(estimator), "_update_no_improvement_count", interrupt)
            assert recorded(estimator.fit, X, LABELS) == [(UserWarning, "Training interrupted by user.")]
    theirs, mine = pair
    check_attributes(mine, theirs, 1e-9)
    check_answers(mine, theirs, X, 1e-9)


@pytest.mark.parametrize("options", [{}, {"batch_size": 53}, {"solver": "sgd"}], ids=str)
def test_an_interrupt_in_the_first_epoch_of_a_warm_fit(options):
    theirs, mine = estimators("multiclass", warm_start=True, **options)
    for estimator in (theirs, mine):
        recorded(estimator.fit, X, LABELS)
    before = mine.predict_proba(X)
    for estimator in (theirs, mine):
        estimator.set_params(random_state=Raising(3))
        assert recorded(estimator.fit, X, LABELS) == [(UserWarning, "Training interrupted by user.")]
        assert estimator.n_iter_ == 0
        assert len(estimator.loss_curve_) == 6
    assert mine.predict_proba(X).tobytes() == before.tobytes()
    check_attributes(mine, theirs, 1e-9)


@pytest.mark.filterwarnings("ignore:Training interrupted by user.:UserWarning")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_the_end_of_the_program_waits_for_the_end_of_a_call(method, monkeypatch):
    """A call takes one step here."""
    monkeypatch.setattr(thresholds, "OPERATIONS_OF_CALL", 0)
    mine = estimators("multiclass", random_state=Terminating(3))[1]
    expected = estimators("multiclass", random_state=np.random.RandomState(3))[1]
    if method == "fit":
        recorded(expected.set_params(max_iter=2).fit, X, LABELS)
    else:
        for each in (mine, expected):
            each.partial_fit(X, LABELS, classes=[0, 1, 2]).partial_fit(X, LABELS)
    before = expected.coefs_[0].copy()
    with pytest.raises(SystemExit, match="143"):
        getattr(mine, method)(X, LABELS)
    assert mine.loss_curve_ == expected.loss_curve_
    assert mine.n_iter_ == (2 if method == "fit" else 0)
    assert mine._optimizer.n_steps == 2 * 6 + 1
    assert not np.array_equal(mine.coefs_[0], before)


@pytest.mark.filterwarnings("ignore:Training interrupted by user.:UserWarning")
def test_the_end_of_the_program_waits_for_the_best_parameters():
    _, mine = estimators("multiclass", early_stopping=True, max_iter=99, n_iter_no_change=99, learning_rate_init=0.5)
    seen = []

    def terminate_after_a_worse_epoch(epoch):
        seen.append([array.copy() for array in mine.coefs_ + mine.intercepts_])
        if mine.validation_scores_[-1] < mine.best_validation_score_:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit, match="143"):
        mine.fit(X, LABELS, callbacks=[terminate_after_a_worse_epoch])
    assert 1 < mine.n_iter_ == len(seen) < 99
    best = seen[int(np.argmax(mine.validation_scores_))]
    for array, expected in zip(mine.coefs_ + mine.intercepts_, best, strict=True):
        np.testing.assert_array_equal(array, expected)
