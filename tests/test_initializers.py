import math

import numpy as np
import pytest
from networks import each_backend, each_dtype, samples

import fastfnn
from fastfnn import initializers


def draw(initializer, n_inputs=300, n_outputs=200, seed=5):
    return initializer(np.random.default_rng(seed), n_inputs, n_outputs)


def assert_spread(values, standard_deviation):
    """Check mean and standard deviation to five standard errors of 60,000 draws."""
    assert abs(values.mean()) < 5 * standard_deviation / math.sqrt(values.size)
    assert values.std() == pytest.approx(standard_deviation, rel=5 / math.sqrt(2 * values.size))


@pytest.mark.parametrize(
    ("initializer", "standard_deviation"),
    [
        (initializers.normal(0.25), 0.25),
        (initializers.he, math.sqrt(2 / 300)),
        (initializers.glorot, math.sqrt(2 / 500)),
    ],
)
def test_spread_of_the_weights(initializer, standard_deviation):
    assert_spread(draw(initializer), standard_deviation)


@pytest.mark.parametrize("initializer", [initializers.normal(1.0), initializers.he])
def test_normal_and_he_are_gaussian(initializer):
    values = draw(initializer)
    fourth_moment = ((values / values.std()) ** 4).mean()
    assert fourth_moment == pytest.approx(3, abs=0.1)


def test_glorot_is_uniform_within_its_limits():
    values = draw(initializers.glorot)
    limit = math.sqrt(6 / 500)
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.999 * limit
    assert (np.abs(values) < limit / 2).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "initializer", [initializers.normal(1.0), initializers.he, initializers.glorot, initializers.zeros]
)
def test_weights_have_the_shape_of_the_layer(initializer):
    assert draw(initializer, 3, 7).shape == (3, 7)


def test_zeros_are_zero():
    assert not draw(initializers.zeros).any()


def test_normal_of_zero_is_zero():
    assert not draw(initializers.normal(0)).any()


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_standard_deviation_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=f"standard_deviation must be a finite number from 0 up; got {value}"):
        initializers.normal(value)


def first_weights(dense, **options):
    return fastfnn.Network([dense], backend="numpy", dtype="float64", **options).layers[0].weights


def test_relu_layers_start_from_he():
    assert_spread(first_weights(fastfnn.Dense(300, 200, activation="relu"), seed=1), math.sqrt(2 / 300))


@pytest.mark.parametrize("activation", [None, "identity", "sigmoid", "tanh"])
def test_other_layers_start_from_glorot(activation):
    weights = first_weights(fastfnn.Dense(300, 200, activation=activation), seed=1)
    assert_spread(weights, math.sqrt(2 / 500))
    assert np.abs(weights).max() <= math.sqrt(6 / 500)


def test_the_given_initializer_is_used():
    assert_spread(first_weights(fastfnn.Dense(300, 200, "relu", initializer=initializers.normal(3.0)), seed=1), 3.0)


@each_backend
@each_dtype
def test_biases_start_at_zero(backend, dtype):
    net = fastfnn.Network([fastfnn.Dense(3, 4)], backend, dtype)
    assert net.layers[0].bias.tolist() == [0, 0, 0, 0]
    assert net.layers[0].bias.dtype == dtype


def test_the_seed_fixes_the_weights():
    first, same, other = (first_weights(fastfnn.Dense(3, 4), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_without_a_seed_weights_are_drawn_anew():
    first, second = first_weights(fastfnn.Dense(3, 4)), first_weights(fastfnn.Dense(3, 4))
    assert not np.array_equal(first, second)


def test_layers_do_not_start_alike():
    net = fastfnn.Network([fastfnn.Dense(4, 4), fastfnn.Dense(4, 4)], backend="numpy", seed=1)
    assert not np.array_equal(net.layers[0].weights, net.layers[1].weights)


def test_float32_weights_are_the_rounded_float64_ones():
    single = fastfnn.Network([fastfnn.Dense(3, 4)], "numpy", "float32", seed=1).layers[0].weights
    double = fastfnn.Network([fastfnn.Dense(3, 4)], "numpy", "float64", seed=1).layers[0].weights
    assert np.array_equal(single, double.astype(np.float32))


def test_an_initializer_sees_generator_and_widths():
    seen = []

    def spy(rng, n_inputs, n_outputs):
        seen.append((type(rng), n_inputs, n_outputs))
        return np.ones((n_inputs, n_outputs), np.int8, order="F")

    weights = first_weights(fastfnn.Dense(3, 4, initializer=spy))
    assert seen == [(np.random.Generator, 3, 4)]
    assert weights.tolist() == [[1.0] * 4] * 3
    assert weights.flags.c_contiguous


@pytest.mark.parametrize("wrong", [np.ones((4, 3)), np.ones(12), np.float64(1), np.ones((3, 4, 1))])
def test_an_initializer_of_another_shape_is_refused(wrong):
    with pytest.raises(ValueError, match=r"initializer must return an array of shape \(3, 4\); got"):
        fastfnn.Network([fastfnn.Dense(3, 4, initializer=lambda *_: wrong)], backend="numpy")


@each_backend
@each_dtype
def test_training_does_not_change_the_array_an_initializer_returned(backend, dtype):
    mine = np.ones((4, 3), dtype)
    net = fastfnn.Network([fastfnn.Dense(4, 3, initializer=lambda *_: mine)], backend, dtype)
    net.fit(*samples(10), fastfnn.SGD(0.1))
    assert np.array_equal(mine, np.ones((4, 3)))


@each_backend
def test_an_initializer_may_return_a_read_only_array(backend):
    fixed = np.ones((4, 3))
    fixed.flags.writeable = False
    net = fastfnn.Network([fastfnn.Dense(4, 3, initializer=lambda *_: fixed)], backend, "float64")
    net.fit(*samples(10), fastfnn.SGD(0.1))
    assert not np.array_equal(net.layers[0].weights, fixed)
