"""Network: the facade of the package. It checks arguments, makes a plan and hands it on for execution."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from fastfnn.history import History
from fastfnn.inputs.protection import write_protected
from fastfnn.inputs.validation import Inputs, check_inputs
from fastfnn.layers import Gradient
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.schedules import Schedule
from fastfnn.training.events import Callback, StepCallback

# The files that plan and compute are imported where they are needed: `import fastfnn` does without them.
if TYPE_CHECKING:
    from fastfnn.execution.communicator import Communicator
    from fastfnn.execution.plan import ExecutionPlan
    from fastfnn.execution.prediction import Predictor


class Network(Model):
    """A feed-forward network: layers in order, and a loss.

    Networks can be pickled and deep-copied. A copy keeps the weights and the state of the random generator. It trains
    independently of the original.

    Parameters
    ----------
    layers : sequence of Layer
        Layers in order. Their widths must fit, and each layer belongs to one network.
    backend : {"numba", "numpy"}
        Kernels to run on.
    dtype : {"float32", "float64"}
        dtype of the parameters and of all computation.
    seed : int, optional
        Seed of the initial weights and the mini-batch order; random when None.
    input_scale : float
        Factor of uint8 inputs, such as 1/255 for pixels; float inputs are not scaled.
    loss : str or Loss
        Loss to minimise, which also defines the meaning of outputs: "softmax_cross_entropy", "binary_cross_entropy",
        "mean_squared_error", "huber", "poisson", or one of `fastfnn.losses` with arguments.

    Attributes
    ----------
    layers : tuple of Layer
        Layers in order. Their `weights` and `bias` are views of one vector, and may be written in place.
    widths : list of int
        Widths of the layers' outputs.

    Raises
    ------
    ValueError
        If there are no layers, their widths do not fit, or an argument is unknown.
    TypeError
        If an element of `layers` is not a layer, or a layer cannot be trained.
    ImportError
        If the backend is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfnn import Dense, Network
    >>> net = Network([Dense(2, 3, activation="relu"), Dense(3, 2)], backend="numpy", seed=0)
    >>> net.predict_proba(np.zeros((1, 2), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """

    def fit(
        self,
        X: Inputs,
        y: ArrayLike,
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = None,
        *,
        shuffle: bool | Callable[[int], ArrayLike] = True,
        drop_last: bool = False,
        sample_weight: ArrayLike | None = None,
        validation_data: tuple[Inputs, ArrayLike] | None = None,
        l2: float = 0.0,
        l2_bias: float = 0.0,
        l2_added_to: str = "mean",
        average_by: str = "weight",
        clip_value: float | None = None,
        clip_norm: float | None = None,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        step_callbacks: Sequence[StepCallback] = (),
        history: History | None = None,
        input_format: str = "auto",
        communicator: Communicator | None = None,
    ) -> History:
        """Train on samples and their targets.

        Parameters
        ----------
        X : array-like or sparse array of real numbers, shape (n_samples, n_inputs)
            Samples: an array, an `np.memmap`, lists, a DataFrame, or a SciPy sparse array in any format. Only bytes
            (uint8) are multiplied by `input_scale`. Blocks of rows are converted to the network's dtype. An array is
            never copied as a whole unless most of it is zero. Arrays are write-protected while `fit` runs.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Targets of the network's loss. Classes are integers from 0 to n_outputs - 1, or booleans; for them, or for
            a single output, shape (n_samples, 1) is accepted too.
        optimizer : Optimizer
            Optimizer that updates the parameters. It keeps its state between calls.
        epochs : int
            Number of passes over the samples.
        batch_size : int, optional
            Number of samples per update; all of them when None.
        shuffle : bool or callable
            Whether each epoch draws a new order of the samples for its mini-batches; a full batch has none. A
            function takes the number of samples and returns the rows of an epoch, each any number of times.
        drop_last : bool
            Whether an epoch skips a last mini-batch that is smaller than the others.
        sample_weight : array-like, shape (n_samples,), optional
            Weight of each sample, finite numbers from 0 up; 1 for all when None.
        validation_data : (X, y), optional
            Samples to evaluate after each epoch.
        l2 : float
            Adds (l2 / 2) * sum of squared weights, not biases, to the loss.
        l2_bias : float
            Adds (l2_bias / 2) * sum of squared biases to the loss.
        l2_added_to : {"mean", "sum"}
            Whether penalties join a batch's mean loss, or its weighted sum of losses before that becomes a mean.
        average_by : {"weight", "rows"}
            Whether a batch counts in the epoch's recorded loss by its total weight, or by its number of samples.
        clip_value, clip_norm : float, optional
            Bound on every element of the gradient, and on the Euclidean norm of all parameters' gradients together.
        schedule : callable, optional
            (epoch, history) -> learning rate, see `fastfnn.schedules`; the optimizer's own rate when None.
        callbacks : sequence of callables
            Called with an `Epoch` after each epoch. Raising `StopTraining` ends training when all have been called.
            See `fastfnn.callbacks` for their `start` and `finish`.
        step_callbacks : sequence of callables
            Called with a `Step` after each update of the parameters. Raising `StopTraining` ends training.
        history : History, optional
            History of a training run to resume, as returned by `fit` or `fastfnn.checkpoints.load_checkpoint`. Its
            epochs count towards `epochs`, and new records are appended to it. An epoch that ended between two steps
            is continued.
        input_format : {"auto", "dense", "sparse"}
            Whether zeros of X are multiplied: "sparse" packs the samples without their zeros, "dense" never does.
            "auto" packs sparse arrays, and other arrays if they have so many zeros that packing is faster.
        communicator : Communicator, optional
            Processes that train together, from `fastfnn.distributed`. Then X, y, `sample_weight` and
            `validation_data` are this process's rows, `communicator.rows(n)` of n, and results have the same bits on
            any number of processes. Callbacks run on all of them.

        Returns
        -------
        History
            One record per epoch. Ctrl-C ends training after the current step, with a `TrainingWarning`.

        Raises
        ------
        TypeError, ValueError
            If the data, an argument or the optimizer's state does not fit; nothing is changed then.
        RuntimeError
            If another process failed.
        SystemExit
            If SIGTERM arrived, after the current step.
        """
        from fastfnn.execution.options import Options
        from fastfnn.training.agreement import agreement_of, together
        from fastfnn.training.loop import fit

        agreement = agreement_of(communicator)
        with together(agreement):
            options = Options(
                epochs, batch_size, shuffle=shuffle, drop_last=drop_last, l2=l2, l2_bias=l2_bias,
                l2_added_to=l2_added_to, average_by=average_by, clip_value=clip_value, clip_norm=clip_norm,
                schedule=schedule, callbacks=callbacks, step_callbacks=step_callbacks, input_format=input_format,
                communicator=communicator,
            )  # fmt: skip
            training = self.check_samples(X, y, sample_weight=sample_weight)
            validation = None if validation_data is None else self.check_validation(validation_data)
            with write_protected([X, y, sample_weight, *(validation_data or ())]):
                return fit(self, training, optimizer, options, validation, history, agreement)

    def plan(
        self,
        X: Inputs,
        y: ArrayLike,
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        validation_data: object = None,
        history: object = None,
        **options: Any,
    ) -> ExecutionPlan:
        """Return the plan of a training run, without training.

        The plan names the form of the inputs, the kernels of a gradient and an update, and the calls of an epoch. Its
        `because` gives a reason for each choice.

        Parameters
        ----------
        X, y, optimizer, epochs, batch_size, sample_weight
            As in `fit`.
        validation_data, history
            Do not affect the plan; accepted, and not looked at, so that the arguments can be those of `fit`.
        **options
            Other arguments of `fit`.

        Raises
        ------
        TypeError, ValueError
            If the data or an argument does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from fastfnn import SGD, Dense, Network
        >>> net = Network([Dense(2, 3, activation="relu"), Dense(3, 2)], backend="numpy", seed=0)
        >>> X, y = np.ones((4, 2), np.float32), np.array([0, 1, 1, 0])
        >>> net.plan(X, y, SGD(0.1), batch_size=2).summary
        'dense inputs (100% non-zero), many batches in a call'
        """
        from fastfnn.execution.options import OPTION_NAMES, Options
        from fastfnn.training import once

        for name in options.keys() - OPTION_NAMES:
            raise TypeError(f"plan() got an unexpected keyword argument {name!r}: its arguments are those of fit")
        return once.plan(self, X, y, optimizer, Options(epochs, batch_size, **options), sample_weight)

    def loss_and_gradients(
        self,
        X: Inputs,
        y: ArrayLike,
        l2: float = 0.0,
        input_format: str = "auto",
        l2_bias: float = 0.0,
        communicator: Communicator | None = None,
    ) -> tuple[float, list[Gradient]]:
        """Compute the loss over all samples, and its gradient.

        Parameters
        ----------
        X, y, l2, input_format, l2_bias, communicator
            As in `fit`.

        Returns
        -------
        loss : float
            Mean loss plus the penalty. Dropout layers drop nothing.
        gradients : list of Gradient
            `weights` and `bias` for each layer; None for a parameter that the layer does not have.

        Raises
        ------
        TypeError, ValueError
            If the data or an argument does not fit.
        """
        from fastfnn.execution.options import Penalty
        from fastfnn.training import once

        return once.gradients(self, X, y, Penalty(l2, l2_bias), input_format, communicator)

    def predict(self, X: Inputs, input_format: str = "auto") -> NDArray[Any]:
        """Return the prediction for each sample.

        It is the most probable class for softmax cross-entropy, of shape (n_samples,). Otherwise, it is 0 or 1 for
        binary cross-entropy, or a number, and has the shape of y in `fit`, or (n_samples,) for an untrained output.

        Parameters
        ----------
        X, input_format
            As in `fit`.

        Raises
        ------
        TypeError, ValueError
            If X or the format does not fit, or the class would follow from an output that is NaN.
        """
        return self._predict(X, input_format, self.loss.predictions)

    def predict_proba(self, X: Inputs, input_format: str = "auto") -> NDArray[Any]:
        """Return the probability of each class for each sample, shape (n_samples, n_outputs).

        For binary cross-entropy it is the probability that each output is 1, of the shape of `predict`.

        Parameters
        ----------
        X, input_format
            As in `fit`.

        Raises
        ------
        TypeError, ValueError
            If X or the format does not fit.
        """
        return self._predict(X, input_format, functools.partial(self.loss.probabilities, self.kernels))

    def _predict(self, X: Inputs, input_format: str, finish: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        predicted = self._predictor.predict(check_inputs(X, self._n_inputs), input_format, finish)
        return predicted[:, None] if self.predicts_columns and predicted.ndim == 1 else predicted

    @functools.cached_property
    def _predictor(self) -> Predictor:
        from fastfnn.execution.prediction import Predictor

        return Predictor(self)

    def evaluate(
        self, X: Inputs, y: ArrayLike, input_format: str = "auto", communicator: Communicator | None = None
    ) -> tuple[float, float]:
        """Return the mean loss without penalty, and the accuracy, which is NaN for losses without right and wrong.

        Both are NaN if a parameter is NaN or infinite.

        Parameters
        ----------
        X, y, input_format, communicator
            As in `fit`.

        Raises
        ------
        TypeError, ValueError
            If the data or the format does not fit.
        """
        from fastfnn.training import once

        return once.evaluate(self, X, y, input_format, communicator)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file.

        Raises
        ------
        OSError
            If the file cannot be written; an existing file stays unchanged.
        ValueError
            If a parameter holds NaN or inf: training diverged, and an older file is worth more.
        """
        from fastfnn.files.network_file import save_network

        save_network(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str = "numba") -> Network:
        """Load a network written by `save`.

        Parameters
        ----------
        path : path-like
            The file.
        backend : {"numba", "numpy"}
            Kernels to run on.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated or damaged, or its tensors do not fit its architecture.
        """
        from fastfnn.files.network_file import load_network

        return load_network(cls, path, backend)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX model that computes the network's predictions without fastfnn.

        Its input "X" has the network's dtype and shape (n_samples, n_inputs), for any number of samples. Its output
        has shape (n_samples, n_outputs). The output is named "probabilities" for the cross-entropies, as from
        `predict_proba`, and "predictions" for all other losses, as from `predict`. Dropout layers drop nothing. The
        model does not scale its input: first multiply bytes by `input_scale`, which its metadata hold.

        Raises
        ------
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written; an existing file stays unchanged.
        ValueError
            If a parameter holds NaN or inf, the export does not know a layer or the loss, or the parameters are
            larger than an ONNX file can be.
        """
        from fastfnn.files.onnx_export import write_onnx

        write_onnx(path, self)

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in self.layers)
        return f"Network([{layers}], backend={self.backend!r}, dtype={self.dtype.name!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the cached plans for predictions."""
        state = super().__getstate__()
        state.pop("_predictor", None)
        return state
