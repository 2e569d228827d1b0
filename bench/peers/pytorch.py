"""PyTorch, eager: operations.

As its tuning guide says: as many threads as cores, no autograd where no gradient is wanted, the fused optimizers
where a CPU has them and the multi-tensor ones elsewhere. Tensors share the memory of the arrays they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fastfnn_kernels.runtime import get_num_threads
from main_job import initial_parameters
from numpy.typing import NDArray
from torch.nn import functional

from peers.pytorch_adam import AdamBatches
from peers.pytorch_training import FullBatch, MiniBatches, logits_of

Run = Callable[[], Any]

torch.set_num_threads(get_num_threads())

full_batch = FullBatch
mini_batches = MiniBatches
adam_batches = AdamBatches


def settings() -> str:
    """Say on how many threads it runs, and how exactly it multiplies."""
    precision = torch.get_float32_matmul_precision()
    onednn = "on" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else "off"
    mkl = "with" if torch.backends.mkl.is_available() else "without"
    return (
        f"{torch.get_num_threads()} threads, float32 matmul precision {precision!r}, oneDNN {onednn}, {mkl} MKL, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )


@contextmanager
def on_threads(n_threads: int) -> Iterator[None]:
    """Compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def dense_forward(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any]) -> Run:
    """Compute relu(x w + b)."""
    operands = (torch.from_numpy(bias), torch.from_numpy(x), torch.from_numpy(weights))
    out = operands[1].new_empty(len(x), weights.shape[1])
    return _without_autograd(lambda: torch.addmm(*operands, out=out).relu_())


def dense_weight_gradient(x: NDArray[Any], grad: NDArray[Any]) -> Run:
    """Compute x^T g and the column sums of g."""
    x_transposed, g = torch.from_numpy(x).t(), torch.from_numpy(grad)
    out, out_bias = g.new_empty(x.shape[1], grad.shape[1]), g.new_empty(grad.shape[1])
    return _without_autograd(lambda: (torch.mm(x_transposed, g, out=out), torch.sum(g, 0, out=out_bias)))


def dense_input_gradient(grad: NDArray[Any], weights: NDArray[Any], x: NDArray[Any]) -> Run:
    """Compute (g w^T) where x > 0."""
    g, weights_transposed, y = torch.from_numpy(grad), torch.from_numpy(weights).t(), torch.from_numpy(x)
    out = torch.empty_like(y)

    def run() -> torch.Tensor:
        torch.mm(g, weights_transposed, out=out)
        return _relu_backward(out, y, out)

    return _without_autograd(run)


def sparse_forward(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any]) -> Run:
    """Compute relu(x w + b) for x in compressed sparse rows."""
    rows, w, b = torch.from_numpy(x).to_sparse_csr(), torch.from_numpy(weights), torch.from_numpy(bias)
    return _without_autograd(lambda: torch.addmm(b, rows, w).relu_())


def sparse_weight_gradient(x: NDArray[Any], grad: NDArray[Any]) -> Run:
    """Compute x^T g and the column sums of g for x^T in compressed sparse rows."""
    columns, g = torch.from_numpy(x).t().contiguous().to_sparse_csr(), torch.from_numpy(grad)
    return _without_autograd(lambda: (columns @ g, g.sum(0)))


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    weights: NDArray[Any] | None = None,
    label_smoothing: float = 0.0,
) -> Run:
    """Compute the mean loss and its gradient."""
    constants = (labels,) if weights is None else (labels, weights)
    return loss_and_gradient_of(cross_entropy_with(label_smoothing), logits, *constants)


def elementwise_loss(loss: str, outputs: NDArray[Any], targets: NDArray[Any]) -> Run:
    """Compute the mean loss and its gradient."""
    return loss_and_gradient_of(ELEMENTWISE_LOSSES[loss], outputs, targets)


def dense_cross_entropy(x: NDArray[Any], weights: NDArray[Any], bias: NDArray[Any], labels: NDArray[np.int64]) -> Run:
    """Compute the mean loss of an output layer whose inputs relu made, and the gradients of these, w and b."""
    return loss_and_gradients_of(output_layer_loss, x, weights, bias, labels)


def loss_and_gradients_of(loss_function: Callable[..., Any], *arrays: NDArray[Any]) -> Run:
    """Return what computes the loss of an output layer, and its gradients by all but the labels."""
    *operands, y = (torch.from_numpy(array) for array in arrays)
    x = operands[0]
    for operand in operands:
        operand.requires_grad_()

    def run() -> tuple[torch.Tensor, ...]:
        loss = loss_function(*operands, y)
        grad, *others = torch.autograd.grad(loss, operands)
        with torch.no_grad():
            return loss.detach(), _relu_backward(grad, x, grad), *others

    return run


def output_layer_loss(x: Any, weights: Any, bias: Any, labels: Any) -> Any:
    """Compute the mean cross-entropy of softmax(x w + b)."""
    return functional.cross_entropy(torch.addmm(bias, x, weights), labels)


def stack_cross_entropy(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]],
    activations: Sequence[str],
    labels: NDArray[np.int64],
) -> Run:
    """Compute the mean loss of a network, and the gradients of all its weights, then of its biases."""
    return network_loss_and_gradients_of(network_loss_with(activations), x, weights, biases, labels)


def network_loss_and_gradients_of(
    loss_function: Callable[..., Any],
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]],
    labels: NDArray[np.int64],
) -> Run:
    """Return what computes the loss of a network, and its gradients by weights and biases."""
    parameters = [torch.from_numpy(array).requires_grad_() for array in (*weights, *biases)]
    inputs, y = torch.from_numpy(x), torch.from_numpy(labels)

    def run() -> tuple[torch.Tensor, ...]:
        loss = loss_function(inputs, parameters, y)
        return loss.detach(), *torch.autograd.grad(loss, parameters)

    return run


def network_loss_with(activations: Sequence[str]) -> Callable[..., Any]:
    """Return what computes the mean cross-entropy of a network, from its weights and the biases behind them."""
    functions: dict[str, Callable[[Any], Any]] = {
        "identity": lambda z: z,
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
    }
    layers = [functions[activation] for activation in activations]

    def mean_loss(y: Any, parameters: Any, labels: Any) -> Any:
        weights, biases = parameters[: len(layers)], parameters[len(layers) :]
        for w, b, activate in zip(weights, biases, layers, strict=True):
            y = activate(torch.addmm(b, y, w))
        return functional.cross_entropy(y, labels)

    return mean_loss


def cross_entropy_with(label_smoothing: float) -> Callable[..., Any]:
    """Return what computes the mean cross-entropy, each sample's times its weight where there are weights."""

    def mean_loss(z: Any, y: Any, weights: Any = None) -> Any:
        if weights is None:
            return functional.cross_entropy(z, y, label_smoothing=label_smoothing)
        losses = functional.cross_entropy(z, y, label_smoothing=label_smoothing, reduction="none")
        return (losses * weights).mean()

    return mean_loss


def loss_and_gradient_of(loss_function: Callable[..., Any], outputs: NDArray[Any], *constants: NDArray[Any]) -> Run:
    """Return what computes a loss and its gradient by the outputs."""
    z = torch.from_numpy(outputs).requires_grad_()
    others = [torch.from_numpy(constant) for constant in constants]

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        loss = loss_function(z, *others)
        (grad,) = torch.autograd.grad(loss, z)
        return loss.detach(), grad

    return run


def activation_forward(activation: str, z: NDArray[Any]) -> Run:
    """Compute f(z)."""
    tensor = torch.from_numpy(z)
    out = torch.empty_like(tensor)
    functions: dict[str, Run] = {
        "relu": lambda: torch.clamp_min(tensor, 0, out=out),
        "sigmoid": lambda: torch.sigmoid(tensor, out=out),
        "tanh": lambda: torch.tanh(tensor, out=out),
        "leaky_relu": lambda: torch.ops.aten.leaky_relu.out(tensor, out=out),
        "elu": lambda: torch.ops.aten.elu.out(tensor, out=out),
        "softplus": lambda: torch.ops.aten.softplus.out(tensor, out=out),
    }
    return _without_autograd(functions[activation])


def activation_gradient(activation: str, y: NDArray[Any], grad: NDArray[Any]) -> Run:
    """Compute g f'(z)."""
    tensor, g = torch.from_numpy(y), torch.from_numpy(grad)
    out = torch.empty_like(tensor)
    z = tensor + torch.log(-torch.expm1(-tensor)) if activation == "softplus" else tensor  # of softplus it asks for z
    functions: dict[str, Run] = {
        "relu": lambda: _relu_backward(g, tensor, out),
        "sigmoid": lambda: torch.ops.aten.sigmoid_backward.grad_input(g, tensor, grad_input=out),
        "tanh": lambda: torch.ops.aten.tanh_backward.grad_input(g, tensor, grad_input=out),
        "leaky_relu": lambda: torch.ops.aten.leaky_relu_backward.grad_input(g, tensor, 0.01, True, grad_input=out),
        "elu": lambda: torch.ops.aten.elu_backward.grad_input(g, 1, 1, 1, True, tensor, grad_input=out),
        "softplus": lambda: torch.ops.aten.softplus_backward.grad_input(g, z, 1, 20, grad_input=out),
    }
    return _without_autograd(functions[activation])


def gelu_forward(z: NDArray[Any]) -> Run:
    """Compute GELU, in its form with tanh."""
    tensor = torch.from_numpy(z)
    out = torch.empty_like(tensor)
    return _without_autograd(lambda: torch.ops.aten.gelu.out(tensor, approximate="tanh", out=out))


def gelu_gradient(z: NDArray[Any], grad: NDArray[Any]) -> Run:
    """Compute g times GELU's derivative at z."""
    tensor, g = torch.from_numpy(z), torch.from_numpy(grad)
    out = torch.empty_like(tensor)
    backward = torch.ops.aten.gelu_backward.grad_input
    return _without_autograd(lambda: backward(g, tensor, approximate="tanh", grad_input=out))


def dropout(x: NDArray[Any], rate: float) -> Run:
    """Set a share of x to zero, and divide the rest by the share that is kept."""
    tensor = torch.from_numpy(x)
    return _without_autograd(lambda: functional.dropout(tensor, rate))


def l2_penalty(parameter: NDArray[Any], gradient: NDArray[Any], l2: float) -> Run:
    """Compute l2/2 times the sum of w**2, and add its gradient."""
    w, g = torch.from_numpy(parameter), torch.from_numpy(gradient)

    def run() -> float:
        g.add_(w, alpha=l2)
        return l2 / 2 * float(torch.dot(w, w))

    return _without_autograd(run)


def update(rule: str, arrays: list[NDArray[Any]], *scalars: float) -> Run:
    """Update the first of `arrays` in place by the second; the others are its state."""
    parameter, gradient, *states = (torch.from_numpy(array) for array in arrays)
    parameter.grad = gradient
    optimizer = _OPTIMIZERS[rule]([parameter], *scalars)
    names = _STATES[rule]
    step = {"step": torch.tensor(scalars[0] - 1.0 if rule in _COUNTS_STEPS else 0.0)}
    if names:
        optimizer.state[parameter] = step | dict(zip(names, states, strict=True))
    return optimizer.step


def predict(X: NDArray[Any]) -> Run:
    """Predict the labels of X by the main job's network, as it is drawn."""
    x, parameters = prediction_operands(X)
    return _without_autograd(lambda: logits_of(x, *parameters).argmax(1))


def prediction_operands(X: NDArray[Any]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return X and the main job's parameters as tensors."""
    parameters = [torch.from_numpy(parameter.astype(X.dtype)) for parameter in initial_parameters()]
    return torch.from_numpy(X), parameters


def _without_autograd(run: Run) -> Run:
    return torch.inference_mode()(run)


def _relu_backward(grad: torch.Tensor, y: torch.Tensor, out: torch.Tensor) -> Any:
    return torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=out)


ELEMENTWISE_LOSSES: dict[str, Callable[..., Any]] = {
    "squared_error": functional.mse_loss,
    "huber": functional.huber_loss,
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "poisson": functional.poisson_nll_loss,
}

_COUNTS_STEPS = ("adam", "adamw")

_STATES = {
    "sgd": (),
    "momentum": ("momentum_buffer",),
    "rmsprop": ("square_avg",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}

_OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda params, lr: torch.optim.SGD(params, lr, fused=True),
    "momentum": lambda params, lr, momentum: torch.optim.SGD(params, lr, momentum, fused=True),
    "rmsprop": lambda params, lr, rho, eps: torch.optim.RMSprop(params, lr, rho, eps, foreach=True),
    "adam": lambda params, _, lr, beta1, beta2, eps: torch.optim.Adam(params, lr, (beta1, beta2), eps, fused=True),
    "adamw": lambda params, _, lr, beta1, beta2, eps, decay: torch.optim.AdamW(
        params, lr, (beta1, beta2), eps, decay, fused=True
    ),
}
