"""scikit-learn's multilayer perceptrons, trained on fastfnn's kernels.

`MLPClassifier` and `MLPRegressor` have scikit-learn's parameters, attributes, methods and random draws, and its
numbers up to rounding in float64. `FastClassifier` and `FastRegressor` add class weights, dropout and scaled targets.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        'fastfnn.sklearn extends scikit-learn, which is not installed: pip install "fastfnn[sklearn]"'
    ) from error

from fastfnn.sklearn.supported import check_supported

check_supported()

from fastfnn.sklearn.estimators import MLPClassifier, MLPRegressor, set_backend  # noqa: E402 - after the check
from fastfnn.sklearn.extended import FastClassifier, FastRegressor  # noqa: E402

__all__ = ["FastClassifier", "FastRegressor", "MLPClassifier", "MLPRegressor", "set_backend"]
