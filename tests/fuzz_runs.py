"""Damaged settings and histories of runs, and runs of the command line on damaged files."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

from command_line import invoke, write_csv
from fuzz_damage import OF_BYTES, OF_TEXT, Rng, damaged, damaged_tree
from fuzz_format import Format
from networks import small_network

from fastfnn import plots
from fastfnn.app.config_file import read_config, write_config
from fastfnn.app.run_folder import read_history
from fastfnn.files.described import in_brief
from fastfnn.recipes import RECIPES, get_recipe, kaggle_rmsprop
from fastfnn.recipes.settings import settle

# A command takes as long as some ten other files.
TURNS_OF_COMMANDS = 20


def formats() -> list[Format]:
    """Return the formats of a run's folder."""
    text_damage = functools.partial(_damaged, OF_TEXT)
    return [
        Format("toml", _configs(), text_damage, "config.toml", _read_settings, _right_settings),
        Format("json lines", _histories(), text_damage, "history.jsonl", read_history, _right_lines),
        Format("json values", _histories(), _values_damaged, "history.jsonl", read_history, _right_lines),
        _predictions(),
        _resumed("checkpoint.safetensors", OF_BYTES),
        _resumed("history.jsonl", OF_TEXT),
    ]


def _damaged(damages: Any, rng: Rng, content: bytes, other: bytes) -> bytes:
    return damaged(rng, damages, content, other)


def _configs() -> tuple[bytes, ...]:
    changes: tuple[dict[str, Any], ...] = (
        {"data": "/data/Ä \u007f.csv", "drop": ("id", "name"), "batch_size": 32, "shuffle": False},
        {"optimizer": "adam", "learning_rate": 0.5, "optimizer_options": ("beta1=0.5",), "threads": 2},
        {},
    )
    recipes = [RECIPES["spiral"], kaggle_rmsprop.RECIPE, RECIPES["digits"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        contents = []
        for recipe, change in zip(recipes, changes, strict=True):
            write_config(path, settle(recipe.defaults, recipe.optimizers, change))
            contents.append(path.read_bytes())
    return tuple(contents)


def _read_settings(path: Path) -> Any:
    config = read_config(path)
    try:
        recipe = get_recipe(config.get("recipe", kaggle_rmsprop.DEFAULTS.recipe))
        return dataclasses.asdict(settle(recipe.defaults, recipe.optimizers, config))
    except ValueError as error:  # names the setting, which may as well come from the command line
        raise ValueError(f"{path}: {in_brief(str(error))}") from error


def _right_settings(content: bytes) -> Any:
    """Return the settings of a file, and those of its recipe and its optimizer that it leaves out."""
    config = tomllib.loads(io.TextIOWrapper(io.BytesIO(content), "utf-8").read())
    recipe = RECIPES[config.get("recipe", kaggle_rmsprop.DEFAULTS.recipe)]
    own = {}
    if config.get("optimizer", recipe.defaults.optimizer) != recipe.defaults.optimizer:
        own = {"learning_rate": recipe.optimizers[config["optimizer"]]().learning_rate, "optimizer_options": ()}
    return dataclasses.asdict(recipe.defaults) | own | config


def _histories() -> tuple[bytes, ...]:
    def report(i: int) -> dict[str, Any]:
        return {"iteration": i, "loss": 1 / (1 + i), "accuracy": 0.5 + i / 100, "seconds": 0.1 * i}

    reports = (
        [report(1), report(10) | {"text": "ü\u2028"}],
        [report(i) | {"validation_loss": 2.5} for i in range(5)],
    )
    return tuple("".join(json.dumps(each) + "\n" for each in lines).encode() for lines in reports)


def _values_damaged(rng: Rng, content: bytes, other: bytes) -> bytes:
    reports = [json.loads(line) for line in content.splitlines()]
    lines = damaged_tree(rng, reports)
    return "".join(json.dumps(each, ensure_ascii=bool(rng.integers(2))) + "\n" for each in lines).encode(
        errors="surrogatepass"
    )


def _right_lines(content: bytes) -> Any:
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8").read().removesuffix("\n").split("\n")
    return [json.loads(line) for line in lines if line or len(lines) > 1]


def _told(path: Path, *arguments: object) -> str:
    """Run the command line, and return what it prints; what it refuses is raised as an error."""
    result = invoke(*arguments)
    if result.exit_code == 2 and isinstance(result.exception, SystemExit):
        assert result.stderr.count("\n") == 1, result.stderr
        raise ValueError(result.stderr.removesuffix("\n"))
    assert result.exit_code == 0, (result.output, result.exception, result.exc_info)
    return result.stdout.replace(str(path.parent), "")


def _predictions() -> Format:
    """Return `fastfnn predict` with a damaged model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        small_network().save(path)
        model = path.read_bytes()
    data = {"data.csv": b"a,b,c,d\n1,2,3,4\n5,6,7,8\n"}

    def read(path: Path) -> Any:
        out = path.with_name("out.csv")
        options = ("--model", path, "--data", path.with_name("data.csv"), "--backend", "numpy", "--out", out)
        return _told(path, "predict", *options), out.read_bytes()

    damage = functools.partial(_damaged, OF_BYTES)
    return Format("predict", (model,), damage, "model.safetensors", read, None, data, TURNS_OF_COMMANDS)


def _resumed(name: str, damages: Any) -> Format:
    """Return `fastfnn train --resume` with one damaged file of the run."""
    with tempfile.TemporaryDirectory() as folder:
        _train(Path(folder))
        beside = {path.name: path.read_bytes() for path in Path(folder).iterdir()}

    def read(path: Path) -> Any:
        for other, content in beside.items():
            if other not in (path.name, "config.toml"):
                path.with_name(other).write_bytes(content)
        data = write_csv(path.with_name("data.csv"))
        config = beside["config.toml"].decode()
        start = config.index("data = ")
        config = config[:start] + f"data = {json.dumps(str(data))}" + config[config.index("\n", start) :]
        path.with_name("config.toml").write_text(config)
        return _without_seconds(_with_no_pictures(path, "train", "--resume", path.parent, "--iterations", "4"))

    damage = functools.partial(_damaged, damages)
    return Format(f"resume {name}", (beside[name],), damage, name, read, every=TURNS_OF_COMMANDS)


def _train(folder: Path) -> None:
    options = ("--backend", "numpy", "--hidden", "3", "--iterations", "3", "--report-every", "1")
    data = write_csv(folder / "data.csv", n_rows=9)
    told = _with_no_pictures(data, "train", "--data", data, "--out", folder, "--checkpoint-every", "1", *options)
    assert "the files are in" in told


def _with_no_pictures(path: Path, *arguments: object) -> str:
    with mock.patch.object(plots, "can_draw", return_value=False):
        return _told(path, *arguments)


def _without_seconds(told: str) -> list[str]:
    return [line for line in told.splitlines() if " s" not in line]
