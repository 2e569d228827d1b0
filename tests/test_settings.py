import dataclasses
import re

import pytest

from fastfnn.app.config_file import read_config, write_config
from fastfnn.optimizers import SGD, Adam
from fastfnn.recipes import kaggle_rmsprop
from fastfnn.recipes.settings import Settings, make_optimizer, parse_hidden, settle

DEFAULTS = Settings(
    recipe="some", iterations=7, hidden=(5,), optimizer="own", learning_rate=0.5, l2=1e-6, seed=1, report_every=3
)
OPTIMIZERS = {"own": lambda learning_rate=0.5: SGD(learning_rate), "sgd": SGD, "adam": Adam}


def rerun(path):
    return settle(DEFAULTS, OPTIMIZERS, read_config(path))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden": (300, 20, 1), "batch_size": 16, "threads": 2, "backend": "numpy", "dtype": "float64"},
        {"hidden": (), "learning_rate": 1.25e-17, "l2": 0.0, "seed": 2**32 - 1, "iterations": 10**12},
        {"optimizer": "adam", "learning_rate": 0.1},
        {"data": 'odd "name" \\ with\ttabs, é, 数, \x7f and 🙂.csv', "test_data": "a'b"},
    ],
)
def test_config_comes_back_as_it_was(tmp_path, changes):
    settings = dataclasses.replace(DEFAULTS, **changes)
    write_config(tmp_path / "config.toml", settings)
    assert rerun(tmp_path / "config.toml") == settings
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_config_says_what_it_is_for(tmp_path):
    write_config(tmp_path / "config.toml", DEFAULTS)
    heading, *lines = (tmp_path / "config.toml").read_text().splitlines()
    assert "fastfnn train --config" in heading
    assert 'recipe = "some"' in lines
    assert "hidden = [5]" in lines
    assert not any("data" in line for line in lines)


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
        {"seed": -1},
        {"seed": 2**32},
        {"dtype": "float16"},
        {"backend": 3},
        {"data": 3},
        {"optimizer": "lbfgs"},
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", "is no TOML file: "),
        (b"\xff\xfe", "is no TOML file: "),
        (b"sede = 3", "'sede' is no setting; the settings are recipe, iterations"),
    ],
)
def test_config_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))


def test_config_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_config(tmp_path / "config.toml")


def test_config_with_wrong_type(tmp_path):
    (tmp_path / "config.toml").write_text("hidden = [8, 'wide']\n")
    with pytest.raises(ValueError, match="hidden must be widths"):
        rerun(tmp_path / "config.toml")


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


def test_optimizer_options_survive_the_config(tmp_path):
    settings = settle(kaggle_rmsprop.DEFAULTS, kaggle_rmsprop.OPTIMIZERS, {"optimizer_options": ("rho=0.95",)})
    write_config(tmp_path / "config.toml", settings)
    assert (
        settle(kaggle_rmsprop.DEFAULTS, kaggle_rmsprop.OPTIMIZERS, read_config(tmp_path / "config.toml")) == settings
    )
