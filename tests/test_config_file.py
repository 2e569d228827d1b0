"""The `config.toml` of a run: it brings back the settings."""

import dataclasses

import pytest

from fastfnn.app.config_file import read_config, write_config
from fastfnn.optimizers import SGD, Adam
from fastfnn.recipes import kaggle_rmsprop
from fastfnn.recipes.settings import Settings, settle

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


def test_optimizer_options_survive_the_config(tmp_path):
    settings = settle(kaggle_rmsprop.DEFAULTS, kaggle_rmsprop.OPTIMIZERS, {"optimizer_options": ("rho=0.95",)})
    write_config(tmp_path / "config.toml", settings)
    assert (
        settle(kaggle_rmsprop.DEFAULTS, kaggle_rmsprop.OPTIMIZERS, read_config(tmp_path / "config.toml")) == settings
    )
