import re

import pytest

from fastfnn.optimizers import SGD, Adam
from fastfnn.recipes import kaggle_rmsprop
from fastfnn.recipes.settings import Settings, make_optimizer, parse_hidden, settle

DEFAULTS = Settings(
    recipe="some", iterations=7, hidden=(5,), optimizer="own", learning_rate=0.5, l2=1e-6, seed=1, report_every=3
)
OPTIMIZERS = {"own": lambda learning_rate=0.5: SGD(learning_rate), "sgd": SGD, "adam": Adam}


def test_later_changes_override_earlier_ones():
    settings = settle(DEFAULTS, OPTIMIZERS, {"seed": 5, "l2": 0.1}, {"seed": 6})
    assert (settings.seed, settings.l2, settings.iterations) == (6, 0.1, 7)


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ([{}], 0.5),
        ([{"optimizer": "own"}], 0.5),
        ([{"optimizer": "adam"}], 1e-3),
        ([{"optimizer": "adam", "learning_rate": 0.2}], 0.2),
        ([{"optimizer": "adam"}, {"learning_rate": 0.2}], 0.2),
        ([{"learning_rate": 0.2}, {"optimizer": "sgd"}], 0.01),
        ([{"optimizer": "adam", "learning_rate": 0.2}, {"optimizer": "adam"}], 0.2),
        ([{"optimizer": "adam"}, {"optimizer": "own"}], 0.5),
    ],
)
def test_another_optimizer_brings_its_learning_rate(changes, rate):
    assert settle(DEFAULTS, OPTIMIZERS, *changes).learning_rate == rate


@pytest.mark.parametrize(
    "changes",
    [
        {"iterations": 0},
        {"iterations": 2.5},
        {"iterations": True},
        {"iterations": "many"},
        {"report_every": 0},
        {"batch_size": 0},
        {"threads": -1},
        {"hidden": (8, 0)},
        {"hidden": (8, 2.0)},
        {"hidden": 8},
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"l2": -1e-9},
        {"l2": True},
        {"l2_per_sample": 1},
        {"shuffle": "no"},
        {"drop_last": 1},
        {"input_scale": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"dtype": "float16"},
        {"backend": 3},
        {"data": 3},
        {"optimizer": "lbfgs"},
        {"optimizer": ["sgd"]},
        {"optimizer": {}},
        {"recipe": 3},
        {"recipe": None},
        {"label": None},
        {"drop": "a"},
        {"header": 1},
        {"iterations": 2**63},
        {"batch_size": 10**30},
    ],
)
def test_values_that_do_not_fit_are_named(changes):
    (name, value), *_ = changes.items()
    with pytest.raises(ValueError, match=f"^{name} must be") as caught:
        settle(DEFAULTS, OPTIMIZERS, changes)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(("text", "widths"), [("256", (256,)), ("256,128", (256, 128)), (" 3 , 2 ", (3, 2))])
def test_hidden_widths(text, widths):
    assert parse_hidden(text) == widths


@pytest.mark.parametrize("text", ["", "256,", "0", "-3", "2.5", "wide", "3;4", "³"])
def test_hidden_widths_that_are_none(text):
    with pytest.raises(ValueError, match="hidden must be"):
        parse_hidden(text)


def test_optimizer_options_reach_the_optimizer():
    settings = settle(
        kaggle_rmsprop.DEFAULTS, kaggle_rmsprop.OPTIMIZERS, {"optimizer_options": ("rho=0.95", "reset_every = 7")}
    )
    optimizer = make_optimizer(settings, kaggle_rmsprop.OPTIMIZERS)
    assert (optimizer.rho, optimizer.reset_every, optimizer.epsilon) == (0.95, 7, 1e-3)


def test_another_optimizer_drops_the_options_of_the_first():
    settings = settle(
        kaggle_rmsprop.DEFAULTS,
        kaggle_rmsprop.OPTIMIZERS,
        {"optimizer_options": ("rho=0.95",)},
        {"optimizer": "adam"},
    )
    assert settings.optimizer_options == ()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("beta1=0.5", "rmsprop-tensor has no option 'beta1'; its options are rho, epsilon"),
        ("rho", "must be NAME=VALUE, such as rho=0.95; got 'rho'"),
        ("rho=much", "must be NAME=VALUE"),
        ("rho=1.5", "rho must lie from 0 to below 1; got 1.5"),
    ],
)
def test_bad_optimizer_options_are_refused(option, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        settle(kaggle_rmsprop.DEFAULTS, kaggle_rmsprop.OPTIMIZERS, {"optimizer_options": (option,)})
