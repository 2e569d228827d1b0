"""Methods that replace those of scikit-learn's multilayer perceptrons: training and predictions by fastfnn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
from fastfnn_kernels.arguments import DTYPES
from numpy.typing import ArrayLike, NDArray
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.utils.validation import validate_data

from fastfnn.execution.options import Penalty
from fastfnn.network import Network
from fastfnn.objective import Objective
from fastfnn.optimizers import SGD, Adam, Optimizer
from fastfnn.sklearn.conversion import hidden_outputs, network_of
from fastfnn.sklearn.networks import LOSSES, Built, activations_of, arrays_of, build, losses_of
from fastfnn.sklearn.samples import Samples, inputs_of, require_numbers, split, validated
from fastfnn.sklearn.stochastic import RateSchedule, StochasticFit
from fastfnn.training.interrupt import TERMINATED

# Attributes that are not pickled.
OF_A_CALL = ("_built", "_before", "_extras", "_objective")


class Extras(NamedTuple):
    """Arguments of `fit` that scikit-learn's lacks."""

    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None
    callbacks: Sequence[Callable[..., Any]] = ()

    def check(self, solver: str) -> None:
        """Raise ValueError if the arguments do not fit together, or the solver cannot use them."""
        if (self.X_val is None) != (self.y_val is None) or (
            self.X_val is None and self.sample_weight_val is not None
        ):
            raise ValueError("X_val, y_val and sample_weight_val belong together: pass X_val and y_val")
        if solver == "lbfgs" and (self.X_val is not None or self.callbacks):
            raise ValueError("the solver lbfgs has no epochs: X_val and callbacks need solver='adam' or 'sgd'")


class FastMLP(BaseMultilayerPerceptron):
    """Methods that replace those of scikit-learn's two classes.

    Attributes
    ----------
    backend : str
        Kernels to run on, "numba" or "numpy": an attribute of the class, see `set_backend`.
    """

    backend = "numba"
    dropout = 0.0
    _extras = Extras()
    _built: Any = None
    _objective: Objective | None = None
    _best_coefs: Any
    _best_intercepts: Any

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        callbacks: Sequence[Callable[..., Any]] = (),
    ) -> Self:
        """Train on samples and their targets.

        Parameters
        ----------
        X : array-like or sparse array, shape (n_samples, n_features)
            Samples.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Class labels, indicators of several labels, or numbers.
        sample_weight : array-like, shape (n_samples,), optional
            Weight of each sample; 1 for all when None.
        X_val, y_val : array-likes, optional
            Samples to evaluate after each epoch; `validation_loss_curve_` holds their losses. With `early_stopping`,
            they take the place of those that would be split off.
        sample_weight_val : array-like, optional
            Weights of these samples.
        callbacks : sequence of callables
            Called with an `Epoch` after each epoch, see `fastfnn.callbacks`. Raising `StopTraining` ends training.
            The record holds "loss", and "validation_loss" and "validation_score" if there are any. `early_stopping`
            restores the parameters of its own best epoch, after any that a callback restored.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter does not fit.
        """
        before, self._extras = self._extras, Extras(X_val, y_val, sample_weight_val, callbacks)
        try:
            super().fit(X, y, sample_weight)
        finally:
            self._extras = before
        return self

    def hidden_outputs(self, X: Any, layer: int = -1) -> NDArray[Any]:
        """Return the outputs of a hidden layer, such as an embedding of the samples.

        Parameters
        ----------
        X : array-like or sparse array, shape (n_samples, n_features)
            Samples.
        layer : int
            Index of the hidden layer; -1 is the last one.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs of the layer)

        Raises
        ------
        IndexError
            If there is no such layer.
        """
        return hidden_outputs(self, X, layer)

    def to_network(self) -> Network:
        """Return an independent network with the estimator's parameters.

        It predicts the same numbers, classes by number, and can be saved and exported.
        """
        return network_of(self)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether there are parameters: without this, scikit-learn reads the names of all attributes."""
        return "coefs_" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the network, which is built anew, and what belongs to a call of fit."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in OF_A_CALL}

    def _network(self, dtype: Any = None) -> Network:
        """Return the network on the estimator's arrays; build it if other arrays or parameters were put there."""
        dtype = self.coefs_[0].dtype if dtype is None else np.dtype(dtype)
        activation = self.activation if isinstance(self.activation, str) else tuple(self.activation)
        key = (activation, self.loss, self.out_activation_, self.backend, self.dropout, dtype)
        if self._built is not None and self._built.is_of(key, [*self.coefs_, *self.intercepts_]):
            return self._built.network
        coefs = [np.asarray(weights, dtype) for weights in self.coefs_]
        loss, _ = losses_of(self.loss, self.out_activation_)
        names = activations_of(self.activation, len(coefs) - 1)
        return self._bound(build(coefs, self.intercepts_, names, loss(), self.backend, self.dropout), key)

    def _bound(self, network: Network, key: tuple[Any, ...]) -> Network:
        """Make a network's arrays the estimator's, and keep it."""
        self.coefs_, self.intercepts_ = arrays_of(network)
        self._built = Built(key, network, [*self.coefs_, *self.intercepts_])
        return network

    # What scikit-learn calls.

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Self:
        self._extras.check(self.solver)
        if not isinstance(self.activation, str):
            activations_of(self.activation, np.size(self.hidden_layer_sizes))
        self._before = self.__dict__.copy()
        try:
            return super()._fit(X, y, sample_weight, incremental)
        finally:
            self.__dict__.pop("_before", None)

    def _initialize(self, y: Any, layer_units: list[int], dtype: Any) -> None:
        super()._initialize(y, layer_units, dtype)
        self.validation_loss_curve_: list[float] = []

    def _fit_stochastic(self, X: Any, y: Any, sample_weight: Any, *unused: Any) -> None:
        incremental = unused[-1]
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        with self._unchanged_if_refused():
            run = self._prepared(Samples(X, y, sample_weight), incremental)
        terminated = run.run(once=incremental)
        if self.early_stopping:
            best = self._best_coefs + self._best_intercepts
            for array, numbers in zip(self.coefs_ + self.intercepts_, best, strict=True):
                array[...] = numbers
            # A warm start goes on in the same arrays, as scikit-learn's does.
            self._best_coefs, self._best_intercepts = self.coefs_, self.intercepts_
        if terminated:
            raise SystemExit(TERMINATED)

    def _prepared(self, training: Samples, incremental: bool) -> StochasticFit:
        """Return a training run, with the samples that it holds out and an optimizer."""
        training = self._checked(training, incremental)
        extras, validation = Extras() if incremental else self._extras, None
        if extras.X_val is not None:
            validation = validated(self, extras.X_val, extras.y_val, extras.sample_weight_val)
        elif self.early_stopping:
            training, validation = split(self, training)
        if not (incremental and isinstance(getattr(self, "_optimizer", None), Optimizer)):
            self._optimizer = self._new_optimizer()
        network = self._network()
        network.store_parameters()
        self._bound(network, self._built.key)
        if self.dropout:
            network.rng = np.random.default_rng(self._random_state.randint(np.iinfo(np.int32).max))
        return StochasticFit(self, network, training, validation, extras.callbacks)

    @contextmanager
    def _unchanged_if_refused(self) -> Iterator[None]:
        """Restore all attributes if the `with` block raises an error; only before training begins."""
        try:
            yield
        except Exception:
            before = self._before
            self.__dict__.clear()
            self.__dict__.update(before, _built=None)  # its arrays may be others by now
            raise

    def _checked(self, samples: Samples, incremental: bool = False) -> Samples:
        """Return samples as the network learns them.

        Raises
        ------
        TypeError, ValueError
            If a model that was fitted cannot go on with these targets, or with parameters that were changed.
        """
        y, n_outputs = samples.y, self.coefs_[-1].shape[1]
        require_numbers("y", y)
        if y.shape[1] != n_outputs:
            raise ValueError(f"y has {y.shape[1]} columns, and the model was fitted on {n_outputs}: fit it anew")
        if (self.loss, self.out_activation_) not in LOSSES:
            raise ValueError(f"the model was fitted with another loss than {self.loss!r}: fit it anew")
        scored = getattr(self, "validation_scores_", None) is not None
        if self.solver != "lbfgs" and hasattr(self, "validation_scores_") and self.early_stopping != scored:
            raise ValueError("early_stopping was changed after the first fit: fit the model anew")
        return self._adjusted(samples, incremental)

    def _adjusted(self, samples: Samples, incremental: bool) -> Samples:
        """Return samples with the targets and weights that a subclass makes of them."""
        return samples

    def _learned(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return targets as the network learns them."""
        return y

    def _new_optimizer(self) -> Optimizer:
        """Return an optimizer with the estimator's parameters; a schedule of its rate goes with it."""
        if self.solver == "adam":
            self._schedule = RateSchedule("constant", self.learning_rate_init, self.power_t)
            return Adam(self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon, epsilon_hat=True)
        self._schedule = RateSchedule(self.learning_rate, self.learning_rate_init, self.power_t)
        nesterov = self.nesterovs_momentum and self.momentum > 0
        return SGD(self.learning_rate_init, self.momentum, nesterov, velocity="steps")

    def _fit_lbfgs(self, X: Any, y: Any, sample_weight: Any, *unused: Any) -> None:
        with self._unchanged_if_refused():
            self._objective = self._objective_of(self._checked(Samples(X, y, sample_weight)))
        try:
            super()._fit_lbfgs(X, y, sample_weight, *unused)
        finally:
            del self._objective
        self._network()

    def _loss_grad_lbfgs(
        self, packed_coef_inter: NDArray[Any], X: Any, y: Any, sample_weight: Any, *unused: Any
    ) -> tuple[float, NDArray[np.float64]]:
        objective = self._objective or self._objective_of(Samples(X, y, sample_weight))
        return objective(packed_coef_inter)

    def _objective_of(self, samples: Samples) -> Objective:
        """Return the loss over all samples, as a function of the vector of scikit-learn: weights, then biases."""
        network = self._network(np.float64)
        targets = samples.targets(self.out_activation_ == "softmax", network.dtype)
        layers = [i for i, layer in enumerate(network.layers) if layer.parameters]
        names = [f"{i}.{kind}" for kind in ("weights", "bias") for i in layers]
        return Objective.of_checked(
            network, inputs_of(samples.X), targets, Penalty(self.alpha, added_to="sum"), names
        )

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> NDArray[Any]:
        if check_input and not self._is_ready(X):
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        network = self._network()
        ask = network.predict_proba if self.out_activation_ in ("softmax", "logistic") else network.predict
        try:
            outputs = ask(X)
        except ValueError:
            validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)  # names NaN in scikit-learn's words
            raise
        return outputs if outputs.ndim == 2 else outputs[:, None]

    def _is_ready(self, X: Any) -> bool:
        """Tell whether a network can take X as it is, if its numbers are finite."""
        return (
            type(X) is np.ndarray
            and X.dtype in DTYPES
            and X.ndim == 2
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
        )
