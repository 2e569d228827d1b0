"""Each recipe's first steps against the algorithm of its page, from the author's first values."""

import dataclasses

import numpy as np
import published_recipes as published
import pytest
from networks import assert_close, each_backend

from fastfnn.datasets import load_mnist
from fastfnn.recipes import RECIPES, digits, spiral
from fastfnn.recipes.settings import make_optimizer

EXACT = 1e-12


def images(n_rows):
    train, _ = load_mnist("original")
    return train.X[:n_rows], train.y[:n_rows]


@pytest.fixture(scope="module")
def mnist():
    return images(42_000)


def training_of(name, backend, n_inputs, input_scale, n_classes=10, **changes):
    """Return the recipe's network and optimizer in float64, and the settings."""
    recipe = RECIPES[name]
    settings = dataclasses.replace(recipe.defaults, backend=backend, dtype="float64", **changes)
    network = recipe.build_network(settings, n_inputs, n_classes, input_scale)
    return network, make_optimizer(settings, recipe.optimizers), settings


def fit(network, X, y, optimizer, settings, **changes):
    n_shared = len(X) if settings.l2_per_sample else 1
    options = {
        "batch_size": settings.batch_size,
        "l2": settings.l2 / n_shared,
        "l2_bias": settings.l2_bias / n_shared,
        "shuffle": settings.shuffle,
        "drop_last": settings.drop_last,
    }
    return network.fit(X, y, optimizer, **options | changes)


def assert_same(parameters, expected):
    for parameter, wanted in zip(parameters, expected, strict=True):
        assert_close(parameter, wanted, EXACT)


@each_backend
def test_kaggle_rmsprop(mnist, backend):
    X, y = mnist
    network, optimizer, settings = training_of("kaggle-rmsprop", backend, 784, 1 / 255)
    page = published.KaggleRmsprop(list(network.parameters.values()))
    (loss,) = fit(network, X, y, optimizer, settings)["loss"]
    assert loss == pytest.approx(page.step(X / 255, y), rel=EXACT)
    assert_same(network.parameters.values(), page.parameters)


@each_backend
@pytest.mark.parametrize(
    ("name", "page_of"), [("layers-sgd", published.LayersSgd), ("layers-adam", published.LayersAdam)]
)
def test_layers(mnist, backend, name, page_of):
    X, y = mnist[0][:6_000], mnist[1][:6_000]
    network, optimizer, settings = training_of(name, backend, 784, 1.0)
    page = page_of(list(network.parameters.values()))
    (loss,) = fit(network, X, y, optimizer, settings, shuffle=False)["loss"]
    assert loss == pytest.approx(page.step(X[:5_000].astype(float), y[:5_000]), rel=EXACT)
    assert_same(network.parameters.values(), page.parameters)
    assert optimizer.n_steps == 1


@each_backend
def test_sigmoid_sgd(mnist, backend):
    X, y = mnist[0][:50], mnist[1][:50]
    network, optimizer, settings = training_of("sigmoid-sgd", backend, 784, 1 / 255)
    page = published.SigmoidSgd(list(network.parameters.values()))
    losses = [page.step(x / 255, label) for x, label in zip(X, y, strict=True)]
    assert fit(network, X, y, optimizer, settings)["loss"] == [pytest.approx(np.mean(losses), rel=EXACT)]
    assert_same(network.parameters.values(), page.parameters)


def with_bias_rows(network):
    return [np.vstack([layer.weights, layer.bias]) for layer in network.layers]


@each_backend
def test_spiral(backend):
    train, _ = spiral.load_data(spiral.DEFAULTS)
    network, optimizer, settings = training_of("spiral", backend, 2, 1.0, n_classes=3)
    page = published.Spiral(with_bias_rows(network))
    losses = fit(network, train.X, train.y, optimizer, settings, epochs=3)["loss"]
    assert losses == pytest.approx([page.step(train.X, train.y) for _ in range(3)], rel=EXACT)
    assert_same(with_bias_rows(network), page.parameters)


@each_backend
def test_digits(backend):
    train, _ = digits.hold_out(digits.load_data(digits.DEFAULTS)[0], None)
    network, optimizer, settings = training_of("digits", backend, 64, 1.0, l2=1.0)
    page = published.Digits(list(network.parameters.values()), settings.l2, settings.learning_rate)
    losses = fit(network, train.X, train.y, optimizer, settings, epochs=3)["loss"]
    assert losses == pytest.approx([page.step(train.X.astype(float), train.y) for _ in range(3)], rel=EXACT)
    assert_same(network.parameters.values(), page.parameters)


def test_the_gradient_through_the_whole_jacobian_is_the_short_one():
    rng = np.random.default_rng(0)
    z, labels = 3 * rng.standard_normal((20, 10)), rng.integers(0, 10, 20)
    for row, label in zip(z, labels, strict=True):
        probabilities = published.softmax(row[np.newaxis])[0]
        jacobian = np.diag(probabilities) - np.outer(probabilities, probabilities)
        by_probability = np.zeros(10)
        by_probability[label] = -1 / probabilities[label]
        _, short = published.mean_cross_entropy(probabilities[np.newaxis], np.array([label]))
        np.testing.assert_allclose(jacobian @ by_probability, short[0], rtol=0, atol=1e-14)


def test_first_values_of_the_layers():
    sgd, *_ = training_of("layers-sgd", "numpy", 784, 1.0)
    adam, *_ = training_of("layers-adam", "numpy", 784, 1.0)
    for layer, other in zip(sgd.layers, adam.layers, strict=True):
        assert layer.weights.std() == pytest.approx(1e-2, rel=0.05)
        assert other.weights.std() == pytest.approx(2 / other.n_inputs, rel=0.05)
        assert not layer.bias.any()
        assert not other.bias.any()
    assert [layer.activation for layer in sgd.layers] == ["relu", "relu", "identity"]


def test_first_values_of_sigmoid_sgd():
    network, *_ = training_of("sigmoid-sgd", "numpy", 784, 1 / 255)
    assert network.layers[0].weights.std() == pytest.approx(1, rel=0.01)
    assert [layer.activation for layer in network.layers] == ["sigmoid", "identity"]


def test_first_values_of_the_spiral_are_those_of_weights_with_a_row_for_the_bias():
    network, *_ = training_of("spiral", "numpy", 2, 1.0, n_classes=3, hidden=(20_000,))
    first, last = with_bias_rows(network)
    assert first.std(axis=1) == pytest.approx(np.full(3, np.sqrt(2)), rel=0.02)
    assert last.std() == pytest.approx(np.sqrt(2 / 20_001), rel=0.02)
    assert first[-1].any()
    assert last[-1].any()


def test_points_of_the_spiral():
    points = spiral.spiral_points(np.random.default_rng(0))
    assert points.X.shape == (900, 2)
    np.testing.assert_allclose(np.hypot(*points.X.T), np.tile(np.linspace(0, 1, 300), 3), atol=1e-12)
    np.testing.assert_array_equal(np.bincount(points.y), [300] * 3)
    train, test = spiral.load_data(spiral.DEFAULTS)
    assert (len(train.X), len(test.X)) == (600, 300)


def test_parts_of_the_digits():
    train, test = digits.load_data(digits.DEFAULTS)
    chosen, held_out = digits.hold_out(train, test)
    assert [len(part.X) for part in (chosen, held_out, test)] == [718, 480, 599]


def test_the_split_of_the_layers():
    train, test = RECIPES["layers-sgd"].load_data(RECIPES["layers-sgd"].defaults)
    assert (len(train.X), len(test.X)) == (52_500, 17_500)
    assert train.X.dtype == np.uint8
