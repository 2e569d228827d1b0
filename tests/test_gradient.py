"""Gradients and evaluations computed as a plan says: which kernels are called, and that all ways give the same."""

import numpy as np
import pytest
from networks import (
    ROUNDING,
    assert_close,
    assert_gradients_are,
    backpropagated,
    each_backend,
    each_dtype,
    samples,
    small_network,
)

from fastfnn import SGD
from fastfnn.execution import thresholds
from fastfnn.execution.gradient import loss_gradient
from fastfnn.execution.layerwise import LayerwiseGradient
from fastfnn.execution.options import Penalty
from fastfnn.execution.plan import Propagation, plan_evaluation, plan_gradient
from fastfnn.execution.preparation import in_order, prepare
from fastfnn.execution.whole_stack import WholeStackGradient
from fastfnn.inputs.density import profile
from fastfnn.inputs.targets import Targets
from fastfnn.losses import BinaryCrossEntropy, Huber, MeanSquaredError, Poisson, SoftmaxCrossEntropy
from fastfnn.sklearn.losses import HalfSquaredError, SummedCrossEntropy

# Thresholds by which a small network is computed in each way; the kernels of a gradient, and of an evaluation.
WAYS = {
    Propagation.WHOLE_STACK: (
        {}, {"stack_gradient"}, {"dense_forward", "dense_cross_entropy"},
    ),
    Propagation.LAYERWISE_WITH_OUTPUT_LAYER: (
        {"WHOLE_STACK_BYTES": 0},
        {"dense_forward", "dense_cross_entropy", "dense_weight_gradient"},
        {"dense_forward", "dense_cross_entropy"},
    ),
    Propagation.LAYERWISE: (
        {"WHOLE_STACK_BYTES": 0, "OUTPUT_LAYER_BYTES": 0},
        {
            "dense_forward", "softmax_cross_entropy", "count_correct",
            "dense_weight_gradient", "dense_input_gradient",
        },
        {"dense_forward", "softmax_cross_entropy", "count_correct"},
    ),
}  # fmt: skip

# Losses, and how to draw targets of them.
LOSSES = {
    "softmax": (SoftmaxCrossEntropy(), lambda rng: rng.integers(0, 3, 30)),
    "softmax with smoothing and class weights": (
        SoftmaxCrossEntropy(0.2, [1, 0.5, 3]), lambda rng: rng.integers(0, 3, 30),
    ),
    "binary cross-entropy": (BinaryCrossEntropy(), lambda rng: rng.integers(0, 2, (30, 3))),
    "squared error": (MeanSquaredError(), lambda rng: rng.standard_normal((30, 3))),
    "huber": (Huber(0.5), lambda rng: rng.standard_normal((30, 3))),
    "poisson": (Poisson(), lambda rng: rng.poisson(2, (30, 3))),
    "scikit-learn's squared error": (HalfSquaredError(), lambda rng: rng.standard_normal((30, 3))),
    "scikit-learn's cross-entropy": (SummedCrossEntropy(), lambda rng: rng.integers(0, 2, (30, 3))),
}  # fmt: skip

each_way = pytest.mark.parametrize("way", WAYS)


class Noted:
    """A backend that notes the names of its kernels that are called."""

    def __init__(self, kernels):
        self.called, self._kernels = set(), kernels

    def __getattr__(self, name):
        value = getattr(self._kernels, name)
        if not callable(value):
            return value

        def noted(*args, **kwargs):
            self.called.add(name)
            return value(*args, **kwargs)

        return noted


def noted_kernels(net):
    """Let a network and its layers call kernels that are noted."""
    kernels = Noted(net.kernels)
    net.__dict__["kernels"] = kernels
    for layer in net.layers:
        layer._kernels = kernels
    return kernels


@pytest.fixture
def set_thresholds(monkeypatch, way):
    for name, value in WAYS[way][0].items():
        monkeypatch.setattr(thresholds, name, value)


@each_backend
@each_way
@pytest.mark.usefixtures("set_thresholds")
def test_the_kernels_of_the_plan_are_called(backend, way):
    net, (X, y) = small_network(backend), samples(30)
    kernels = noted_kernels(net)
    _, of_gradient, of_evaluation = WAYS[way]
    assert net.plan(X, y, SGD(0.1)).propagation is way
    net.fit(X, y, SGD(0.1), epochs=2)
    assert kernels.called == of_gradient | {"sgd"}
    kernels.called.clear()
    plan = plan_gradient(net, profile(X, net.dtype))
    assert plan.propagation is way
    net.loss_and_gradients(X, y)
    assert kernels.called == of_gradient
    kernels.called.clear()
    fused = way is not Propagation.LAYERWISE
    evaluation = plan_evaluation(net, profile(X, net.dtype)).propagation
    assert evaluation is (Propagation.LAYERWISE_WITH_OUTPUT_LAYER if fused else Propagation.LAYERWISE)
    net.evaluate(X, y)
    assert kernels.called == of_evaluation


@each_backend
@each_dtype
@each_way
@pytest.mark.usefixtures("set_thresholds")
@pytest.mark.parametrize("rows_of_block", [7, 100])
def test_every_way_gives_the_gradient(monkeypatch, backend, dtype, way, rows_of_block):
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", rows_of_block)
    monkeypatch.setattr(thresholds, "ROWS_OF_LARGE_BLOCK", rows_of_block)
    net, (X, y) = small_network(backend, dtype), samples(30, dtype=dtype)
    plan = plan_gradient(net, profile(X, net.dtype))
    gradient = loss_gradient(net, 30, Penalty(0.1, 0.0), plan)
    assert type(gradient) is (WholeStackGradient if way is Propagation.WHOLE_STACK else LayerwiseGradient)
    blocks, targets = prepare(net, X, plan), Targets(y)
    expected_loss, expected = backpropagated(net, X, y, l2=0.1)
    arrays = [(array.ctypes.data, array.shape) for array in gradient.gradients]
    for _ in range(2):
        loss, n_correct = gradient.run(in_order(blocks, targets), targets.total_weight)
        assert loss == pytest.approx(expected_loss, rel=ROUNDING[dtype])
        assert n_correct == (net.predict(X) == y).sum()
        assert_gradients_are([layer.gradient for layer in net.layers], expected, ROUNDING[dtype])
        assert [(array.ctypes.data, array.shape) for array in gradient.gradients] == arrays


@each_backend
@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_one_call_gives_what_the_layers_give(monkeypatch, backend, dtype, weighted, name):
    """In blocks of 7 rows, the weights of each of which are not those of all."""
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", 7)
    monkeypatch.setattr(thresholds, "ROWS_OF_LARGE_BLOCK", 7)
    loss, draw = LOSSES[name]
    net, rng = small_network(backend, dtype, loss=loss), np.random.default_rng(5)
    X, weights = samples(30, dtype=dtype)[0], np.arange(30.0) % 4 if weighted else None
    X, y = net.check_samples(X, draw(rng), sample_weight=weights)
    results = []
    for limit in (thresholds.WHOLE_STACK_BYTES, 0):
        monkeypatch.setattr(thresholds, "WHOLE_STACK_BYTES", limit)
        plan = plan_gradient(net, profile(X, net.dtype, is_weighted=weighted))
        assert (plan.propagation is Propagation.WHOLE_STACK) == (limit > 0)
        gradient = loss_gradient(net, 30, Penalty(0.1, 0.2, "sum"), plan)
        results.append((*gradient.run(in_order(prepare(net, X, plan), y), y.total_weight), gradient.gradients.vector))
    (value, n_correct, vector), (expected_value, expected_correct, expected) = results
    assert value == pytest.approx(expected_value, rel=ROUNDING[dtype])
    assert n_correct == expected_correct
    assert (n_correct > 0) == loss.counts_correct
    assert_close(vector, expected, ROUNDING[dtype])


@each_backend
@each_way
@pytest.mark.usefixtures("set_thresholds")
def test_gradients_are_stored_as_the_parameters_are(backend, way):
    net, (X, y) = small_network(backend), samples(30)
    gradient = loss_gradient(net, 30, Penalty(), plan_gradient(net, profile(X, net.dtype)))
    assert gradient.gradients.layout == net.parameter_arrays.layout
    held = [array for layer in net.layers for array in (layer.gradient.weights, layer.gradient.bias)]
    in_order_of_layers = [array for array in held if array is not None]
    assert all(a is b for a, b in zip(gradient.gradients, in_order_of_layers, strict=True))
    net.fit(X, y, SGD(0.1))
    assert_close(gradient.gradients.vector, np.zeros_like(gradient.gradients.vector), 0)


@each_backend
@each_way
@pytest.mark.usefixtures("set_thresholds")
def test_a_gradient_that_was_replaced_is_taken_back(backend, way):
    """A user's call of `backward` gives a layer another gradient between two steps."""
    net, plain, (X, y) = small_network(backend), small_network(backend), samples(30)
    seen = {net: [], plain: []}

    def note(step):
        seen[step.network].append([layer.gradient.weights.tobytes() for layer in step.network.layers])

    def call_backward(step):
        layer = step.network.layers[0]
        layer.backward(X, layer.forward(X), np.ones((30, 5)))

    net.fit(X, y, SGD(0.1), epochs=3, step_callbacks=[note, call_backward])
    plain.fit(X, y, SGD(0.1), epochs=3, step_callbacks=[note])
    assert len(seen[net]) == 3
    assert seen[net] == seen[plain]
    for name, array in net.parameters.items():
        assert array.tobytes() == plain.parameters[name].tobytes()
