"""Bad arguments: refused before anything is written, with the same words by both backends."""

import numpy as np
import pytest
from arrays import Unchanged, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.batches import RowLosses

F4 = np.float32


def zeros(*shape, dtype=F4):
    return np.zeros(shape, dtype)


X, W, B, Y, G = zeros(5, 4), zeros(4, 3), zeros(3), zeros(5, 3), zeros(5, 3)
LABELS = np.zeros(5, np.int64)
ROWS, SAMPLES, BATCHES = reference.pack_rows(X, F4), reference.compress_rows(X, F4), reference.pack_batches(X, F4, 2)
ALL = zeros(100)
PARAMETERS = zeros(15)
CLASSES = RowLosses("softmax_cross_entropy", LABELS)
STACK = (PARAMETERS, (3,), ("relu",), (True,), CLASSES)

BAD = [
    ("dense_forward", ([[1.0]], W), TypeError, "x must be a NumPy array; got list"),
    ("dense_forward", (zeros(5, 4, dtype=np.int64), W), TypeError, "x must be float32 or float64; got int64"),
    ("dense_forward", (zeros(5, 4, dtype=">f4"), W), TypeError, "x must be float32 or float64; got >f4"),
    ("dense_forward", (zeros(4), W), ValueError, "x must have 2 dimensions; got shape (4,)"),
    ("dense_forward", (zeros(4, 5).T, W), ValueError, "x must be C-contiguous"),
    ("dense_forward", (X, zeros(5, 3)), ValueError, "weights must have shape (4, any); got (5, 3)"),
    ("dense_forward", (X, zeros(4, 3, dtype=np.float64)), TypeError, "weights must be float32 as the first"),
    ("dense_forward", (X, W, zeros(4)), ValueError, "bias must have shape (3); got (4,)"),
    ("dense_forward", (X, W, zeros(3, dtype=np.float64)), TypeError, "bias must be float32"),
    ("dense_forward", (X, W, B, "softsign"), ValueError, "activation must be one of identity, relu, sigmoid, tanh"),
    ("dense_forward", (X, W, B, None), ValueError, "got None"),
    ("dense_forward", (X, W, B, "relu", zeros(5, 4)), ValueError, "out must have shape (5, 3); got (5, 4)"),
    ("dense_forward", (X, W, B, "relu", zeros(5, 3, dtype=np.float64)), TypeError, "out must be float32"),
    ("dense_forward", (X, W, B, "relu", read_only(Y)), ValueError, "out is written to, but is read-only"),
    ("dense_forward", (ALL[:20].reshape(5, 4), W, B, "relu", ALL[10:25].reshape(5, 3)), ValueError, "memory with x"),
    ("dense_forward", (X, ALL[:12].reshape(4, 3), B, "relu", ALL[11:26].reshape(5, 3)), ValueError, "with weights"),
    ("dense_forward", (X, W, ALL[:3], "relu", ALL[:15].reshape(5, 3)), ValueError, "with bias"),
    ("dense_weight_gradient", (X, zeros(4, 3)), ValueError, "grad must have shape (5, any); got (4, 3)"),
    ("dense_weight_gradient", (X, G, zeros(3, 4)), ValueError, "out must have shape (4, 3); got (3, 4)"),
    ("dense_weight_gradient", (X, G, W, zeros(4)), ValueError, "out_bias must have shape (3); got (4,)"),
    (
        "dense_weight_gradient",
        (X, G, ALL[:12].reshape(4, 3), ALL[9:12]),
        ValueError,
        "out_bias shares memory with out",
    ),
    ("dense_weight_gradient", (X, ALL[:15].reshape(5, 3), ALL[:12].reshape(4, 3)), ValueError, "with grad"),
    ("dense_input_gradient", (G, zeros(4, 2)), ValueError, "weights must have shape (any, 3); got (4, 2)"),
    ("dense_input_gradient", (G, W, zeros(5, 3), "relu"), ValueError, "x must have shape (5, 4); got (5, 3)"),
    ("dense_input_gradient", (G, W, None, "relu"), ValueError, "x is needed for the derivative of relu"),
    ("dense_input_gradient", (G, W, X, "relu", X), ValueError, "out shares memory with x"),
    ("pack_rows", (zeros(5, 4, dtype=np.int8), F4), TypeError, "x must be uint8, float32 or float64; got int8"),
    ("pack_rows", ([[1.0]], F4), TypeError, "x must be a NumPy array; got list"),
    ("pack_rows", (zeros(4), F4), ValueError, "x must have 2 dimensions; got shape (4,)"),
    ("pack_rows", (X[:, 1:], F4), ValueError, "x must be C-contiguous"),
    ("pack_rows", (X, np.float16), TypeError, "dtype must be float32 or float64; got float16"),
    ("pack_rows", (X, F4, 1.0, LABELS.astype(np.int32)), TypeError, "rows must be int64; got int32"),
    ("pack_rows", (X, F4, 1.0, LABELS[:, None]), ValueError, "rows must have 1 dimension; got shape (5, 1)"),
    ("pack_rows", (X, F4, 1.0, LABELS[::2]), ValueError, "rows must be C-contiguous"),
    ("pack_rows", (X, F4, 1.0, LABELS + 5), ValueError, "rows must lie from 0 to 4, the rows of x; got 5 to 5"),
    ("pack_rows", (X, F4, 1.0, LABELS - 1), ValueError, "rows must lie from 0 to 4, the rows of x; got -1 to -1"),
    ("pack_rows", (X, np.int64), TypeError, "dtype must be float32 or float64; got int64"),
    ("similar_rows", ([[1.0]],), TypeError, "x must be a NumPy array; got list"),
    ("similar_rows", (zeros(5, 4, dtype=np.int64),), TypeError, "x must be uint8, float32 or float64; got int64"),
    ("similar_rows", (zeros(4),), ValueError, "x must have 2 dimensions; got shape (4,)"),
    ("similar_rows", (X.T,), ValueError, "x must be C-contiguous"),
    ("compress_rows", (X, F4, 1.0, LABELS + 5), ValueError, "rows must lie from 0 to 4"),
    ("sparse_forward", (X, W), TypeError, "rows must be a Packed matrix; got ndarray"),
    ("sparse_forward", (ROWS, zeros(5, 3)), ValueError, "weights must have shape (4, any)"),
    ("sparse_forward", (ROWS, W, B, "relu", zeros(4, 3)), ValueError, "out must have shape (5, 3)"),
    ("sparse_weight_gradient", (ROWS, zeros(4, 3)), ValueError, "grad must have shape (5, any)"),
    ("sparse_weight_gradient", (ROWS, G, zeros(5, 3)), ValueError, "out must have shape (4, 3); got (5, 3)"),
    ("sparse_weight_gradient", (ROWS, G, W, zeros(4)), ValueError, "out_bias must have shape (3); got (4,)"),
    ("sparse_weight_gradient", (X, G), TypeError, "rows must be a Packed matrix; got ndarray: pack it with"),
    ("activation_forward", (zeros(3), "relu"), ValueError, "z must have 2 dimensions"),
    ("activation_forward", (X, "gelu"), ValueError, "activation must be one of"),
    ("activation_forward", (X, "relu", X), ValueError, "out shares memory with z"),
    ("activation_gradient", (X, Y, "relu"), ValueError, "grad must have shape (5, 4)"),
    ("activation_gradient", (X, zeros(5, 4), "relu", X), ValueError, "out shares memory with y"),
    ("softmax", (zeros(5, 0),), ValueError, "at least one class"),
    ("softmax", (Y, Y), ValueError, "out shares memory with logits"),
    ("dense_cross_entropy", (X, W[:2], B, LABELS), ValueError, "weights must have shape (4, any); got (2, 3)"),
    ("dense_cross_entropy", (X, zeros(4, 0), None, LABELS), ValueError, "weights must have at least one column"),
    ("dense_cross_entropy", (X, W, zeros(4), LABELS), ValueError, "bias must have shape (3)"),
    ("dense_cross_entropy", (X, W, B, LABELS + 3), ValueError, "labels must lie from 0 to 2; got 3 to 3"),
    ("dense_cross_entropy", (X, W, B, LABELS, 1.0, "gelu"), ValueError, "activation must be one of"),
    ("dense_cross_entropy", (X, W, B, LABELS, 1.0, "relu", zeros(4, 5)), ValueError, "out must have shape (5, 4)"),
    ("dense_cross_entropy", (X, W, B, LABELS, 1.0, "relu", X[:]), ValueError, "out shares memory with x"),
    ("dense_cross_entropy", (X, W, B, LABELS, 1.0, "relu", None, W), ValueError, "out_weights shares memory"),
    ("dense_cross_entropy", (X, W, B, LABELS, 1.0, "relu", None, None, B), ValueError, "out_bias shares memory"),
    ("stack_gradient", (X, PARAMETERS, (), (), (), CLASSES), ValueError, "for each layer; got 0, 0 and 0"),
    ("stack_gradient", (X, PARAMETERS, (3,), ("relu",), (), CLASSES), ValueError, "each layer; got 1, 1 and 0"),
    ("stack_gradient", (X[0], *STACK), ValueError, "x must have 2 dimensions"),
    ("stack_gradient", (X, zeros(14), *STACK[1:]), ValueError, "parameters must have shape (15); got (14,)"),
    (
        "stack_gradient",
        (X, PARAMETERS, (3, 2), ("relu", "relu"), (True, False), CLASSES),
        ValueError,
        "parameters must have shape (21); got (15,)",
    ),
    ("stack_gradient", (X, PARAMETERS.astype("f8"), *STACK[1:]), TypeError, "parameters must be float32"),
    (
        "stack_gradient",
        (X, PARAMETERS, (3,), ("gelu",), (True,), CLASSES),
        ValueError,
        "activation must be one of",
    ),
    (
        "stack_gradient",
        (X, PARAMETERS, (0,), ("relu",), (True,), CLASSES),
        ValueError,
        "at least one for the last layer",
    ),
    ("stack_gradient", (X, PARAMETERS, (-1, 3), ("relu",) * 2, (True,) * 2, CLASSES), ValueError, "counts of"),
    (
        "stack_gradient",
        (X, *STACK[:-1], LABELS),
        TypeError,
        "losses must be a fastfnn_kernels.batches.RowLosses; got",
    ),
    *(
        ("stack_gradient", (X, *STACK[:-1], CLASSES._replace(**fields)), error, message)
        for fields, error, message in (
            ({"name": "hinge"}, ValueError, "losses.name must be one of softmax_cross_entropy, squared_error, "),
            ({"targets": LABELS + 3}, ValueError, "losses.targets must lie from 0 to 2; got 3 to 3"),
            ({"targets": LABELS[1:]}, ValueError, "losses.targets must have shape (5,)"),
            ({"name": "poisson"}, TypeError, "losses.targets must be float32 or float64; got int64"),
            (
                {"name": "poisson", "targets": zeros(5, 2)},
                ValueError,
                "losses.targets must have shape (5, 3); got (5, 2)",
            ),
            ({"weights": zeros(4)}, ValueError, "losses.weights must have shape (5)"),
            ({"weights": zeros(5, dtype=np.float64)}, TypeError, "losses.weights must be float32"),
            ({"label_smoothing": 1.0}, ValueError, "losses.label_smoothing must lie from 0 to below 1; got 1.0"),
            ({"delta": 0.0}, ValueError, "losses.delta must be a finite number above 0; got 0.0"),
            ({"gradient_factor": 0.0}, ValueError, "losses.gradient_factor must be a finite number above 0; got 0"),
            ({"value_factor": np.inf}, ValueError, "losses.value_factor must be a finite number above 0; got inf"),
        )
    ),
    (
        "stack_gradient",
        (X, *STACK[:-1], RowLosses("huber", ALL[:15].reshape(5, 3)), None, 0.0, 0.0, ALL[:15]),
        ValueError,
        "out shares memory with losses.targets",
    ),
    (
        "stack_gradient",
        (X, *STACK[:-1], CLASSES._replace(weights=ALL[:5]), None, 0.0, 0.0, ALL[:15]),
        ValueError,
        "out shares memory with losses.weights",
    ),
    (
        "stack_gradient",
        (X, *STACK, None, 0.0, 0.0, zeros(14)),
        ValueError,
        "out must have shape (15); got (14,)",
    ),
    ("stack_gradient", (X, *STACK, None, 0.0, 0.0, read_only(zeros(15))), ValueError, "out is written to"),
    ("stack_gradient", (X, *STACK, None, 0.0, 0.0, PARAMETERS), ValueError, "out shares memory with parameters"),
    (
        "stack_gradient",
        (X, *STACK, None, 0.0, 0.0, X.reshape(-1)[:15]),
        ValueError,
        "out shares memory with x",
    ),
    ("softmax_cross_entropy", (Y, LABELS.astype(np.int32)), TypeError, "labels must be int64; got int32"),
    ("softmax_cross_entropy", (Y, LABELS[:4]), ValueError, "labels must have shape (5,)"),
    ("softmax_cross_entropy", (Y, LABELS + 3), ValueError, "labels must lie from 0 to 2; got 3 to 3"),
    ("softmax_cross_entropy", (Y, LABELS - 1), ValueError, "labels must lie from 0 to 2; got -1 to -1"),
    ("softmax_cross_entropy", (Y, [0] * 5), TypeError, "labels must be a NumPy array"),
    ("softmax_cross_entropy", (Y, LABELS, 1.0, zeros(5, 2)), ValueError, "out must have shape (5, 3)"),
    ("softmax_cross_entropy", (Y, LABELS, 1.0, None, zeros(4)), ValueError, "weights must have shape (5)"),
    (
        "softmax_cross_entropy",
        (Y, LABELS, 1.0, None, None, 1.0),
        ValueError,
        "label_smoothing must lie from 0 to below 1",
    ),
    ("elementwise_loss", (Y, zeros(5, 2), "huber"), ValueError, "targets must have shape (5, 3)"),
    ("elementwise_loss", (Y, Y, "hinge"), ValueError, "loss must be one of squared_error, huber"),
    ("elementwise_loss", (Y, Y, "huber", 1.0, zeros(3)), ValueError, "weights must have shape (5)"),
    ("elementwise_loss", (Y, Y, "huber", 1.0, None, 0.0), ValueError, "delta must be a finite number above 0; got 0"),
    ("elementwise_loss", (Y, Y, "huber", 1.0, None, 1.0, Y), ValueError, "out shares memory with outputs"),
    ("gelu_forward", (Y, Y), ValueError, "out shares memory with z"),
    ("gelu_gradient", (Y, zeros(5, 2)), ValueError, "grad must have shape (5, 3)"),
    ("dropout", (Y, 1.0, 0), ValueError, "rate must lie from 0 to below 1; got 1.0"),
    ("dropout", (Y, 0.5, -1), ValueError, "seed must lie from 0 to 2**63 - 1; got -1"),
    ("dropout", (Y, 0.5, 0, -1), ValueError, "first_row must be 0 or more; got -1"),
    ("dropout", (Y, 0.5, 0, 0, Y), ValueError, "out shares memory with x"),
    (
        "stack_forward",
        (X, [W], [None], ["elu"]),
        ValueError,
        "activation must be one of identity, relu, sigmoid, tanh;",
    ),
    ("count_correct", (Y, LABELS + 3), ValueError, "labels must lie from 0 to 2"),
    (
        "sgd_samples",
        (ROWS, LABELS, [W], [B], ["relu"], 0.1),
        TypeError,
        "samples must be a Compressed matrix; got Pa",
    ),
    ("sgd_samples", (SAMPLES, LABELS, [], [], [], 0.1), ValueError, "an element for each layer; got 0, 0 and 0"),
    ("sgd_samples", (SAMPLES, LABELS, [W], [], ["relu"], 0.1), ValueError, "for each layer; got 1, 0 and 1"),
    ("sgd_samples", (SAMPLES, LABELS, [W], [B], ["gelu"], 0.1), ValueError, "activation must be one of"),
    (
        "sgd_samples",
        (SAMPLES, LABELS, [zeros(5, 3)], [B], ["relu"], 0.1),
        ValueError,
        "weights[0] must have shape (4,",
    ),
    (
        "sgd_samples",
        (SAMPLES, LABELS, [W, W], [B, B], ["relu"] * 2, 0.1),
        ValueError,
        "weights[1] must have shape (3,",
    ),
    ("sgd_samples", (SAMPLES, LABELS, [W], [zeros(4)], ["relu"], 0.1), ValueError, "biases[0] must have shape (3)"),
    ("sgd_samples", (SAMPLES, LABELS, [W.astype("f8")], [B], ["relu"], 0.1), TypeError, "weights[0] must be float32"),
    ("sgd_samples", (SAMPLES, LABELS, [read_only(W)], [B], ["relu"], 0.1), ValueError, "weights[0] is written to"),
    ("sgd_samples", (SAMPLES, LABELS, [W], [read_only(B)], ["relu"], 0.1), ValueError, "biases[0] is written to"),
    (
        "sgd_samples",
        (SAMPLES, LABELS, [ALL[:12].reshape(4, 3), ALL[11:20].reshape(3, 3)], [None] * 2, ["relu"] * 2, 0.1),
        ValueError,
        "weights[1] shares memory with weights[0]",
    ),
    (
        "sgd_samples",
        (SAMPLES, LABELS, [ALL[:12].reshape(4, 3)], [ALL[9:12]], ["relu"], 0.1),
        ValueError,
        "biases[0] shares memory with weights[0]",
    ),
    (
        "sgd_samples",
        (SAMPLES, LABELS, [zeros(4, 0)], [None], ["relu"], 0.1),
        ValueError,
        "at least one column, a class",
    ),
    ("sgd_samples", (SAMPLES, LABELS + 3, [W], [B], ["relu"], 0.1), ValueError, "labels must lie from 0 to 2"),
    ("sgd_samples", (SAMPLES, LABELS[1:], [W], [B], ["relu"], 0.1), ValueError, "labels must have shape (5,)"),
    ("stack_forward", (X, [], [], []), ValueError, "an element for each layer; got 0, 0 and 0"),
    ("stack_forward", (X, [W], [None], []), ValueError, "an element for each layer; got 1, 1 and 0"),
    ("stack_forward", (X, [W, W], [B, B], ["relu"] * 2), ValueError, "weights[1] must have shape (3, any)"),
    ("stack_forward", (X, [W], [zeros(4)], ["relu"]), ValueError, "biases[0] must have shape (3); got (4,)"),
    ("stack_forward", (X, [W], [B], ["gelu"]), ValueError, "activation must be one of"),
    ("stack_forward", (X, [W], [B], ["relu"], 1.0, zeros(5, 4)), ValueError, "out must have shape (5, 3)"),
    ("stack_forward", (X, [W], [B], ["relu"], 1.0, read_only(Y)), ValueError, "out is written to"),
    (
        "stack_forward",
        (X, [ALL[:12].reshape(4, 3)], [B], ["relu"], 1.0, ALL[11:26].reshape(5, 3)),
        ValueError,
        "out shares memory with weights[0]",
    ),
    ("pack_batches", (X, F4, 0), ValueError, "batch_size must be at least 1; got 0"),
    ("pack_batches", (X, F4, 2, 1.0, LABELS + 5), ValueError, "rows must lie from 0 to 4"),
    ("sgd_batches", (ROWS, LABELS, [W], [B], ["relu"], 0.1), TypeError, "batches must be PackedBatches; got Packed"),
    ("sgd_batches", (BATCHES, LABELS, [W], [], ["relu"], 0.1), ValueError, "for each layer; got 1, 0 and 1"),
    ("sgd_batches", (BATCHES, LABELS, [W], [zeros(4)], ["relu"], 0.1), ValueError, "biases[0] must have shape (3)"),
    ("sgd_batches", (BATCHES, LABELS, [read_only(W)], [B], ["relu"], 0.1), ValueError, "weights[0] is written to"),
    ("sgd_batches", (BATCHES, LABELS[1:], [W], [B], ["relu"], 0.1), ValueError, "labels must have shape (5,)"),
    (
        "train_batches",
        (X, LABELS, *[None] * 6),
        TypeError,
        "losses must be a fastfnn_kernels.batches.RowLosses; got N",
    ),
    ("sgd", (W, zeros(3, 4), 0.1), ValueError, "gradient must have shape (4, 3); got (3, 4)"),
    ("sgd", (W, W, 0.1), ValueError, "parameter shares memory with gradient"),
    ("sgd", (read_only(W), zeros(4, 3), 0.1), ValueError, "parameter is written to, but is read-only"),
    ("momentum", (W, zeros(4, 3), W, 0.1, 0.9), ValueError, "velocity shares memory with parameter"),
    ("rmsprop", (W, zeros(4, 3), zeros(3), 0.1, 0.9, 1e-8), ValueError, "mean_square must have"),
    ("rmsprop_tensor", (W, zeros(3), 1.0, 0.1, 0.9, 1e-8), ValueError, "gradient must have"),
    ("adam", (W, zeros(4, 3), B, zeros(4, 3), 1, 0.1, 0.9, 0.9, 1e-8), ValueError, "first_moment must have"),
    (
        "adam",
        (W, *(zeros(4, 3) for _ in range(3)), 0, 0.1, 0.9, 0.9, 1e-8),
        ValueError,
        "step must be 1 for the first",
    ),
    ("adamw", (W, zeros(4, 3), zeros(4, 3), W, 1, 0.1, 0.9, 0.9, 1e-8, 0.1), ValueError, "second_moment shares"),
    ("squared_norm", (zeros(3, dtype=np.int64),), TypeError, "values must be float32 or float64"),
    ("l2_penalty", (X, Y, 0.5), ValueError, "gradient must have shape (5, 4)"),
    ("l2_penalty", (X, X, 0.5), ValueError, "gradient shares memory with parameter"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "words"), BAD)
def test_bad_arguments_are_refused_alike(name, arguments, error, words):
    unchanged = Unchanged(*(argument for argument in arguments if isinstance(argument, np.ndarray)))
    messages = []
    for kernels in (reference, jitted):
        with pytest.raises(error) as caught:
            getattr(kernels, name)(*arguments)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert words in messages[0]
    unchanged.check()


def test_every_kernel_is_tried_with_a_bad_argument():
    assert {name for name, *_ in BAD} == {
        name for name in vars(reference) if hasattr(getattr(reference, name), "__wrapped__")
    }


def test_neighbours_that_do_not_overlap_are_accepted(kernels):
    memory = np.zeros(40, F4)
    x, out = memory[:20].reshape(5, 4), memory[20:35].reshape(5, 3)
    assert kernels.dense_forward(x, W, out=out) is out
