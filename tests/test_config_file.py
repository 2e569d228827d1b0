"""The `config.toml` of a run: it brings back the settings."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import numpy as np
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
        {"label": "größe", "drop": ("a,b", '"'), "header": False},
        {"data": 'odd "name" \\ with\ttabs, é, 数, \x7f and 🙂.csv', "test_data": "a'b"},
    ],
)
def test_config_comes_back_as_it_was(tmp_path, changes):
    settings = dataclasses.replace(DEFAULTS, **changes)
    write_config(tmp_path / "config.toml", settings)
    assert rerun(tmp_path / "config.toml") == settings
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


NUMPY_SETTINGS = {
    "iterations": (np.int64(3), 3),
    "hidden": ((np.int32(8), np.uint8(200)), (8, 200)),
    "learning_rate": (np.float32(0.1), float(np.float32(0.1))),
    "l2": (Decimal("0.25"), 0.25),
    "l2_bias": (Fraction(1, 8), 0.125),
    "l2_per_sample": (np.True_, True),
    "seed": (np.uint32(2**32 - 1), 2**32 - 1),
    "report_every": (np.int8(5), 5),
    "batch_size": (np.uint8(50), 50),
    "shuffle": (np.False_, False),
    "drop_last": (np.True_, True),
    "input_scale": (np.float64(0.5), 0.5),
    "threads": (np.int16(2), 2),
    "checkpoint_every": (np.uint64(7), 7),
}


def test_config_of_numpy_numbers_comes_back(tmp_path):
    settings = dataclasses.replace(DEFAULTS, **{name: given for name, (given, _) in NUMPY_SETTINGS.items()})
    expected = {name: value for name, (_, value) in NUMPY_SETTINGS.items()}
    assert settings == dataclasses.replace(DEFAULTS, **expected)
    for name, value in expected.items():
        assert (getattr(settings, name), type(getattr(settings, name))) == (value, type(value))
    assert [type(width) for width in settings.hidden] == [int, int]
    write_config(tmp_path / "config.toml", settings)
    assert read_config(tmp_path / "config.toml").items() >= expected.items()
    assert rerun(tmp_path / "config.toml") == settings


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
        (b"seed = " + b"9" * 5000, "is no TOML file: "),
        (b"seed = 0x" + b"f" * 5000, "seed has more than 64 bits"),
        (b"hidden = [3, 0x" + b"f" * 5000 + b"]", "hidden has more than 64 bits"),
        (b"seed.a = [{b = 0x" + b"f" * 5000 + b"}]", "seed has more than 64 bits"),
        (b"iterations = 9223372036854775808", "iterations has more than 64 bits"),
        (b"seed = " + b"[" * 100_000, "is no TOML file: "),
        (b"seed = 1\nseed = 2", "is no TOML file: "),
        (b"data = '\xff'", "is no TOML file: "),
        (b'data = "\\udcff"', "is no TOML file: "),
        (b"x" * 5000 + b" = 1", r"xxx \.\.\. xxx.* is no setting"),
    ],
)
def test_config_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000


VALUES = [
    "true",
    "0",
    "-1",
    "3.5",
    "nan",
    "-inf",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "'text'",
    "''",
    "[]",
    "[[1]]",
    "[{}]",
    "['a', 3]",
    "[nan]",
    "{}",
    "{a = {b = [1]}}",
    "9223372036854775807",
]


def message_of(path):
    try:
        rerun(path)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_a_setting_of_any_type_is_one_that_fits_or_is_named(tmp_path, name):
    """The same options on the command line end in the same errors, which it prints in one line."""
    messages = []
    for value in VALUES:
        (tmp_path / "config.toml").write_text(f"{name} = {value}\n")
        messages.append(message_of(tmp_path / "config.toml"))
    refused = [message for message in messages if message]
    assert all(name in message for message in refused)
    assert len(refused) >= len(VALUES) - 8


def test_names_that_are_not_unicode_are_refused_at_once():
    for name in ("data", "test_data", "label"):
        with pytest.raises(
            ValueError, match=rf"{name} must be valid Unicode, because config.toml holds it; got 'a\\udcff'"
        ):
            dataclasses.replace(DEFAULTS, **{name: "a\udcff"})
    with pytest.raises(ValueError, match="each of drop must be valid Unicode"):
        dataclasses.replace(DEFAULTS, drop=("a", "\ud800"))


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
