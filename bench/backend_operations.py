"""The package itself as a contender: its kernels, and the path that `Network.fit` takes, on one backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import adam_job
import numpy as np
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses
from fastfnn_kernels.protocol import Kernels
from fastfnn_kernels.runtime import threads
from main_job import (
    DECAY,
    EPSILON,
    INITIAL_MEAN_SQUARE,
    L2,
    LEARNING_RATE,
    N_CLASSES,
    N_HIDDEN,
    N_INPUTS,
    RESET_EVERY,
    Samples,
    initial_parameters,
)
from numpy.typing import NDArray

import fastfnn
from fastfnn._memory import aligned_empty
from fastfnn.execution.options import Options
from fastfnn.execution.thresholds import ROWS_OF_BLOCK
from fastfnn.inputs.row_blocks import PackedBlocks
from fastfnn.inputs.samples import ArraySamples
from fastfnn.inputs.targets import Targets
from fastfnn.parameters import FlatArrays
from fastfnn.training.epochs import Epochs
from fastfnn.training.interrupt import Interrupt
from fastfnn.training.prepared import prepared

Run = Callable[[], Any]


class BackendOperations:
    """Every operation on the backend `name`; results go to arrays allocated once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kernels = fastfnn.get_backend(name)

    def on_threads(self, n_threads: int) -> AbstractContextManager[None]:
        """Compute with so many threads."""
        return threads(n_threads)

    def dense_forward(self, x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any]) -> Run:
        """Compute relu(x w + b)."""
        out = np.empty((len(x), weights.shape[1]), x.dtype)
        return functools.partial(self._kernels.dense_forward, x, weights, bias, "relu", out)

    def dense_weight_gradient(self, x: NDArray[Any], grad: NDArray[Any]) -> Run:
        """Compute x^T g and the column sums of g."""
        out, out_bias = np.empty((x.shape[1], grad.shape[1]), x.dtype), np.empty(grad.shape[1], x.dtype)
        return functools.partial(self._kernels.dense_weight_gradient, x, grad, out, out_bias)

    def dense_input_gradient(self, grad: NDArray[Any], weights: NDArray[Any], x: NDArray[Any]) -> Run:
        """Compute (g w^T) where x > 0."""
        out = np.empty_like(x)
        return functools.partial(self._kernels.dense_input_gradient, grad, weights, x, "relu", out)

    def sparse_forward(self, x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any]) -> Run:
        """Compute relu(x w + b) for mostly-zero x, packed block by block as a training does."""
        blocks = _packed_blocks(x, self._kernels)
        out = aligned_empty((len(x), weights.shape[1]), x.dtype)

        def run() -> NDArray[Any]:
            for rows, block in blocks:
                self._kernels.sparse_forward(block, weights, bias, "relu", out[rows])
            return out

        return run

    def sparse_weight_gradient(self, x: NDArray[Any], grad: NDArray[Any]) -> Run:
        """Compute x^T g and the column sums of g for mostly-zero x, packed block by block."""
        blocks = _packed_blocks(x, self._kernels)
        out, out_bias = aligned_empty((x.shape[1], grad.shape[1]), x.dtype), np.empty(grad.shape[1], x.dtype)

        def run() -> tuple[NDArray[Any], NDArray[Any]]:
            for rows, block in blocks:
                self._kernels.sparse_weight_gradient(block, grad[rows], out, out_bias, accumulate=rows.start > 0)
            return out, out_bias

        return run

    def softmax_cross_entropy(
        self,
        logits: NDArray[Any],
        labels: NDArray[np.int64],
        weights: NDArray[Any] | None = None,
        label_smoothing: float = 0.0,
    ) -> Run:
        """Compute the mean loss and its gradient."""
        operands = (logits, labels, None, np.empty_like(logits), weights, label_smoothing)
        return functools.partial(self._kernels.softmax_cross_entropy, *operands)

    def elementwise_loss(self, loss: str, outputs: NDArray[Any], targets: NDArray[Any]) -> Run:
        """Compute the mean loss and its gradient."""
        out = np.empty_like(outputs)
        return functools.partial(self._kernels.elementwise_loss, outputs, targets, loss, out=out)

    def dense_cross_entropy(
        self, x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any], labels: NDArray[np.int64]
    ) -> Run:
        """Compute the mean loss of an output layer whose inputs relu made, and the gradients of these, w and b."""
        out, out_weights, out_bias = (np.empty_like(array) for array in (x, weights, bias))
        operands, outputs = (x, weights, bias, labels, None, "relu"), (out, out_weights, out_bias)

        def run() -> tuple[Any, ...]:
            loss, _, *gradients = self._kernels.dense_cross_entropy(*operands, *outputs)
            return loss, *gradients

        return run

    def stack_cross_entropy(
        self,
        x: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        biases: Sequence[NDArray[Any]],
        activations: Sequence[str],
        labels: NDArray[np.int64],
    ) -> Run:
        """Compute the mean loss of a network, and the gradients of all its weights, then of its biases."""
        parameters = FlatArrays.copied([array for layer in zip(weights, biases, strict=True) for array in layer])
        gradients = parameters.filled(0)
        widths, use_bias = tuple(map(len, biases)), (True,) * len(biases)
        network = (parameters.vector, widths, tuple(activations), use_bias)
        losses = RowLosses(SOFTMAX_CROSS_ENTROPY, labels)

        def run() -> tuple[Any, ...]:
            loss, *_ = self._kernels.stack_gradient(x, *network, losses, None, 0.0, 0.0, gradients.vector)
            return loss, *gradients[::2], *gradients[1::2]

        return run

    def activation_forward(self, activation: str, z: NDArray[Any]) -> Run:
        """Compute f(z)."""
        return functools.partial(self._kernels.activation_forward, z, activation, np.empty_like(z))

    def activation_gradient(self, activation: str, y: NDArray[Any], grad: NDArray[Any]) -> Run:
        """Compute g f'(z)."""
        return functools.partial(self._kernels.activation_gradient, y, grad, activation, np.empty_like(y))

    def gelu_forward(self, z: NDArray[Any]) -> Run:
        """Compute GELU, in its form with tanh."""
        return functools.partial(self._kernels.gelu_forward, z, np.empty_like(z))

    def gelu_gradient(self, z: NDArray[Any], grad: NDArray[Any]) -> Run:
        """Compute g times GELU's derivative at z."""
        return functools.partial(self._kernels.gelu_gradient, z, grad, np.empty_like(z))

    def dropout(self, x: NDArray[Any], rate: float) -> Run:
        """Set a share of x to zero, and divide the rest by the share that is kept."""
        return functools.partial(self._kernels.dropout, x, rate, seed=0, out=np.empty_like(x))

    def l2_penalty(self, parameter: NDArray[Any], gradient: NDArray[Any], l2: float) -> Run:
        """Compute l2/2 times the sum of w**2, and add its gradient."""
        return functools.partial(self._kernels.l2_penalty, parameter, gradient, l2)

    def update(self, rule: str, arrays: list[NDArray[Any]], *scalars: float) -> Run:
        """Update the first of `arrays` in place by the second; the others are its state."""
        return functools.partial(getattr(self._kernels, rule), *arrays, *scalars)

    def full_batch(self, samples: Samples) -> FullBatch:
        """Start the main job."""
        return FullBatch(self._name, samples)

    def mini_batches(self, samples: Samples, batch_size: int, learning_rate: float, seed: int) -> MiniBatches:
        """Start plain gradient descent in mini-batches."""
        return MiniBatches(self._name, samples, batch_size, learning_rate, seed)

    def adam_batches(self, job: adam_job.AdamJob) -> AdamBatches:
        """Start a training with Adam in mini-batches."""
        return AdamBatches(self._name, job)

    def predict(self, X: NDArray[Any]) -> Run:
        """Predict the labels of X by the main job's network, as it is drawn."""
        return functools.partial(main_network(self._name).predict, X)

    def classifier(self, *arguments: Any, **parameters: Any) -> Any:
        """Return an untrained classifier with scikit-learn's parameters."""
        from fastfnn.sklearn import MLPClassifier  # here, because it needs scikit-learn

        classifier = MLPClassifier(*arguments, **parameters)
        classifier.backend = self._name
        return classifier


class FullBatch:
    """The main job on the package's own full-batch path: inputs prepared once, then step by step."""

    def __init__(self, backend: str, samples: Samples) -> None:
        self._network = main_network(backend, samples.scale)
        optimizer = fastfnn.RMSprop(
            LEARNING_RATE, DECAY, EPSILON, "tensor", initial=INITIAL_MEAN_SQUARE, reset_every=RESET_EVERY
        )
        self._epochs = epochs(self._network, samples.X, samples.y, optimizer, Options(l2=L2))

    def step(self) -> float:
        """Update the parameters once, and return the loss before."""
        return run_epoch(self._epochs)

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return list(self._network.parameters.values())


class MiniBatches:
    """Gradient descent on the package's own mini-batch path, epoch by epoch."""

    def __init__(self, backend: str, samples: Samples, batch_size: int, learning_rate: float, seed: int) -> None:
        self._network = main_network(backend, samples.scale)
        self._network.rng = np.random.default_rng(seed)
        optimizer = fastfnn.SGD(learning_rate)
        self._epochs = epochs(self._network, samples.X, samples.y, optimizer, Options(batch_size=batch_size))

    def epoch(self) -> None:
        """Go through all samples once."""
        run_epoch(self._epochs)

    def current_parameters(self) -> list[NDArray[Any]]:
        """Return hidden weights, hidden bias and output weights."""
        return list(self._network.parameters.values())


class AdamBatches:
    """Training with Adam on the package's own path, epoch by epoch."""

    def __init__(self, backend: str, job: adam_job.AdamJob) -> None:
        n_inputs, n_hidden, n_classes = job.widths
        layers = [fastfnn.Dense(n_inputs, n_hidden, activation="relu"), fastfnn.Dense(n_hidden, n_classes)]
        network = fastfnn.Network(layers, backend, job.dtype, input_scale=job.samples.scale)
        for parameter, drawn in zip(network.parameters.values(), job.initial_parameters(), strict=True):
            parameter[...] = drawn
        network.rng = np.random.default_rng(adam_job.SEED)
        optimizer = fastfnn.Adam(adam_job.LEARNING_RATE, adam_job.BETA1, adam_job.BETA2, adam_job.EPSILON)
        options = Options(batch_size=job.batch_size)
        self._epochs = epochs(network, job.samples.X, job.samples.y, optimizer, options)

    def epoch(self) -> float:
        """Go through all samples once, and return the mean loss."""
        return run_epoch(self._epochs)


def epochs(
    network: fastfnn.Network, X: NDArray[Any], y: NDArray[np.int64], optimizer: fastfnn.Optimizer, options: Options
) -> Epochs:
    """Plan and prepare a training as `Network.fit` does, to run it epoch by epoch."""
    plan, samples = prepared(network, (X, Targets(y)), optimizer, options, None)
    return Epochs(network, samples, optimizer, options, plan)


def main_network(backend: str, input_scale: float = 1.0) -> fastfnn.Network:
    """Build the main job's network in float32, with the parameters the recipe draws."""
    layers = [
        fastfnn.Dense(N_INPUTS, N_HIDDEN, activation="relu"),
        fastfnn.Dense(N_HIDDEN, N_CLASSES, use_bias=False),
    ]
    network = fastfnn.Network(layers, backend, "float32", input_scale=input_scale)
    for parameter, drawn in zip(network.parameters.values(), initial_parameters(), strict=True):
        parameter[...] = drawn
    return network


def _packed_blocks(x: NDArray[Any], kernels: Kernels) -> list[tuple[slice, Any]]:
    """Pack x block by block, with the rows of each block."""
    blocks = PackedBlocks(ArraySamples(x, x.dtype, 1.0, kernels), ROWS_OF_BLOCK, keep=True)
    slices = [slice(first, min(first + ROWS_OF_BLOCK, len(x))) for first in range(0, len(x), ROWS_OF_BLOCK)]
    return [(rows, blocks.block(rows.start, rows.stop)) for rows in slices]


def run_epoch(prepared: Epochs) -> float:
    """Run an epoch; return its mean loss."""
    progress = prepared.begin(1)
    prepared.run(progress, Interrupt())
    return progress.total.mean_loss
