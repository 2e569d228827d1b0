"""Network: layers forward in order and backward in reverse, in tiles of rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastfnn import training
from fastfnn.architecture import describe_layer, layer_from
from fastfnn.backends import get_backend
from fastfnn.history import History
from fastfnn.inputs import TILE_ROWS, DenseTiles, PackedTile, Tiles, check_inputs, check_samples
from fastfnn.layers import Dense, Gradient, Layer
from fastfnn.model_files import fill, read_model, write_model
from fastfnn.optimizers import Optimizer
from fastfnn.training import Callback


class Network:
    """A feed-forward network that classifies: layers, then softmax.

    Parameters
    ----------
    layers : sequence of Layer
        In order. Their widths must fit, and each layer belongs to one network.
    backend : {"numba", "numpy"}
        The kernels it runs on.
    dtype : {"float32", "float64"}
        Of the parameters and of all computation.
    seed : int, optional
        Of the first weights and of the order of mini-batches; drawn anew when None.
    input_scale : float
        Factor of uint8 inputs, such as 1/255 for pixels; float inputs are taken as they are.

    Attributes
    ----------
    layers : tuple of Layer
        Their `weights` and `bias` are ndarrays that may be written in place.

    Raises
    ------
    ValueError
        If there are no layers, their widths do not fit, or an argument is unknown.
    ImportError
        If the backend is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> net = Network([Dense(2, 3, activation="relu"), Dense(3, 2)], backend="numpy", seed=0)
    >>> net.predict_proba(np.zeros((1, 2), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        backend: str = "numba",
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        input_scale: float = 1.0,
    ) -> None:
        self.kernels = get_backend(backend)
        self.dtype = _float_dtype(dtype)
        if not 0 < abs(input_scale) <= float(np.finfo(self.dtype).max):
            raise ValueError(f"input_scale must be a finite number other than 0 in {self.dtype}; got {input_scale}")
        self.input_scale = float(input_scale)
        self.layers = tuple(layers)
        self._widths = _widths(self.layers)
        self.rng = np.random.default_rng(seed)
        for layer in self.layers:
            layer.check_free()
        for layer in self.layers:
            layer.draw_parameters(self.dtype, self.rng)
        for layer in self.layers:
            layer.join(self.kernels)

    @property
    def backend(self) -> str:
        """The name of the kernels it runs on."""
        return str(self.kernels.NAME)

    @property
    def n_inputs(self) -> int:
        """Features of a sample."""
        return next(layer.n_inputs for layer in self.layers if isinstance(layer, Dense))

    @property
    def n_outputs(self) -> int:
        """Classes."""
        return self._widths[-1]

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """All arrays that training changes, named `<layer>.<parameter>`: "0.weights", "0.bias", "1.weights", ..."""
        return {
            f"{i}.{name}": array for i, layer in enumerate(self.layers) for name, array in layer.parameters.items()
        }

    def fit(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = None,
        l2: float = 0.0,
        validation_data: tuple[NDArray[Any], NDArray[Any]] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train on labelled samples.

        Parameters
        ----------
        X : ndarray of uint8, float32 or float64, shape (n_samples, n_inputs)
            Samples, in memory or an `np.memmap`; never copied as a whole unless most of it is zero.
        y : ndarray of integers, shape (n_samples,)
            Labels, from 0 to n_outputs - 1.
        optimizer : Optimizer
            Changes the parameters; it keeps its state from one call to the next.
        epochs : int
            Passes over the samples.
        batch_size : int, optional
            Samples an update sees, in an order drawn anew for each epoch; all of them when None.
        l2 : float
            Adds (l2 / 2) * sum of squared weights, not biases, to the loss.
        validation_data : (X, y), optional
            Evaluated after each epoch.
        callbacks : sequence of callables
            Called with an `Epoch` after each epoch; raising `StopTraining` ends the training.

        Returns
        -------
        History
            One record an epoch. Ctrl-C ends the training after the current step, with the history so far.

        Raises
        ------
        TypeError, ValueError
            If the data or an argument does not fit; nothing is changed then.
        """
        X, labels = self._check_samples(X, y)
        validation = None
        if validation_data is not None:
            if not (isinstance(validation_data, (tuple, list)) and len(validation_data) == 2):
                raise TypeError("validation_data must be a pair (X, y)")
            validation = self._check_samples(*validation_data, "validation ")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an instance such as fastfnn.SGD(0.1); got {optimizer!r}")
        for callback in callbacks:
            if not callable(callback):
                raise TypeError(f"a callback must be callable; got {callback!r}")
        _check_count("epochs", epochs)
        if batch_size is not None:
            _check_count("batch_size", batch_size)
        _check_l2(l2)
        return training.fit(self, X, labels, optimizer, epochs, batch_size, l2, validation, tuple(callbacks))

    def loss_and_gradients(self, X: NDArray[Any], y: NDArray[Any], l2: float = 0.0) -> tuple[float, list[Gradient]]:
        """Compute the loss of all samples together, and its gradient.

        Parameters
        ----------
        X, y
            As in `fit`.
        l2 : float
            As in `fit`.

        Returns
        -------
        loss : float
            Mean cross-entropy plus the penalty.
        gradients : list of Gradient
            `weights` and `bias` for each layer, None for what a layer has not.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit.
        """
        X, labels = self._check_samples(X, y)
        _check_l2(l2)
        loss, _ = self.backpropagate(DenseTiles(X, self.dtype, self.input_scale), labels, l2)
        return loss, [layer.gradient for layer in self.layers]

    def predict(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """Return the most probable class of each sample, shape (n_samples,).

        Raises
        ------
        TypeError, ValueError
            If X does not fit.
        """
        X = check_inputs(X, self.n_inputs)
        labels = np.empty(len(X), np.int64)
        for rows, logits in self._logits(DenseTiles(X, self.dtype, self.input_scale)):
            logits.argmax(axis=1, out=labels[rows])
        return labels

    def predict_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the probability of each class for each sample, shape (n_samples, n_outputs).

        Raises
        ------
        TypeError, ValueError
            If X does not fit.
        """
        X = check_inputs(X, self.n_inputs)
        probabilities = np.empty((len(X), self.n_outputs), self.dtype)
        for rows, logits in self._logits(DenseTiles(X, self.dtype, self.input_scale)):
            self.kernels.softmax(logits, probabilities[rows])
        return probabilities

    def evaluate(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
        """Return the mean cross-entropy, without penalty, and the accuracy.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit.
        """
        X, labels = self._check_samples(X, y)
        return self.evaluate_tiles(DenseTiles(X, self.dtype, self.input_scale), labels)

    def evaluate_tiles(self, tiles: Tiles, y: NDArray[np.int64]) -> tuple[float, float]:
        """Return the mean cross-entropy and the accuracy of prepared samples."""
        loss, n_correct = 0.0, 0
        for rows, logits in self._logits(tiles):
            n_correct += self.kernels.count_correct(logits, y[rows])
            loss += self.kernels.softmax_cross_entropy(logits, y[rows], 1 / len(y))[0]
        return loss, n_correct / len(y)

    def backpropagate(self, tiles: Tiles, y: NDArray[np.int64], l2: float) -> tuple[float, int]:
        """Set each layer's gradient to that of the mean loss of prepared samples, penalty included.

        Returns
        -------
        loss : float
            Mean cross-entropy plus the penalty.
        n_correct : int
            Samples classified right.
        """
        for layer in self.layers:
            layer.start_gradient()
        outputs, grads = self._buffers(tiles.n_rows), self._buffers(tiles.n_rows)
        loss, n_correct = 0.0, 0
        for rows in _row_tiles(tiles.n_rows):
            x = tiles.tile(rows.start, rows.stop)
            activations = self._forward(x, outputs)
            logits, labels = activations[-1], y[rows]
            grad_logits = grads[-1][: len(logits)]
            loss += self.kernels.softmax_cross_entropy(logits, labels, 1 / len(y), grad_logits)[0]
            n_correct += self.kernels.count_correct(logits, labels)
            self._backward(x, activations, grads)
        return loss + self._add_penalty(l2), n_correct

    def update(self, optimizer: Optimizer) -> None:
        """Let `optimizer` change the parameters by the gradients of the layers."""
        gradients = [getattr(layer.gradient, name) for layer in self.layers for name in layer.parameters]
        optimizer.step(self.kernels, list(self.parameters.values()), gradients)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file.

        Raises
        ------
        OSError
            If the file cannot be written; an old file of that name is left as it was.
        ValueError
            If a parameter holds NaN or inf: the training went wrong, and an older file is worth more.
        """
        for name, parameter in self.parameters.items():
            if not np.isfinite(parameter).all():
                raise ValueError(f"{name} holds NaN or inf: the network is not saved; train it with smaller steps")
        architecture = {
            "dtype": self.dtype.name,
            "input_scale": self.input_scale,
            "layers": [describe_layer(layer) for layer in self.layers],
        }
        write_model(path, architecture, self.parameters)

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str = "numba") -> Network:
        """Read a network that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        backend : {"numba", "numpy"}
            The kernels it will run on.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated, damaged, or of another architecture than it says.
        """
        get_backend(backend)
        architecture, tensors = read_model(path)
        try:
            layers = [layer_from(config, tensors, i) for i, config in enumerate(architecture["layers"])]
            dtype, input_scale = architecture["dtype"], architecture["input_scale"]
            network = cls(layers, backend, dtype, input_scale=input_scale)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{os.fspath(path)} describes no network that this version can build: {error}"
            ) from error
        fill(network.parameters, tensors, path)
        return network

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in self.layers)
        return f"Network([{layers}], backend={self.backend!r}, dtype={self.dtype.name!r})"

    def _check_samples(self, X: Any, y: Any, whose: str = "") -> tuple[NDArray[Any], NDArray[np.int64]]:
        return check_samples(X, y, self.n_inputs, self.n_outputs, self.dtype, whose)

    def _buffers(self, n_rows: int) -> list[NDArray[Any]]:
        """Allocate one tile for each layer's outputs."""
        return [np.empty((min(n_rows, TILE_ROWS), width), self.dtype) for width in self._widths]

    def _logits(self, tiles: Tiles) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Run forward; yields the rows of each tile and their logits, valid until the next tile."""
        outputs = self._buffers(tiles.n_rows)
        for rows in _row_tiles(tiles.n_rows):
            yield rows, self._forward(tiles.tile(rows.start, rows.stop), outputs)[-1]

    def _forward(self, x: NDArray[Any] | PackedTile, outputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return every layer's output for one tile, written into `outputs`."""
        n_rows = x.rows.shape[0] if isinstance(x, PackedTile) else len(x)
        activations: list[NDArray[Any]] = []
        for layer, output in zip(self.layers, outputs, strict=True):
            activations.append(layer.forward(activations[-1] if activations else x, output[:n_rows]))
        return activations

    def _backward(
        self, x: NDArray[Any] | PackedTile, activations: list[NDArray[Any]], grads: list[NDArray[Any]]
    ) -> None:
        """Add one tile's share to every layer's gradient; `grads[-1]` holds that of the logits."""
        n_rows = len(activations[-1])
        last = self.layers[-1].activation
        grad = grads[-1][:n_rows]
        if last != "identity":
            grad = self.kernels.activation_gradient(activations[-1], grad, last)
        for i in range(len(self.layers) - 1, 0, -1):
            layer, layer_input = self.layers[i], activations[i - 1]
            layer.add_gradient(layer_input, grad)
            before = self.layers[i - 1].activation
            grad = layer.input_gradient(grad, layer_input, before, grads[i - 1][:n_rows])
        self.layers[0].add_gradient(x, grad)

    def _add_penalty(self, l2: float) -> float:
        """Add the gradient of (l2 / 2) |w|**2 to that of all weights, and return the penalty itself."""
        penalty = 0.0
        if l2 == 0:
            return penalty
        for layer in self.layers:
            if layer.gradient.weights is not None:
                weights = layer.parameters["weights"]
                gradient = layer.gradient.weights
                gradient += np.multiply(weights, l2, dtype=self.dtype)
                penalty += l2 / 2 * self.kernels.squared_norm(weights)
        return penalty


def _float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        known = np.dtype(dtype)
    except (TypeError, SyntaxError):
        known = np.dtype(object)
    if dtype is None or known not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64; got {dtype if known.hasobject else known}")
    return known


def _row_tiles(n_rows: int) -> Iterator[slice]:
    for first in range(0, n_rows, TILE_ROWS):
        yield slice(first, min(first + TILE_ROWS, n_rows))


def _widths(layers: Sequence[Layer]) -> list[int]:
    """Return the width of every layer's output, or raise ValueError where two do not fit."""
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
    first_dense = next(layer for layer in layers if isinstance(layer, Dense))
    return [first_dense.n_inputs if width is None else width for width in widths]


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 up; got {value!r}")


def _check_l2(l2: float) -> None:
    if not 0 <= l2 < np.inf:
        raise ValueError(f"l2 must be a finite number from 0 up; got {l2}")
