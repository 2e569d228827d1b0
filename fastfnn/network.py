"""Network: layers in order, and a loss; what a user trains, asks and saves."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastfnn import training
from fastfnn.architecture import describe_layer, output_widths
from fastfnn.backends import get_backend
from fastfnn.clipping import Clipping
from fastfnn.csr import Csr
from fastfnn.dtypes import float_dtype
from fastfnn.few_rows import FewRows
from fastfnn.history import History
from fastfnn.inputs import Inputs, check_input_format, check_inputs, check_samples
from fastfnn.joining import parameters_of
from fastfnn.layers import Dense, Gradient, Layer
from fastfnn.losses import Loss, describe_loss, get_loss, with_sample_weight
from fastfnn.optimizers import Optimizer
from fastfnn.plan import Batching, Penalty, Plan
from fastfnn.preparation import prepare
from fastfnn.propagation import finished, in_order, loss_and_correct
from fastfnn.schedules import Schedule
from fastfnn.small_networks import backpropagation
from fastfnn.steps import StepCallback
from fastfnn.targets import Targets
from fastfnn.tiles import Tiles
from fastfnn.training import Callback


class Network:
    """A feed-forward network: layers in order, and a loss.

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
    loss : str or Loss
        What a training makes small, and what outputs mean: "softmax_cross_entropy", "binary_cross_entropy",
        "mean_squared_error", "huber", "poisson", or one of `fastfnn.losses` with arguments.

    Attributes
    ----------
    layers : tuple of Layer
        Their `weights` and `bias` are ndarrays that may be written in place; those of a small network are views of
        one vector.
    widths : list of int
        Of the layers' outputs.

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
        loss: str | Loss = "softmax_cross_entropy",
    ) -> None:
        self.kernels = get_backend(backend)
        self.loss = get_loss(loss)
        self.dtype = float_dtype(dtype)
        if not 0 < abs(input_scale) <= float(np.finfo(self.dtype).max):
            raise ValueError(f"input_scale must be a finite number other than 0 in {self.dtype}; got {input_scale}")
        self.input_scale = float(input_scale)
        self.layers = tuple(layers)
        self.widths = output_widths(self.layers)
        self.rng = np.random.default_rng(seed)
        for layer in self.layers:
            layer.check_free()
        for layer in self.layers:
            layer.draw_parameters(self.dtype, self.rng)
        for layer in self.layers:
            layer.join(self.kernels)
        parameters_of(self.layers)
        self._n_inputs = next(layer.n_inputs for layer in self.layers if isinstance(layer, Dense))
        self._few_rows = FewRows(self)

    @property
    def backend(self) -> str:
        """The name of the kernels it runs on."""
        return str(self.kernels.NAME)

    @property
    def n_inputs(self) -> int:
        """Features of a sample."""
        return self._n_inputs

    @property
    def n_outputs(self) -> int:
        """Outputs of a sample; classes, for softmax cross-entropy."""
        return self.widths[-1]

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """All arrays that training changes, named `<layer>.<parameter>`: "0.weights", "0.bias", "1.weights", ..."""
        return {
            f"{i}.{name}": array for i, layer in enumerate(self.layers) for name, array in layer.parameters.items()
        }

    @property
    def architecture(self) -> dict[str, Any]:
        """What a model file says of the network, beside its parameters."""
        return {
            "dtype": self.dtype.name,
            "input_scale": self.input_scale,
            "loss": describe_loss(self.loss),
            "layers": [describe_layer(layer) for layer in self.layers],
        }

    def reset(self, seed: int | None = None) -> None:
        """Draw all first values again, into the arrays there are: the network forgets what it was trained on.

        An optimizer that is used again has a `reset` of its own.

        Parameters
        ----------
        seed : int, optional
            Of the values and of the order of mini-batches, as for a new network; without it, the random numbers that
            come next are used.
        """
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        for layer in self.layers:
            layer.reset_parameters(self.rng)

    def fit(
        self,
        X: Inputs,
        y: NDArray[Any],
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = None,
        l2: float = 0.0,
        validation_data: tuple[Inputs, NDArray[Any]] | None = None,
        callbacks: Sequence[Callback] = (),
        input_format: str = "auto",
        l2_bias: float = 0.0,
        shuffle: bool = True,
        drop_last: bool = False,
        schedule: Schedule | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        history: History | None = None,
        sample_weight: NDArray[Any] | None = None,
        step_callbacks: Sequence[StepCallback] = (),
    ) -> History:
        """Train on samples and what they should give.

        Parameters
        ----------
        X : ndarray or sparse array of uint8, float32 or float64, shape (n_samples, n_inputs)
            Samples, in memory or an `np.memmap`, or SciPy's in any format; never copied as a whole unless most of
            it is zero.
        y : ndarray, shape (n_samples,) or (n_samples, n_outputs)
            What the network's loss compares outputs with; integers from 0 to n_outputs - 1 for softmax cross-entropy.
        optimizer : Optimizer
            Changes the parameters; it keeps its state from one call to the next.
        epochs : int
            Passes over the samples.
        batch_size : int, optional
            Samples an update sees; all of them when None.
        l2 : float
            Adds (l2 / 2) * sum of squared weights, not biases, to the loss.
        validation_data : (X, y), optional
            Evaluated after each epoch.
        callbacks : sequence of callables
            Called with an `Epoch` after each epoch; raising `StopTraining` ends the training.
        input_format : {"auto", "dense", "sparse"}
            Whether zeros of X are multiplied: "sparse" packs the samples so that they are not, "dense" never does.
            "auto" packs sparse arrays, and others if so many numbers are zero that it is faster.
        l2_bias : float
            Adds (l2_bias / 2) * sum of squared biases to the loss.
        shuffle : bool
            Whether mini-batches take the samples in an order drawn anew for each epoch, or as they stand.
        drop_last : bool
            Whether a last mini-batch that would be smaller is left out of the epoch.
        schedule : callable, optional
            (epoch, history) -> learning rate, see `fastfnn.schedules`; the optimizer's own rate when None.
        clip_value, clip_norm : float, optional
            Bounds of every element of the gradient, and of the Euclidean norm of all parameters' gradients together.
        history : History, optional
            Of a training that is resumed, as `fastfnn.checkpoints.load_checkpoint` returns it: its epochs count among
            `epochs`, and it is added to.
        sample_weight : ndarray, shape (n_samples,), optional
            How much each sample counts, finite numbers from 0 up; all count once when None.
        step_callbacks : sequence of callables
            Called with a `Step` after each update of the parameters; raising `StopTraining` ends the training.

        Returns
        -------
        History
            One record an epoch. Ctrl-C ends the training after the current step, with the history so far.

        Raises
        ------
        TypeError, ValueError
            If the data or an argument does not fit; nothing is changed then.
        """
        check_input_format(input_format)
        samples, targets = self._check_samples(X, y)
        if sample_weight is not None:
            targets = with_sample_weight(targets, sample_weight, self.dtype)
        validation = None
        if validation_data is not None:
            if not (isinstance(validation_data, (tuple, list)) and len(validation_data) == 2):
                raise TypeError("validation_data must be a pair (X, y)")
            validation = self._check_samples(*validation_data, "validation ")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an instance such as fastfnn.SGD(0.1); got {optimizer!r}")
        batching, clipping = Batching(batch_size, shuffle, drop_last), Clipping(clip_value, clip_norm)
        batching.check(len(targets))
        watchers = tuple(callbacks), tuple(step_callbacks)
        plan = Plan(epochs, batching, Penalty(l2, l2_bias), clipping, schedule, *watchers)
        return training.fit(self, samples, targets, optimizer, plan, validation, input_format, history)

    def loss_and_gradients(
        self, X: Inputs, y: NDArray[Any], l2: float = 0.0, input_format: str = "auto", l2_bias: float = 0.0
    ) -> tuple[float, list[Gradient]]:
        """Compute the loss of all samples together, and its gradient.

        Parameters
        ----------
        X, y, l2, input_format, l2_bias
            As in `fit`.

        Returns
        -------
        loss : float
            Mean loss plus the penalty. Nothing is dropped by layers of dropout.
        gradients : list of Gradient
            `weights` and `bias` for each layer, None for what a layer has not.

        Raises
        ------
        TypeError, ValueError
            If the data or an argument does not fit.
        """
        check_input_format(input_format)
        samples, targets = self._check_samples(X, y)
        tiles = prepare(self, samples, input_format)
        gradient = backpropagation(
            self, tiles.n_rows, Penalty(l2, l2_bias), targets.weights is not None, tiles.is_packed
        )
        loss, _ = gradient.run(in_order(tiles, targets), targets.total_weight)
        return loss, [layer.gradient for layer in self.layers]

    def predict(self, X: Inputs, input_format: str = "auto") -> NDArray[Any]:
        """Return what the network says of each sample.

        The most probable class for softmax cross-entropy, 0 or 1 for binary cross-entropy, else numbers; shape
        (n_samples,) where that is one a sample, else (n_samples, n_outputs).

        Parameters
        ----------
        X, input_format
            As in `fit`.

        Raises
        ------
        TypeError, ValueError
            If X or the format does not fit.
        """
        return self._in_tiles(X, input_format, self.loss.predictions)

    def predict_proba(self, X: Inputs, input_format: str = "auto") -> NDArray[Any]:
        """Return the probability of each class for each sample, shape (n_samples, n_outputs).

        For binary cross-entropy that of each output's being 1, shape (n_samples,) where there is one output.

        Parameters
        ----------
        X, input_format
            As in `fit`.

        Raises
        ------
        TypeError, ValueError
            If X or the format does not fit.
        """
        return self._in_tiles(X, input_format, functools.partial(self.loss.probabilities, self.kernels))

    def _in_tiles(self, X: Inputs, input_format: str, finish: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        """Return what `finish` makes of all samples' outputs."""
        check_input_format(input_format)
        samples = check_inputs(X, self.n_inputs)
        if self._few_rows.can_take(samples):
            return finish(self._few_rows.logits(samples, input_format))
        return finished(self, prepare(self, samples, input_format), finish)

    def evaluate(self, X: Inputs, y: NDArray[Any], input_format: str = "auto") -> tuple[float, float]:
        """Return the mean loss, without penalty, and the accuracy, NaN where there is no right or wrong.

        Parameters
        ----------
        X, y, input_format
            As in `fit`.

        Raises
        ------
        TypeError, ValueError
            If the data or the format does not fit.
        """
        check_input_format(input_format)
        samples, targets = self._check_samples(X, y)
        return self.evaluate_tiles(prepare(self, samples, input_format), targets)

    def evaluate_tiles(self, tiles: Tiles, y: Targets) -> tuple[float, float]:
        """Return the mean loss and the accuracy of prepared samples."""
        loss, n_correct = loss_and_correct(self, tiles, y)
        return loss, n_correct / len(y) if self.loss.counts_correct else math.nan

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file.

        Raises
        ------
        OSError
            If the file cannot be written; an old file of that name is left as it was.
        ValueError
            If a parameter holds NaN or inf: the training went wrong, and an older file is worth more.
        """
        # Here and below, so that an import does not bring safetensors.
        from fastfnn.network_files import save_network

        save_network(path, self)

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
        from fastfnn.network_files import load_network

        return load_network(cls, path, backend)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX model that computes what the network says, to run without fastfnn.

        Its input "X" is of the network's dtype, shape (n_samples, n_inputs) for any number of samples; its output has
        shape (n_samples, n_outputs). That is "probabilities", as of `predict_proba`, for the cross-entropies, and
        "predictions", as of `predict`, for all other losses. Nothing is dropped by layers of dropout. The model takes
        numbers as they are: bytes are multiplied by `input_scale` first, which stands in the model's metadata.

        Raises
        ------
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written; an old file of that name is left as it was.
        ValueError
            If a parameter holds NaN or inf, a layer or the loss is of a kind that the export does not know, or the
            parameters are larger than an ONNX file can be.
        """
        from fastfnn.onnx_export import write_onnx

        write_onnx(path, self)

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in self.layers)
        return f"Network([{layers}], backend={self.backend!r}, dtype={self.dtype.name!r})"

    def _check_samples(self, X: Any, y: Any, whose: str = "") -> tuple[NDArray[Any] | Csr, Targets]:
        return check_samples(X, y, self.n_inputs, self.n_outputs, self.loss, self.dtype, whose)
