"""Model: the layers, the loss and the parameters of a network, without training and evaluation."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from fastfnn_kernels.protocol import Kernels
from fastfnn_kernels.workspace import Workspace
from numpy.typing import DTypeLike, NDArray

from fastfnn._checks import check_held, check_scale, float_dtype
from fastfnn.backends import get_backend
from fastfnn.data_form import DataForm
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.samples import Samples, samples_of
from fastfnn.inputs.targets import Targets
from fastfnn.inputs.validation import check_finite, check_inputs
from fastfnn.inputs.weights import with_sample_weight
from fastfnn.layers import Dense, Gradient, Layer
from fastfnn.losses import Loss, get_loss
from fastfnn.parameters import FlatArrays


class Model:
    """Layers in order, a loss, a dtype and a backend; see `fastfnn.Network` for the arguments.

    Attributes
    ----------
    layers : tuple of Layer
        Layers in order. The arrays of all `Dense` layers are views of one flat vector.
    loss : Loss
        Loss to minimise, which also defines the meaning of outputs.
    dtype : dtype
        float32 or float64.
    input_scale : float
        Factor of uint8 inputs.
    widths : list of int
        Widths of the layers' outputs.
    rng : numpy.random.Generator
        Source of initial weights, mini-batch orders and dropout seeds.
    parameter_arrays : FlatArrays, or list of ndarray
        All parameters in order; separate arrays if a user-defined class holds some of them.
    data_form : DataForm or None
        Form of the files that the network was trained on; None if unknown.
    predicts_columns : bool
        Whether predictions of a single output have shape (n_samples, 1), as the targets of the last training run had,
        instead of (n_samples,).
    """

    data_form: DataForm | None = None
    predicts_columns = False

    def __init__(
        self,
        layers: Sequence[Layer],
        backend: str = "numba",
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        input_scale: float = 1.0,
        loss: str | Loss = "softmax_cross_entropy",
    ) -> None:
        kernels = get_backend(backend)
        self._backend, self.kernels = backend, kernels
        self.loss = get_loss(loss)
        self.dtype = float_dtype(dtype)
        self.input_scale = check_scale("input_scale", input_scale, self.dtype)
        self.layers = tuple(layers)
        self.widths = output_widths(self.layers)
        parts: tuple[Loss | Layer, ...] = (self.loss, *self.layers)
        for part in parts:
            check_held(f"{type(part).__name__}: ", part.numbers, self.dtype)
        self._n_inputs = next(layer.n_inputs for layer in self.layers if layer.n_inputs is not None)
        self.rng = np.random.default_rng(seed)
        for layer in self.layers:
            layer.check_free()
            layer.check_backward()
        for layer in self.layers:
            layer.draw_parameters(self.dtype, self.rng)
        for layer in self.layers:
            layer.join(kernels)
        self.parameter_arrays = _stored(self.layers)

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self._backend

    @functools.cached_property
    def kernels(self) -> Kernels:
        """The backend's module of kernels."""
        return get_backend(self._backend)

    @property
    def n_inputs(self) -> int:
        """Number of features of a sample."""
        return self._n_inputs

    @property
    def n_outputs(self) -> int:
        """Number of outputs; for softmax cross-entropy, the number of classes."""
        return self.widths[-1]

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """All arrays that training changes, named `<layer>.<parameter>`: "0.weights", "0.bias", "1.weights", ..."""
        return {
            f"{i}.{name}": array for i, layer in enumerate(self.layers) for name, array in layer.parameters.items()
        }

    @property
    def architecture(self) -> dict[str, Any]:
        """Description of the network in a model file, without its parameters.

        "predicts_columns" is present only if it is true.
        """
        return {
            "dtype": self.dtype.name,
            "input_scale": self.input_scale,
            "loss": {"type": self.loss.kind, **self.loss.config()},
            "layers": [{"type": type(layer).__name__, **layer.config()} for layer in self.layers],
        } | ({"predicts_columns": True} if self.predicts_columns else {})

    @property
    def rate_factors(self) -> set[float]:
        """Factors of the learning rate in layers with parameters, where there are others than 1."""
        return {layer.learning_rate_factor for layer in self.layers if layer.parameters} - {1}

    def reset(self, seed: int | None = None) -> None:
        """Draw new initial parameters into the existing arrays: the network forgets its training.

        To use its optimizer again, call the optimizer's `reset` too.

        Parameters
        ----------
        seed : int, optional
            Seed of the parameters and the mini-batch order, as for a new network. Without it, the network's random
            generator continues from its current state.
        """
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        for layer in self.layers:
            layer.reset_parameters(self.rng)
        self.predicts_columns, self.data_form = False, None

    def store_parameters(self) -> None:
        """Store the parameters in one vector again, where a layer has replaced one of its arrays."""
        arrays = [array for layer in self.layers for array in layer.parameters.values()]
        same = len(arrays) == len(self.parameter_arrays) and all(map(operator.is_, arrays, self.parameter_arrays))
        if not same:
            self.parameter_arrays = _stored(self.layers)

    def samples(self, X: NDArray[Any] | Csr, workspace: Workspace | None = None) -> Samples:
        """Wrap a checked X; requested rows are converted to the network's dtype in a workspace, or packed."""
        return samples_of(X, self.dtype, self.input_scale, self.kernels, workspace)

    def check_samples(
        self, X: Any, y: Any, whose: str = "", sample_weight: Any = None
    ) -> tuple[NDArray[Any] | Csr, Targets]:
        """Check samples, and convert their targets for the loss.

        Parameters
        ----------
        X, y
            As in `fastfnn.Network.fit`.
        whose : str
            Prefix of the names in messages, such as "validation ".
        sample_weight
            As in `fastfnn.Network.fit`.

        Raises
        ------
        TypeError
            If X or y has a wrong type.
        ValueError
            If shapes do not fit, y is out of range, there are no samples, or X holds NaN, inf or a number beyond the
            network's dtype.
        """
        X, targets = check_samples(X, y, self.n_inputs, self.n_outputs, self.loss, self.dtype, whose)
        return X, targets if sample_weight is None else with_sample_weight(targets, sample_weight, self.dtype)

    def check_validation(self, pair: Any) -> tuple[NDArray[Any] | Csr, Targets]:
        """Check samples to evaluate after each epoch, a pair (X, y), like `check_samples`."""
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise TypeError("validation_data must be a pair (X, y)")
        X, y = pair
        return self.check_samples(X, y, "validation ")

    def __copy__(self) -> Self:
        """Share all layers and parameters, as shallow copies do; `copy.deepcopy` makes an independent network."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__(), parameter_arrays=self.parameter_arrays)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Store the backend by name, and the parameters once, with their layers."""
        left_out = ("kernels", "parameter_arrays")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Look the backend up again, and store the parameters in one vector again."""
        self.__dict__.update(state)
        self.parameter_arrays = _stored(self.layers)


def check_samples(
    X: Any,
    y: Any,
    n_inputs: int | None,
    n_outputs: int,
    loss: Loss,
    dtype: np.dtype[Any],
    whose: str = "",
) -> tuple[NDArray[Any] | Csr, Targets]:
    """Check samples like `Model.check_samples`, before a network exists."""
    X = check_inputs(X, n_inputs, f"{whose}X")
    targets = loss.targets(y, X.shape[0], n_outputs, dtype, f"{whose}y")
    if X.shape[0] == 0:
        raise ValueError(f"{whose}X has no rows: there is nothing to learn from")
    check_finite(X, dtype, f"{whose}X")
    return X, targets


def output_widths(layers: Sequence[Layer]) -> list[int]:
    """Return the width of every layer's output.

    Raises
    ------
    TypeError
        If an element is not a layer.
    ValueError
        If there is no Dense layer, a layer occurs twice, or two widths do not fit.
    """
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must be instances of Layer, such as ReLU(); got {layer!r}")
    if not any(isinstance(layer, Dense) for layer in layers):
        raise ValueError("a network needs at least one Dense layer")
    if len({id(layer) for layer in layers}) != len(layers):
        raise ValueError("a layer stands twice in the network: make one for each place")
    widths: list[int | None] = []
    for layer in layers:
        widths.append(layer.n_outputs_for(widths[-1] if widths else None))
    first = next(layer.n_inputs for layer in layers if layer.n_inputs is not None)
    return [first if width is None else width for width in widths]


def start_gradients(model: Model) -> Sequence[NDArray[Any]]:
    """Allocate zero gradients for all layers, stored like the parameters; return them in order."""
    if not isinstance(model.parameter_arrays, FlatArrays):
        for layer in model.layers:
            layer.start_gradient()
        return [getattr(layer.gradient, name) for layer in model.layers for name in layer.parameters]
    gradients = flat_gradients(model)
    for layer, gradient in zip(model.layers, gradients.of_layers, strict=True):
        layer.gradient = gradient
    return gradients.arrays


class LayerGradients(NamedTuple):
    """Arrays for the gradients of all layers in one vector, and the same by layer."""

    arrays: FlatArrays
    of_layers: list[Gradient]


def flat_gradients(model: Model) -> LayerGradients:
    """Allocate zero gradients in one vector; layers of other classes have started theirs, which are copied."""
    stored = model.parameter_arrays
    arrays = (stored if isinstance(stored, FlatArrays) else FlatArrays.copied(stored)).filled(0)
    in_order = iter(arrays)
    of_layers = [_gradient_of(layer, {name: next(in_order) for name in layer.parameters}) for layer in model.layers]
    return LayerGradients(arrays, of_layers)


def _gradient_of(layer: Layer, arrays: dict[str, NDArray[Any]]) -> Gradient:
    """Return these arrays as a gradient of a layer, which may have a class of its own."""
    if arrays.keys() <= {"weights", "bias"}:
        return Gradient(**arrays)
    gradient = copy.copy(layer.gradient)
    for name, array in arrays.items():
        setattr(gradient, name, array)
    return gradient


def _stored(layers: Sequence[Layer]) -> FlatArrays | list[NDArray[Any]]:
    """Move the parameters of all layers into one flat vector.

    A class derived from `Dense`, or a user-defined layer, may hold other references to its arrays. If one of them has
    parameters, all arrays stay separate.
    """
    arrays = [array for layer in layers for array in layer.parameters.values()]
    if not all(type(layer) is Dense or not layer.parameters for layer in layers):
        return arrays
    flat = FlatArrays.copied(arrays)
    in_order = iter(flat)
    for layer in layers:
        if isinstance(layer, Dense):
            layer.use_arrays(**{name: next(in_order) for name in layer.parameters})
    return flat
