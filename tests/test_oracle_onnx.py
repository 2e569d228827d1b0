"""Kernels give the results of ONNX's own tests of its operators, where they compute the same.

The `onnx` package makes these vectors, in float32, when the modules of its test cases are imported, and notes them in
a private list. Its public `collect_testcases` imports the cases of every operator, which takes seconds and warns.
"""

import numpy as np
import pytest
from onnx.backend.test.case import node
from onnx.backend.test.case.node import adam, gemm, momentum, softmax_cross_entropy_loss  # noqa: F401
from onnx.helper import get_attribute_value
from tolerances import ELEMENT_RATIO, assert_elements_close, assert_product_close

ROUNDINGS = ELEMENT_RATIO[np.dtype(np.float32)] * float(np.finfo(np.float32).eps)


class Vector:
    """The attributes of an operator, what goes in and what comes out."""

    def __init__(self, case):
        self.attributes = {each.name: get_attribute_value(each) for each in case.model.graph.node[0].attribute}
        ((self.inputs, self.outputs),) = case.data_sets


# What kernels have not, by operator, and the vectors that ask for it.
OUTSIDE = {
    "SoftmaxCrossEntropyLoss": {
        "a label that is ignored": lambda vector: "ignore_index" in vector.attributes,
    },
    "Gemm": {
        "a factor of a product or a bias": lambda vector: {"alpha", "beta"} & vector.attributes.keys(),
        "a bias for each row": lambda vector: any(len(np.atleast_2d(c)) > 1 for c in vector.inputs[2:]),
    },
    "Momentum": {},
    "Adam": {},
}


def vectors_inside(operator):
    """Return by name the vectors that kernels can compute, of the operator itself and not of others in its place."""
    cases = [case for case in node._NodeTestCases if case.model.graph.node[0].op_type == operator]
    vectors = {case.name.removeprefix("test_"): Vector(case) for case in cases}
    asks_for_more = OUTSIDE[operator].values()
    return {name: vector for name, vector in vectors.items() if not any(asks(vector) for asks in asks_for_more)}


def each_vector(operator):
    vectors = vectors_inside(operator)
    return pytest.mark.parametrize("vector", vectors.values(), ids=vectors.keys())


@pytest.mark.parametrize(
    ("operator", "names"),
    [
        ("SoftmaxCrossEntropyLoss", {"sce_none", "sce_sum", "sce_mean", "sce_mean_weight", "sce_mean_3d"}),
        ("Gemm", {"gemm_default_no_bias", "gemm_default_vector_bias", "gemm_transposeA", "gemm_transposeB"}),
        ("Momentum", {"momentum", "nesterov_momentum", "momentum_multiple"}),
        ("Adam", {"adam", "adam_multiple"}),
    ],
)
def test_the_well_known_vectors_are_tested(operator, names):
    assert names <= vectors_inside(operator).keys()


@each_vector("SoftmaxCrossEntropyLoss")
def test_cross_entropy(kernels, vector):
    logits, labels, *class_weight = vector.inputs
    losses, *log_probabilities = vector.outputs
    rows = classes_last(logits)
    weights = [of_class[labels.ravel()] for of_class in class_weight] or [None]
    actual = cross_entropy(kernels, rows, labels.ravel(), *weights, vector.attributes["reduction"])
    assert np.ravel(actual) == pytest.approx(np.ravel(losses), rel=ROUNDINGS)
    for expected in log_probabilities:
        assert np.log(kernels.softmax(rows)) == pytest.approx(classes_last(expected), rel=0, abs=ROUNDINGS)


def cross_entropy(kernels, logits, labels, weights, reduction):
    if reduction == b"none":
        rows = [slice(row, row + 1) for row in range(len(logits))]
        each = [(logits[row], labels[row], 1.0, None, None if weights is None else weights[row]) for row in rows]
        return [kernels.softmax_cross_entropy(*one)[0] for one in each]
    total = len(logits) if weights is None else float(weights.sum())
    scale = {b"mean": 1 / total, b"sum": 1.0}[reduction]
    return kernels.softmax_cross_entropy(logits, labels, scale, None, weights)[0]


def classes_last(values):
    """Return a row for each sample and position; ONNX's axes are samples, classes, then positions."""
    return np.ascontiguousarray(np.moveaxis(values, 1, -1).reshape(-1, values.shape[1]))


@each_vector("Gemm")
def test_products(kernels, vector):
    (expected,) = vector.outputs
    # Nothing in these vectors is negative: each result is also its sum of |a||b|.
    assert_product_close(product(kernels, vector), expected.astype(np.float64), magnitude=expected)


def product(kernels, vector):
    """Compute a b + c, or one of the two products of a gradient, which have no c: it is zero in their vectors."""
    a, b, *c = vector.inputs
    if vector.attributes.get("transA"):
        return kernels.dense_weight_gradient(a, b)[0]
    if vector.attributes.get("transB"):
        return kernels.dense_input_gradient(a, b)
    biases = [np.broadcast_to(bias, (1, b.shape[1]))[0].copy() for bias in c]
    return kernels.dense_forward(a, b, *biases)


@each_vector("Momentum")
def test_momentum(kernels, vector):
    rate, step, *tensors = vector.inputs
    assert step == 0  # ONNX's factor of the gradient, beta, then counts as 1: the kernels have none
    alpha, nesterov = vector.attributes["alpha"], vector.attributes["mode"] == b"nesterov"
    for before, after in zip(grouped(tensors, 3), grouped(vector.outputs, 2), strict=True):
        parameter, gradient, velocity = with_penalty(vector, *before)
        kernels.momentum(parameter, gradient, velocity, float(rate), alpha, nesterov)
        assert_all_close([parameter, velocity], after)


@each_vector("Adam")
def test_adam(kernels, vector):
    rate, step, *tensors = vector.inputs
    # ONNX corrects no bias at step 0, and adds epsilon before it corrects at others; beta**1_000_000 is zero.
    assert step == 0
    scalars = (1_000_000, float(rate), *(vector.attributes[name] for name in ("alpha", "beta", "epsilon")))
    for before, after in zip(grouped(tensors, 4), grouped(vector.outputs, 3), strict=True):
        parameter, gradient, *moments = with_penalty(vector, *before)
        kernels.adam(parameter, gradient, *moments, *scalars)
        assert_all_close([parameter, *moments], after)


def grouped(tensors, n_kinds):
    """Split X1, X2, ..., G1, G2, ... into (X1, G1, ...), (X2, G2, ...), ..."""
    n_parameters = len(tensors) // n_kinds
    return [tensors[first::n_parameters] for first in range(n_parameters)]


def with_penalty(vector, parameter, gradient, *state):
    """Copy what will be changed, and add to the gradient that of ONNX's penalty on squares."""
    gradient = vector.attributes["norm_coefficient"] * parameter + gradient
    return parameter.copy(), gradient, *(array.copy() for array in state)


def assert_all_close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert_elements_close(one, other.astype(np.float64))
