"""The product: every kernel as a multithreaded Numba function, with its arguments checked."""

from fastfnn_kernels.checks import checked
from fastfnn_kernels.jitted import (
    activations,
    batches,
    cross_entropy,
    dense,
    gelu,
    grouping,
    output_layer,
    packing,
    samples,
    small_networks,
    sparse,
    stacks,
    updates,
)
from fastfnn_kernels.jitted import (
    dropout as dropout_file,
)
from fastfnn_kernels.jitted import (
    elementwise_loss as elementwise_loss_file,
)
from fastfnn_kernels.protocol import Capabilities

NAME = "numba"
CAPABILITIES = Capabilities(skips_zeros=True, splits_long_sums=True)

dense_forward = checked(dense.dense_forward)
dense_weight_gradient = checked(dense.dense_weight_gradient)
dense_input_gradient = checked(dense.dense_input_gradient)
stack_forward = checked(stacks.stack_forward)
pack_rows = checked(packing.pack_rows)
similar_rows = checked(grouping.similar_rows)
pack_batches = checked(packing.pack_batches)
compress_rows = checked(packing.compress_rows)
sparse_forward = checked(sparse.sparse_forward)
sparse_weight_gradient = checked(sparse.sparse_weight_gradient)
activation_forward = checked(activations.activation_forward)
activation_gradient = checked(activations.activation_gradient)
gelu_forward = checked(gelu.gelu_forward)
gelu_gradient = checked(gelu.gelu_gradient)
dropout = checked(dropout_file.dropout)
elementwise_loss = checked(elementwise_loss_file.elementwise_loss)
softmax = checked(cross_entropy.softmax)
softmax_cross_entropy = checked(cross_entropy.softmax_cross_entropy)
count_correct = checked(cross_entropy.count_correct)
dense_cross_entropy = checked(output_layer.dense_cross_entropy)
stack_cross_entropy = checked(small_networks.stack_cross_entropy)
sgd_samples = checked(samples.sgd_samples)
sgd_batches = checked(batches.sgd_batches)
sgd = checked(updates.sgd)
momentum = checked(updates.momentum)
rmsprop = checked(updates.rmsprop)
rmsprop_tensor = checked(updates.rmsprop_tensor)
adam = checked(updates.adam)
adamw = checked(updates.adamw)
squared_norm = checked(updates.squared_norm)
l2_penalty = checked(updates.l2_penalty)
