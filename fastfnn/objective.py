"""The loss of a network as a function of one vector, for any optimizer of functions, such as those of SciPy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastfnn._checks import check_held, unknown_name
from fastfnn.execution.gradient import loss_gradient
from fastfnn.execution.options import Penalty
from fastfnn.execution.plan import plan_gradient
from fastfnn.execution.preparation import in_order, prepare, profile_repeated
from fastfnn.inputs.arrays import as_numbers
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.targets import Targets
from fastfnn.inputs.validation import Inputs, check_input_format
from fastfnn.model import Model


class Objective:
    """The loss over all samples and its gradient, as a function of the parameters in one vector.

    The samples are prepared once: X, y and sample_weight must not change afterwards. Dropout layers drop nothing.
    Learning rate factors of layers have no effect: choose `parameters` instead.

    Parameters
    ----------
    network : Network
        Network; each call writes the vector into its parameters.
    X, y, sample_weight, l2, l2_bias, l2_added_to, input_format
        As in `fastfnn.Network.fit`.
    parameters : sequence of str, optional
        Names of the parameters in the vector, in order; the others keep their numbers. When None, all of
        `network.parameters` in their order.

    Attributes
    ----------
    vector : ndarray of float64, shape (n_parameters,)
        The network's parameters now, in a new array each time; assigning to it writes them.

    Raises
    ------
    TypeError, ValueError
        If the data, an argument or an assigned vector does not fit; nothing is changed then.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> from fastfnn import Dense, Network
    >>> from fastfnn.objective import Objective
    >>> X, y = np.arange(6.0).reshape(6, 1) - 2.5, np.array([0, 0, 0, 1, 1, 1])
    >>> net = Network([Dense(1, 4, activation="tanh"), Dense(4, 2)], backend="numpy", dtype="float64", seed=0)
    >>> objective = Objective(net, X, y, l2=0.01)
    >>> objective.vector = minimize(objective, objective.vector, jac=True, method="L-BFGS-B").x
    >>> net.predict(X)
    array([0, 0, 0, 1, 1, 1])
    """

    def __init__(
        self,
        network: Model,
        X: Inputs,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        l2: float = 0.0,
        l2_bias: float = 0.0,
        l2_added_to: str = "mean",
        parameters: Sequence[str] | None = None,
        input_format: str = "auto",
    ) -> None:
        if not isinstance(network, Model):
            raise TypeError(f"network must be a fastfnn.Network; got {network!r}")
        check_input_format(input_format)
        penalty = Penalty(l2, l2_bias, l2_added_to)
        check_held("", {"l2": penalty.weights, "l2_bias": penalty.bias}, network.dtype)
        samples = network.check_samples(X, y, sample_weight=sample_weight)
        self._prepare(network, *samples, penalty, parameters, input_format)

    @classmethod
    def of_checked(
        cls,
        model: Model,
        X: NDArray[Any] | Csr,
        y: Targets,
        penalty: Penalty,
        parameters: Sequence[str] | None = None,
    ) -> Self:
        """Return the objective of samples that are checked."""
        objective = cls.__new__(cls)
        objective._prepare(model, X, y, penalty, parameters, "auto")
        return objective

    def _prepare(
        self,
        model: Model,
        X: NDArray[Any] | Csr,
        y: Targets,
        penalty: Penalty,
        parameters: Sequence[str] | None,
        input_format: str,
    ) -> None:
        self._places = _places_of(parameters, list(model.parameters))
        model.store_parameters()
        data = profile_repeated(model, X, in_order=True, is_weighted=y.weights is not None)
        plan = plan_gradient(model, data, input_format)
        self._model = model
        self._y = y
        self._blocks = prepare(model, X, plan)
        self._make_gradient = functools.partial(loss_gradient, model, len(y), penalty, plan)
        self._arrays, self._gradient = model.parameter_arrays, self._make_gradient()

    def _follow(self) -> None:
        """Take the arrays that a layer's were replaced by."""
        self._model.store_parameters()
        if self._arrays is not self._model.parameter_arrays:
            self._arrays, self._gradient = self._model.parameter_arrays, self._make_gradient()

    @property
    def vector(self) -> NDArray[np.float64]:
        """The network's parameters now, in a new array each time; assigning to it writes them."""
        self._follow()
        return self._joined(self._arrays)

    @vector.setter
    def vector(self, vector: ArrayLike) -> None:
        self._follow()
        arrays = [self._arrays[place] for place in self._places]
        numbers, expected = as_numbers(vector, "the vector of parameters"), (sum(array.size for array in arrays),)
        if numbers.shape != expected:
            raise ValueError(f"the vector of parameters must have shape {expected}; got {numbers.shape}")
        first = 0
        with np.errstate(over="ignore"):  # float32 may not hold a trial step of an optimizer
            for array in arrays:
                array[...] = numbers[first : first + array.size].reshape(array.shape)
                first += array.size

    def __call__(self, vector: ArrayLike) -> tuple[float, NDArray[np.float64]]:
        """Write the vector into the network's parameters; return the mean loss with its penalty, and its gradient.

        Parameters
        ----------
        vector : array-like, shape (n_parameters,)
            The parameters.

        Returns
        -------
        loss : float
        gradient : ndarray of float64, shape (n_parameters,)
            In a new array.

        Raises
        ------
        TypeError, ValueError
            If the vector has another shape, or does not hold real numbers; nothing is changed then.
        """
        self.vector = vector
        loss, _ = self._gradient.run(in_order(self._blocks, self._y), self._y.total_weight)
        return loss, self._joined(self._gradient.gradients)

    def _joined(self, arrays: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Copy the chosen ones of all parameters' arrays into one vector."""
        return np.concatenate([arrays[place].ravel() for place in self._places], dtype=np.float64)


def _places_of(parameters: Sequence[str] | None, known: list[str]) -> list[int]:
    """Return the indices of chosen parameters among all of them.

    Raises
    ------
    ValueError
        If there are none, or one is unknown or named twice.
    """
    names = known if parameters is None else list(parameters)
    for name in names:
        if name not in known:
            raise unknown_name("parameter", name, known)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"parameters must name at least one parameter, each once; got {names}")
    return [known.index(name) for name in names]
