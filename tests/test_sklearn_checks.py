"""scikit-learn's checks of estimators pass on ours: all but those that scikit-learn skips for its own."""

from unittest import SkipTest

import pytest
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastfnn import sklearn as ours
from fastfnn.sklearn import FastClassifier, FastRegressor, MLPClassifier, MLPRegressor

# As scikit-learn does for its own: a check of few epochs, which do not converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# The same arithmetic without kernels to compile; scikit-learn's own tests run on them.
BACKEND = "numpy"


@pytest.fixture(autouse=True)
def backend():
    ours.set_backend(BACKEND)
    yield
    ours.set_backend("numba")


# A list, where `parametrize_with_checks` of scikit-learn 1.7 gives pytest a generator, of which it warns.
CHECKS = [
    pair
    for kind in (MLPClassifier, MLPRegressor, FastClassifier, FastRegressor)
    for pair in estimator_checks_generator(kind(max_iter=100), mark="xfail")
]


def name(argument):
    return type(argument).__name__ if hasattr(argument, "fit") else argument.func.__name__


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=name)
def test_checks(estimator, check):
    try:
        check(estimator)
    except SkipTest:
        theirs = neural_network.MLPClassifier if is_classifier(estimator) else neural_network.MLPRegressor
        with pytest.raises(SkipTest):
            check(theirs(max_iter=100))
