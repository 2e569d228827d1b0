"""Versions of scikit-learn that the estimators extend.

They override methods that are private to scikit-learn. If one were renamed, scikit-learn would train with its own, in
silence. So their signatures are compared when `fastfnn.sklearn` is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import sklearn
from sklearn import neural_network

SUPPORTED = "1.7, 1.8 and 1.9"

_WORKSPACE = "activations deltas coef_grads intercept_grads"

# Parameters of the methods that are overridden or called.
METHODS = {
    "_fit": "X y sample_weight incremental",
    "_fit_lbfgs": f"X y sample_weight {_WORKSPACE} layer_units",
    "_fit_stochastic": f"X y sample_weight {_WORKSPACE} layer_units incremental",
    "_forward_pass_fast": "X check_input",
    "_initialize": "y layer_units dtype",
    "_loss_grad_lbfgs": f"packed_coef_inter X y sample_weight {_WORKSPACE}",
    "_predict": "X check_input",
    "_score": "X y sample_weight",
    "_update_no_improvement_count": "early_stopping X y sample_weight",
    "fit": "X y sample_weight",
}

_STOPPING = "validation_fraction beta_1 beta_2 epsilon n_iter_no_change max_fun"
_SOLVER = "solver alpha batch_size learning_rate learning_rate_init power_t max_iter shuffle random_state tol verbose"
_COMMON = f"hidden_layer_sizes activation {_SOLVER} warm_start momentum nesterovs_momentum early_stopping {_STOPPING}"

# Parameters of the constructors.
CONSTRUCTORS = {"MLPClassifier": _COMMON, "MLPRegressor": f"loss {_COMMON}"}


def check_supported(module: Any = neural_network) -> None:
    """Raise ImportError if a class of scikit-learn is not as expected."""
    for name, parameters in CONSTRUCTORS.items():
        kind = getattr(module, name)
        for method, expected in {"__init__": parameters, **METHODS}.items():
            if _parameters(getattr(kind, method, None)) != expected.split():
                raise ImportError(
                    f"fastfnn.sklearn supports scikit-learn {SUPPORTED}; this is {sklearn.__version__}, in which "
                    f"{name}.{method} is another: install one of those, or a newer fastfnn"
                )


def _parameters(method: Any) -> list[str] | None:
    """Return the names of a method's parameters, without self; None if there is no such method."""
    if method is None:
        return None
    parameters: Mapping[str, Any] = inspect.signature(method).parameters
    return list(parameters)[1:]
