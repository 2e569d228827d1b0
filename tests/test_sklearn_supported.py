"""Other versions of scikit-learn are refused at import, as is none."""

import types

import pytest
import sklearn
from processes import output_of
from sklearn import neural_network

from fastfnn.sklearn.supported import CONSTRUCTORS, METHODS, check_supported


def changed(name, **methods):
    """Return a module like `sklearn.neural_network` in which one class has other methods."""
    module = types.SimpleNamespace(**{each: getattr(neural_network, each) for each in CONSTRUCTORS})
    setattr(module, name, type(name, (getattr(neural_network, name),), methods))
    return module


def test_the_installed_version_is_supported():
    check_supported()
    check_supported(changed("MLPClassifier"))


@pytest.mark.parametrize("method", [*METHODS, "__init__"])
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_another_method(name, method):
    for other in (None, lambda self, X, further=None: None):
        message = rf"scikit-learn 1\.7, 1\.8 and 1\.9; this is {sklearn.__version__}, in which {name}\.{method} is "
        with pytest.raises(ImportError, match=message):
            check_supported(changed(name, **{method: other}))


def test_a_further_parameter():
    def predict(self, X, check_input=True, *, copy=False):
        raise NotImplementedError

    with pytest.raises(ImportError, match=r"MLPRegressor\._predict is another: install one of those, or a newer"):
        check_supported(changed("MLPRegressor", _predict=predict))


WITH_ANOTHER = """
    import sklearn.neural_network._multilayer_perceptron as module

    del module.BaseMultilayerPerceptron._fit_stochastic
    try:
        import fastfnn.sklearn
    except ImportError as error:
        print(error)
"""


def test_the_import_checks():
    assert "in which MLPClassifier._fit_stochastic is another" in output_of(WITH_ANOTHER)


WITHOUT = """
    import sys

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == "sklearn":
                raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    sys.meta_path.insert(0, Absent())
    try:
        import fastfnn.sklearn
    except ImportError as error:
        print(error)
"""


def test_the_extra_is_named_where_scikit_learn_is_missing():
    message = 'fastfnn.sklearn extends scikit-learn, which is not installed: pip install "fastfnn[sklearn]"\n'
    assert output_of(WITHOUT) == message
