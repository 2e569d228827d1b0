"""The fast versions: every kernel as a multithreaded Numba function, with checked arguments."""

from fastfnn_kernels.checks import checked
from fastfnn_kernels.jitted import activations, dense, gelu, packing, sparse, updates
from fastfnn_kernels.jitted.dense_cross_entropy import dense_cross_entropy as _dense_cross_entropy
from fastfnn_kernels.jitted.dropout import dropout as _dropout
from fastfnn_kernels.jitted.elementwise_loss import elementwise_loss as _elementwise_loss
from fastfnn_kernels.jitted.sgd_batches import sgd_batches as _sgd_batches
from fastfnn_kernels.jitted.sgd_samples import sgd_samples as _sgd_samples
from fastfnn_kernels.jitted.similar_rows import similar_rows as _similar_rows
from fastfnn_kernels.jitted.softmax import count_correct as _count_correct
from fastfnn_kernels.jitted.softmax import softmax as _softmax
from fastfnn_kernels.jitted.softmax import softmax_cross_entropy as _softmax_cross_entropy
from fastfnn_kernels.jitted.stack_forward import stack_forward as _stack_forward
from fastfnn_kernels.jitted.stack_gradient import stack_gradient as _stack_gradient
from fastfnn_kernels.jitted.train_batches import train_batches as _train_batches
from fastfnn_kernels.protocol import Capabilities

# Underscores above: a kernel below replaces the module of the same name as an attribute of this package.

NAME = "numba"
CAPABILITIES = Capabilities(skips_zeros=True, splits_long_sums=True)

dense_forward = checked(dense.dense_forward)
dense_weight_gradient = checked(dense.dense_weight_gradient)
dense_input_gradient = checked(dense.dense_input_gradient)
stack_forward = checked(_stack_forward)
pack_rows = checked(packing.pack_rows)
similar_rows = checked(_similar_rows)
pack_batches = checked(packing.pack_batches)
compress_rows = checked(packing.compress_rows)
sparse_forward = checked(sparse.sparse_forward)
sparse_weight_gradient = checked(sparse.sparse_weight_gradient)
activation_forward = checked(activations.activation_forward)
activation_gradient = checked(activations.activation_gradient)
gelu_forward = checked(gelu.gelu_forward)
gelu_gradient = checked(gelu.gelu_gradient)
dropout = checked(_dropout)
elementwise_loss = checked(_elementwise_loss)
softmax = checked(_softmax)
softmax_cross_entropy = checked(_softmax_cross_entropy)
count_correct = checked(_count_correct)
dense_cross_entropy = checked(_dense_cross_entropy)
stack_gradient = checked(_stack_gradient)
sgd_samples = checked(_sgd_samples)
sgd_batches = checked(_sgd_batches)
train_batches = checked(_train_batches)
sgd = checked(updates.sgd)
momentum = checked(updates.momentum)
rmsprop = checked(updates.rmsprop)
rmsprop_tensor = checked(updates.rmsprop_tensor)
adam = checked(updates.adam)
adamw = checked(updates.adamw)
squared_norm = checked(updates.squared_norm)
l2_penalty = checked(updates.l2_penalty)
