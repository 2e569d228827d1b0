"""The specification: every kernel in plain NumPy, with checked arguments.

Like the jitted kernels, these functions do not warn about invalid or overflowing numbers: the results contain NaN or
inf. A warning could even be false. About once in several thousand small products, BLAS reads memory just past its
operands, never uses the result, and still triggers a warning.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from fastfnn_kernels.checks import checked
from fastfnn_kernels.protocol import Capabilities
from fastfnn_kernels.reference import activations, dense, gelu, packing, sparse, updates
from fastfnn_kernels.reference.dense_cross_entropy import dense_cross_entropy as _dense_cross_entropy
from fastfnn_kernels.reference.dropout import dropout as _dropout
from fastfnn_kernels.reference.elementwise_loss import elementwise_loss as _elementwise_loss
from fastfnn_kernels.reference.sgd_batches import sgd_batches as _sgd_batches
from fastfnn_kernels.reference.sgd_samples import sgd_samples as _sgd_samples
from fastfnn_kernels.reference.similar_rows import similar_rows as _similar_rows
from fastfnn_kernels.reference.softmax import count_correct as _count_correct
from fastfnn_kernels.reference.softmax import softmax as _softmax
from fastfnn_kernels.reference.softmax import softmax_cross_entropy as _softmax_cross_entropy
from fastfnn_kernels.reference.stack_forward import stack_forward as _stack_forward
from fastfnn_kernels.reference.stack_gradient import stack_gradient as _stack_gradient
from fastfnn_kernels.reference.train_batches import train_batches as _train_batches

# Underscores above: a kernel below replaces the module of the same name as an attribute of this package.

NAME = "numpy"
CAPABILITIES = Capabilities(skips_zeros=False, splits_long_sums=False)

P = ParamSpec("P")
R = TypeVar("R")


def _specified(kernel: Callable[P, R]) -> Callable[P, R]:
    """Wrap a kernel so that its arguments are checked, and NumPy does not warn."""
    return checked(np.errstate(all="ignore")(kernel))


dense_forward = _specified(dense.dense_forward)
dense_weight_gradient = _specified(dense.dense_weight_gradient)
dense_input_gradient = _specified(dense.dense_input_gradient)
stack_forward = _specified(_stack_forward)
pack_rows = _specified(packing.pack_rows)
similar_rows = _specified(_similar_rows)
pack_batches = _specified(packing.pack_batches)
compress_rows = _specified(packing.compress_rows)
sparse_forward = _specified(sparse.sparse_forward)
sparse_weight_gradient = _specified(sparse.sparse_weight_gradient)
activation_forward = _specified(activations.activation_forward)
activation_gradient = _specified(activations.activation_gradient)
gelu_forward = _specified(gelu.gelu_forward)
gelu_gradient = _specified(gelu.gelu_gradient)
dropout = _specified(_dropout)
elementwise_loss = _specified(_elementwise_loss)
softmax = _specified(_softmax)
softmax_cross_entropy = _specified(_softmax_cross_entropy)
count_correct = _specified(_count_correct)
dense_cross_entropy = _specified(_dense_cross_entropy)
stack_gradient = _specified(_stack_gradient)
sgd_samples = _specified(_sgd_samples)
sgd_batches = _specified(_sgd_batches)
train_batches = _specified(_train_batches)
sgd = _specified(updates.sgd)
momentum = _specified(updates.momentum)
rmsprop = _specified(updates.rmsprop)
rmsprop_tensor = _specified(updates.rmsprop_tensor)
adam = _specified(updates.adam)
adamw = _specified(updates.adamw)
squared_norm = _specified(updates.squared_norm)
l2_penalty = _specified(updates.l2_penalty)
