import dataclasses

import numpy as np
import pytest

from fastfnn.recipes import RECIPES, get_recipe, kaggle_rmsprop
from fastfnn.recipes.kaggle_rmsprop import DEFAULTS, OPTIMIZERS

PIXEL_SCALE = 1 / 255


@pytest.fixture(scope="module")
def training_samples():
    return kaggle_rmsprop.load_data(DEFAULTS)[0]


def reports_of(settings, X, y, iterations):
    network = kaggle_rmsprop.build_network(settings, X.shape[1], 10, PIXEL_SCALE)
    optimizer = OPTIMIZERS[settings.optimizer](learning_rate=settings.learning_rate)
    reports = []

    def report(epoch):
        if epoch.number in iterations:
            reports.append(kaggle_rmsprop.report(epoch))

    network.fit(X, y, optimizer, epochs=max(iterations), l2=settings.l2, callbacks=[report])
    return reports


def test_first_and_101st_iteration_on_42000_digits(training_samples):
    """The NumPy backend takes a minute for as many: test_published_recipes.py looks at its first."""
    settings = dataclasses.replace(DEFAULTS, dtype="float64")
    first, last = reports_of(settings, training_samples.X, training_samples.y, (1, 101))
    assert first["iteration"] == 1
    assert first["loss"] == pytest.approx(7.36675463, rel=1e-6)
    assert first["accuracy"] == pytest.approx(0.365857, abs=1e-6)
    assert last["loss"] == pytest.approx(0.25930671, rel=1e-6)


def test_the_data_have_the_sizes_of_kaggle(training_samples):
    assert training_samples.X.shape == (42_000, 784)
    assert training_samples.X.dtype == np.uint8


def test_first_values_come_in_the_order_of_the_page():
    network = kaggle_rmsprop.build_network(dataclasses.replace(DEFAULTS, dtype="float64"), 784, 10, PIXEL_SCALE)
    random = np.random.RandomState(1127)
    hidden, output = network.layers
    np.testing.assert_array_equal(hidden.weights, 0.1 * random.randn(784, 256))
    np.testing.assert_array_equal(output.weights, 0.1 * random.randn(256, 10))
    np.testing.assert_array_equal(hidden.bias, random.randn(256))
    assert (hidden.activation, output.activation) == ("relu", "identity")
    assert output.bias is None


def test_first_values_of_more_layers_are_all_weights_then_all_biases():
    settings = dataclasses.replace(DEFAULTS, hidden=(5, 4), seed=3, dtype="float64", backend="numpy")
    first, second, output = kaggle_rmsprop.build_network(settings, 6, 2, 1.0).layers
    random = np.random.RandomState(3)
    for layer, shape in ((first, (6, 5)), (second, (5, 4)), (output, (4, 2))):
        np.testing.assert_array_equal(layer.weights, 0.1 * random.randn(*shape), strict=True)
    np.testing.assert_array_equal(first.bias, random.randn(5), strict=True)
    np.testing.assert_array_equal(second.bias, random.randn(4), strict=True)


def test_without_hidden_layers_there_is_one_matrix():
    settings = dataclasses.replace(DEFAULTS, hidden=(), backend="numpy")
    assert list(kaggle_rmsprop.build_network(settings, 6, 2, 1.0).parameters) == ["0.weights"]


def tiny_report(optimizer):
    X = np.random.default_rng(5).integers(0, 256, (20, 6), dtype=np.uint8)
    settings = dataclasses.replace(DEFAULTS, hidden=(4,), backend="numpy", dtype="float64", optimizer=optimizer)
    return reports_of(settings, X, np.arange(20) % 10, (1,))[0]


def test_step_figures_follow_the_published_rule():
    report = tiny_report("rmsprop-tensor")
    assert list(report["steps"]) == ["0.weights", "0.bias", "1.weights"]
    for step in report["steps"].values():
        assert step["gradient_norm"] > 0
        assert step["g"] == pytest.approx(0.99 + 0.01 * step["gradient_norm"] ** 2)
        assert step["effective_step"] == pytest.approx(0.5 / np.sqrt(step["g"] + 1e-3))


def test_other_optimizers_have_no_step_figures():
    assert list(tiny_report("adam")) == ["iteration", "loss", "accuracy", "seconds"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_a_learning_rate_of_its_own_and_takes_another(name):
    assert OPTIMIZERS[name]().learning_rate > 0
    assert OPTIMIZERS[name](learning_rate=0.25).learning_rate == 0.25


def test_the_optimizer_of_the_page():
    optimizer = OPTIMIZERS["rmsprop-tensor"]()
    assert (optimizer.learning_rate, optimizer.rho, optimizer.epsilon) == (0.5, 0.99, 1e-3)
    assert (optimizer.granularity, optimizer.initial, optimizer.reset_every) == ("tensor", 1.0, 500)
    assert optimizer.learning_rate == DEFAULTS.learning_rate


@pytest.mark.parametrize(
    ("name", "momentum", "nesterov"), [("sgd", 0, False), ("momentum", 0.9, False), ("nesterov", 0.9, True)]
)
def test_gradient_descents(name, momentum, nesterov):
    optimizer = OPTIMIZERS[name]()
    assert (optimizer.momentum, optimizer.nesterov) == (momentum, nesterov)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_found_by_the_name_in_their_defaults(name):
    assert get_recipe(name).defaults.recipe == name


def test_unknown_recipe():
    with pytest.raises(
        ValueError, match=r"unknown recipe 'spirals': did you mean 'spiral'\? recipe must be one of kagg"
    ):
        get_recipe("spirals")
