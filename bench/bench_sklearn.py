"""scikit-learn's multilayer perceptrons, and those of `fastfnn.sklearn`: whole calls of fit and of predictions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from adam_job import table
from contenders import NUMBA, SCIKIT_LEARN, contenders, operations_of
from main_job import N_HIDDEN, mnist
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TRAINING_TOLERANCE, assert_close

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")

SEED = 1

# Largest difference to scikit-learn's parameters. Both draw the same numbers; those of float32 drift apart, as
# scikit-learn's own do on another number of threads.
TOLERANCES = {"adam": 1e-9, "lbfgs": 1e-6}
PROBABILITY_TOLERANCES = {"float64": 1e-9, "float32": 1e-3}

Samples = tuple[Any, NDArray[Any]]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Training(NamedTuple):
    """A call of fit: samples, and what differs from scikit-learn's defaults."""

    samples: Callable[[], Samples]
    max_iter: int
    hidden: int = 100
    solver: str = "adam"


def images(n_rows: int, dtype: str) -> Samples:
    """Return images of MNIST as floats from 0 to 1."""
    samples = mnist().first(n_rows)
    return samples.floats(dtype), samples.y


def digits() -> Samples:
    """Return scikit-learn's 1,797 digits as floats from 0 to 1."""
    X, y = datasets.load_digits(return_X_y=True)
    return X / 16, y


def iris() -> Samples:
    """Return Fisher's 150 irises, standardised."""
    X, y = datasets.load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def words() -> Samples:
    """Draw documents as a bag of words: 50,000 columns, 80 numbers in a row, 20 classes."""
    import scipy.sparse  # scikit-learn comes with it

    rng = np.random.default_rng(SEED)
    n_rows, n_words, n_of_word = 20_000, 80, 625
    n_columns = n_words * n_of_word
    columns = rng.integers(0, n_of_word, (n_rows, n_words)) + n_of_word * np.arange(n_words)
    firsts = np.arange(0, n_rows * n_words + 1, n_words)
    X = scipy.sparse.csr_matrix((rng.random(n_rows * n_words), columns.ravel(), firsts), (n_rows, n_columns))
    return X, rng.integers(0, 20, n_rows)


TRAININGS = {
    "MNIST 42,000x784 float64, adam, 3 epochs": Training(lambda: images(42_000, "float64"), 3, N_HIDDEN),
    "MNIST 42,000x784 float32, adam, 3 epochs": Training(lambda: images(42_000, "float32"), 3, N_HIDDEN),
    "100,000x54 float64, adam, 3 epochs": Training(table, 3),
    "digits 1,797x64 float64, adam, 30 epochs": Training(digits, 30),
    "digits 1,797x64 float64, lbfgs": Training(digits, 200, solver="lbfgs"),
    "CSR 20,000x50,000 float64, adam, 1 epoch": Training(words, 1, 64),
    "MNIST 10,000x784 float64, lbfgs, 10 iterations": Training(
        lambda: images(10_000, "float64"), 10, N_HIDDEN, "lbfgs"
    ),
    "iris 150x4 float64, adam, 200 epochs": Training(iris, 200),
}


@contenders(NUMBA, SCIKIT_LEARN)
@pytest.mark.parametrize("case", TRAININGS)
def bench_sklearn_fit(measure: Measure, case: str, contender: str) -> None:
    training = TRAININGS[case]
    X, y = samples_of(case)
    classifier = classifier_of(contender, training)

    def check(fitted: Any) -> None:
        assert_trained_alike(fitted, expected_of(case), training)

    n_samples = X.shape[0] * training.max_iter if training.solver == "adam" else 0
    work = Work("scikit-learn's fit", case, X.dtype.name, samples=n_samples, headline=f"MLPClassifier.fit, {case}")
    measure(work, contender, lambda: classifier.fit(X, y), check)


@contenders(NUMBA, SCIKIT_LEARN)
@pytest.mark.parametrize(
    ("method", "n_rows", "dtype"),
    [("predict_proba", 10_000, "float64"), ("predict_proba", 10_000, "float32"), ("predict", 1, "float64")],
)
def bench_sklearn_predict(measure: Measure, method: str, n_rows: int, dtype: str, contender: str) -> None:
    X, _ = images(n_rows, dtype)
    fitted, other = (fitted_to_images(name, dtype) for name in (contender, SCIKIT_LEARN))
    expected = getattr(other, method)(X)

    def check(predicted: Any) -> None:
        assert_close(predicted, expected, PROBABILITY_TOLERANCES[dtype])

    rows = f"{n_rows:,} row{'s' if n_rows > 1 else ''}"
    case = f"{method}, 784-256-10, {rows} {dtype}"
    headline = f"MLPClassifier.{method}, {rows} {dtype}"
    work = Work("scikit-learn's predictions", case, dtype, samples=n_rows, headline=headline)
    measure(work, contender, functools.partial(getattr(fitted, method), X), check)


def classifier_of(contender: str, training: Training) -> Any:
    """Return an untrained classifier."""
    solver, max_iter = training.solver, training.max_iter
    return operations_of(contender).classifier(
        (training.hidden,), solver=solver, max_iter=max_iter, random_state=SEED
    )


def fitted_to_images(contender: str, dtype: str) -> Any:
    """Return a classifier that was trained for a few steps."""
    training = Training(lambda: images(1_000, dtype), 1, N_HIDDEN)
    return classifier_of(contender, training).fit(*training.samples())


@functools.lru_cache(maxsize=1)
def samples_of(case: str) -> Samples:
    """Return the samples of a training."""
    return TRAININGS[case].samples()


@functools.cache
def expected_of(case: str) -> Any:
    """Return scikit-learn's classifier after a training; kept for all passes."""
    return classifier_of(SCIKIT_LEARN, TRAININGS[case]).fit(*samples_of(case))


def assert_trained_alike(fitted: Any, expected: Any, training: Training) -> None:
    """Check that a classifier took the steps of another one, with its numbers."""
    if fitted.n_iter_ != expected.n_iter_:
        raise AssertionError(f"expected {expected.n_iter_} iterations; got {fitted.n_iter_}")
    after, wanted = (each.coefs_ + each.intercepts_ for each in (fitted, expected))
    if expected.coefs_[0].dtype == np.float64:
        for actual, parameter in zip(after, wanted, strict=True):
            assert_close(actual, parameter, TOLERANCES[training.solver])
    else:
        assert_close(fitted.loss_, expected.loss_, TRAINING_TOLERANCE)
