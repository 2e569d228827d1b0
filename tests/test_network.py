import itertools
import math

import numpy as np
import pytest
from arrays import Unchanged
from networks import (
    ROUNDING,
    assert_close,
    assert_gradients_are,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    logits_of,
    loss_of,
    numeric_gradients,
    samples,
    small_network,
    softmax_of,
)

import fastfnn
from fastfnn import SGD, Dense, Network, ReLU, Tanh
from fastfnn.execution import thresholds
from fastfnn.execution.plan import Propagation
from fastfnn.execution.thresholds import ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK


@each_backend
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_gradients_of_the_whole_network(backend, l2):
    net = small_network(backend)
    X, y = samples(12)
    loss, gradients = net.loss_and_gradients(X, y, l2=l2)
    assert loss == pytest.approx(loss_of(net.layers, X, y, l2), rel=1e-13)
    assert_gradients_are(gradients, numeric_gradients(net.layers, X, y, l2), 1e-8)


@each_backend
@each_dtype
def test_the_penalty_is_on_weights_and_not_on_biases(backend, dtype):
    net = small_network(backend, dtype)
    X, y = samples(12, dtype=dtype)
    loss, gradients = net.loss_and_gradients(X, y)
    penalised, with_penalty = net.loss_and_gradients(X, y, l2=0.5)
    squares = sum((layer.weights.astype(float) ** 2).sum() for layer in net.layers)
    assert penalised - loss == pytest.approx(0.25 * squares, rel=1e-6)
    for layer, plain, other in zip(net.layers, gradients, with_penalty, strict=True):
        assert_close(other.weights, plain.weights + layer.weights * np.dtype(dtype).type(0.5), ROUNDING[dtype])
    assert np.array_equal(with_penalty[0].bias, gradients[0].bias)


@each_backend
@each_dtype
def test_gradients_on_a_worked_example(backend, dtype):
    net = Network([Dense(2, 2)], backend, dtype)
    net.layers[0].weights[...] = [[1, 0], [0, 1]]
    net.layers[0].bias[...] = [0, math.log(3)]
    loss, gradients = net.loss_and_gradients(np.array([[0, 0], [math.log(3), 0]], dtype), np.array([0, 1]))
    assert loss == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-6)
    assert_close(gradients[0].weights, np.array([[0.25, -0.25], [0, 0]]) * math.log(3), 1e-6)
    assert_close(gradients[0].bias, np.array([-0.125, 0.125]), 1e-6)


@each_backend
@each_dtype
def test_types_of_loss_and_gradients(backend, dtype):
    net = small_network(backend, dtype)
    loss, gradients = net.loss_and_gradients(*samples(5), l2=0.1)
    assert type(loss) is float
    assert [gradient.bias is None for gradient in gradients] == [False, True]
    for array in (gradients[0].weights, gradients[0].bias, gradients[1].weights):
        assert array.dtype == dtype


@each_backend
def test_activation_layers_have_a_place_among_the_gradients(backend):
    net = Network([Tanh(), Dense(4, 3), ReLU()], backend, seed=1)
    _, gradients = net.loss_and_gradients(*samples(5))
    assert [gradient.weights is None for gradient in gradients] == [True, False, True]


@each_backend
def test_gradients_handed_out_stay_when_others_are_computed(backend):
    net = small_network(backend)
    _, gradients = net.loss_and_gradients(*samples(5))
    before = [gradient.weights.copy() for gradient in gradients]
    net.loss_and_gradients(*samples(9, seed=1))
    net.fit(*samples(9, seed=1), fastfnn.SGD(0.1))
    for gradient, copy in zip(gradients, before, strict=True):
        assert np.array_equal(gradient.weights, copy)


@each_backend
def test_computing_gradients_does_not_change_the_parameters(backend):
    net = small_network(backend)
    before = bytes_of(net)
    net.loss_and_gradients(*samples(5), l2=0.1)
    assert bytes_of(net) == before


@each_backend
@pytest.mark.parametrize(
    "cuts", [[1], [ROWS_OF_BLOCK], [ROWS_OF_BLOCK - 1, ROWS_OF_BLOCK + 1], [800, 1600], [5, 6, 2000]]
)
def test_the_gradient_of_a_batch_is_the_mean_over_its_parts(backend, cuts):
    X, y = samples(ROWS_OF_LARGE_BLOCK + ROWS_OF_BLOCK + 1)
    net = small_network(backend)
    loss, gradients = net.loss_and_gradients(X, y)
    total, weights, bias = 0.0, 0.0, 0.0
    for X_part, y_part in zip(np.split(X, cuts), np.split(y, cuts), strict=True):
        part_loss, part = net.loss_and_gradients(X_part, y_part)
        share = len(X_part) / len(X)
        total += share * part_loss
        weights, bias = weights + share * part[0].weights, bias + share * part[0].bias
    assert loss == pytest.approx(total, rel=1e-12)
    assert_close(gradients[0].weights, weights, 1e-11)
    assert_close(gradients[0].bias, bias, 1e-11)


class PassedOn(ReLU):
    """A layer that returns its input itself."""

    activation = "identity"

    def forward(self, x, out=None):
        return x


@each_backend
@pytest.mark.parametrize("widths", [(4, 5, 3), (4, 3)])
def test_a_layer_may_return_its_input(backend, widths):
    X, y = samples(12)
    unchanged = Unchanged(X)
    dense, again = (
        [Dense(i, o, "tanh" if o == 5 else None) for i, o in itertools.pairwise(widths)] for _ in range(2)
    )
    net = Network([*dense[:-1], PassedOn(), dense[-1]], backend, "float64", seed=1)
    loss, gradients = net.loss_and_gradients(X, y)
    expected_loss, expected = Network(again, backend, "float64", seed=1).loss_and_gradients(X, y)
    unchanged.check()
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    for gradient, other in zip([*gradients[:-2], gradients[-1]], expected, strict=True):
        assert_close(gradient.weights, other.weights, 1e-12)


@each_backend
@each_dtype
def test_an_output_layer_of_many_weights_gives_the_same(backend, dtype, monkeypatch):
    X, y = samples(70, dtype=dtype)
    monkeypatch.setattr(thresholds, "WHOLE_STACK_BYTES", 0)
    plan = small_network(backend, dtype).plan(X, y, SGD())
    assert plan.propagation is Propagation.LAYERWISE_WITH_OUTPUT_LAYER
    loss, gradients = small_network(backend, dtype).loss_and_gradients(X, y, 0.1)
    evaluated = small_network(backend, dtype).evaluate(X, y)
    monkeypatch.setattr(thresholds, "OUTPUT_LAYER_BYTES", 0)
    assert small_network(backend, dtype).plan(X, y, SGD()).propagation is Propagation.LAYERWISE
    other_loss, other = small_network(backend, dtype).loss_and_gradients(X, y, 0.1)
    assert loss == pytest.approx(other_loss, rel=ROUNDING[dtype])
    for gradient, expected in zip(gradients, other, strict=True):
        assert_close(gradient.weights, expected.weights, ROUNDING[dtype])
        assert_close(gradient.bias, expected.bias, ROUNDING[dtype])
    assert evaluated == pytest.approx(small_network(backend, dtype).evaluate(X, y), rel=ROUNDING[dtype])


@each_backend
@each_dtype
@pytest.mark.parametrize(
    "n_rows",
    [1, 5, ROWS_OF_BLOCK, ROWS_OF_BLOCK + 1, 2 * ROWS_OF_BLOCK + 1, ROWS_OF_LARGE_BLOCK - 1, ROWS_OF_LARGE_BLOCK + 1],
)
def test_predictions_follow_the_formulas(backend, dtype, n_rows):
    X, y = samples(n_rows, dtype=dtype)
    net = small_network(backend, dtype)
    logits = logits_of(net.layers, X)
    probabilities = net.predict_proba(X)
    assert probabilities.dtype == dtype
    assert_close(probabilities, softmax_of(logits), ROUNDING[dtype])
    labels = net.predict(X)
    assert labels.dtype == np.int64
    assert np.array_equal(labels, logits.argmax(axis=1))
    loss, accuracy = net.evaluate(X, y)
    assert loss == pytest.approx(loss_of(net.layers, X, y), rel=ROUNDING[dtype])
    assert accuracy == (logits.argmax(axis=1) == y).mean()


@each_backend
def test_evaluation_leaves_the_penalty_out(backend):
    X, y = samples(9)
    net = small_network(backend)
    assert net.evaluate(X, y)[0] == pytest.approx(net.loss_and_gradients(X, y)[0], rel=1e-14)


@each_backend
@each_dtype
@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
def test_no_rows_give_no_predictions(backend, dtype, input_dtype):
    net = small_network(backend, dtype)
    X = np.zeros((0, 4), input_dtype)
    labels, probabilities = net.predict(X), net.predict_proba(X)
    assert (labels.shape, labels.dtype) == ((0,), np.int64)
    assert (probabilities.shape, probabilities.dtype) == ((0, 3), dtype)


@each_backend
@each_dtype
def test_of_equal_classes_the_first_is_chosen_and_counted(backend, dtype):
    net = Network([Dense(2, 4)], backend, dtype)
    net.layers[0].weights[...] = 0
    net.layers[0].bias[...] = [0, 1, 1, 0]
    X = np.ones((4, 2), dtype)
    assert net.predict(X).tolist() == [1, 1, 1, 1]
    assert net.evaluate(X, np.array([1, 1, 2, 0]))[1] == 0.5
    history = net.fit(X, np.array([1, 1, 2, 0]), fastfnn.SGD(0.1))
    assert history["accuracy"] == [0.5]


@each_backend
@each_dtype
def test_huge_inputs_give_probabilities_and_a_finite_loss(backend, dtype):
    net = Network([Dense(1, 2, use_bias=False)], backend, dtype)
    net.layers[0].weights[...] = [[1, -1]]
    X = np.array([[1e4], [-1e4]], dtype)
    assert net.predict_proba(X).tolist() == [[1, 0], [0, 1]]
    assert net.evaluate(X, np.array([1, 1]))[0] == pytest.approx(1e4, rel=1e-6)


@each_backend
def test_a_network_of_one_class_has_nothing_to_learn(backend):
    net = Network([Dense(3, 1)], backend, "float64", seed=1)
    loss, gradients = net.loss_and_gradients(np.ones((5, 3)), np.zeros(5, int))
    assert loss == 0
    assert not gradients[0].weights.any()
    assert net.predict_proba(np.ones((2, 3))).tolist() == [[1], [1]]


@each_backend
def test_weights_written_in_place_are_used(backend):
    net = small_network(backend)
    X, y = samples(8)
    net.predict(X)
    net.layers[0].weights[...] = np.arange(20).reshape(4, 5) / 20
    net.layers[0].bias[2] = -3
    net.layers[1].weights[...] *= -2
    expected_loss, expected = backpropagated(net, X, y)
    loss, gradients = net.loss_and_gradients(X, y)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    assert_gradients_are(gradients, expected, 1e-12)
    assert_close(net.predict_proba(X), softmax_of(logits_of(net.layers, X)), 1e-13)


@each_backend
def test_parameters_are_the_layers_own_arrays(backend):
    net = small_network(backend)
    assert list(net.parameters) == ["0.weights", "0.bias", "1.weights"]
    assert net.parameters["0.weights"] is net.layers[0].weights
    before = net.layers[0].weights
    net.fit(*samples(8), fastfnn.Adam(0.1))
    assert net.layers[0].weights is before


@pytest.mark.parametrize(
    ("layers", "n_inputs", "n_outputs"),
    [
        (lambda: [Dense(4, 3)], 4, 3),
        (lambda: [Tanh(), Dense(4, 3), ReLU()], 4, 3),
        (lambda: [Dense(4, 7), Tanh(), Dense(7, 2)], 4, 2),
    ],
)
def test_widths_of_the_network(layers, n_inputs, n_outputs):
    net = Network(layers(), "numpy")
    assert (net.n_inputs, net.n_outputs) == (n_inputs, n_outputs)


def test_layers_may_come_from_any_iterable():
    net = Network((Dense(width, width) for width in (3, 3)), "numpy")
    assert len(net.layers) == 2


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")])
def test_dtype_may_be_a_name_or_a_type(dtype):
    assert Network([Dense(2, 2)], "numpy", dtype).layers[0].weights.dtype == np.float32


def test_float32_is_the_default():
    assert Network([Dense(2, 2)], "numpy").dtype == np.float32


def test_repr_names_layers_backend_and_dtype():
    net = Network([Dense(2, 3), Tanh()], "numpy", "float64")
    assert repr(net) == (
        "Network([Dense(2, 3, activation='identity', use_bias=True), Tanh()], backend='numpy', dtype='float64')"
    )
