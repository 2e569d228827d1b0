"""The published trainings from the command line, as far as their pages go."""

import pytest
from command_line import fail, read_history, succeed, write_csv
from matplotlib.image import imread

from fastfnn import Network
from fastfnn.app.config_file import read_config
from fastfnn.recipes import RECIPES

COMMON = {"config.toml", "confusion.png", "curves.png", "history.jsonl", "model.safetensors"}


def train(name, out, *more):
    return succeed("train", "--recipe", name, *more, "--out", out)


def accuracy_in(printed):
    return float(printed.split("test loss")[1].split("accuracy ")[1].split("%")[0])


def files_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "n_epochs", "level"), [("layers-sgd", 25, 85), ("layers-adam", 15, 96)])
def test_layers(name, n_epochs, level, tmp_path):
    printed = train(name, tmp_path, "--iterations", n_epochs)
    assert "52,500 samples to train, 17,500 to test\nnetwork 784-100-200-10" in printed
    assert accuracy_in(printed) >= level
    reports = read_history(tmp_path)
    assert [report["iteration"] for report in reports] == list(range(1, n_epochs + 1))
    assert reports[-1]["validation_accuracy"] == pytest.approx(accuracy_in(printed) / 100, abs=1e-6)
    assert files_in(tmp_path) == COMMON | {"samples.png"}
    assert Network.load(tmp_path / "model.safetensors", "numpy").input_scale == 1


def test_sigmoid_sgd(tmp_path):
    train("sigmoid-sgd", tmp_path)
    losses = [report["loss"] for report in read_history(tmp_path)]
    assert len(losses) == 10
    assert losses == sorted(losses, reverse=True)
    published = [4.694, 2.559, 2.002, 1.715, 1.531, 1.400, 1.300, 1.220, 1.152, 1.095]
    # The page does not say how many hidden units it has, nor its random numbers.
    assert losses == pytest.approx(published, rel=0.5)


def test_spiral(tmp_path):
    printed = train("spiral", tmp_path)
    assert "600 samples to train, 300 to test\nnetwork 2-200-3" in printed
    assert accuracy_in(printed) >= 90
    reports = read_history(tmp_path)
    assert [report["iteration"] for report in reports] == list(range(1, 5002, 500))
    assert 0.6 < reports[-1]["loss"] < 0.8
    assert files_in(tmp_path) == COMMON | {"regions.png"}
    assert imread(tmp_path / "regions.png")[..., :3].std() > 0.1


def test_digits(tmp_path):
    printed = train("digits", tmp_path)
    assert "718 samples to train, 599 to test" in printed
    assert accuracy_in(printed) >= 95
    tried = [line for line in printed.splitlines() if line.startswith("hidden ")]
    grid = RECIPES["digits"].grid
    assert len(tried) == len(grid["hidden"]) * len(grid["l2"])
    assert printed.count("test loss") == 1
    chosen = next(line for line in printed.splitlines() if line.startswith("chosen: "))
    assert chosen.removeprefix("chosen: ") in tried
    assert files_in(tmp_path) == COMMON | {"samples.png", "grid.png"}
    config = read_config(tmp_path / "config.toml")
    assert f"hidden {','.join(map(str, config['hidden']))}, l2 {config['l2']}" in chosen


def test_what_is_given_is_not_chosen(tmp_path):
    quick = ("--backend", "numpy", "--iterations", 3)
    printed = train("digits", tmp_path / "one", *quick, "--hidden", "8,8", "--l2", 0.5)
    assert "choosing" not in printed
    printed = train("digits", tmp_path / "two", *quick, "--hidden", "8,8")
    assert "choosing l2 by the accuracy on 480 samples held out" in printed
    again = succeed("train", "--config", tmp_path / "two" / "config.toml", "--out", tmp_path / "again")
    assert "choosing" not in again
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "two" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "kaggle-rmsprop"])
def test_every_recipe_learns_other_data_too(name, tmp_path):
    data, test = write_csv(tmp_path / "train.csv"), write_csv(tmp_path / "test.csv", seed=1)
    options = ("--data", data, "--test-data", test, "--backend", "numpy", "--iterations", 2, "--batch-size", 7)
    printed = train(name, tmp_path / "run", *options, "--hidden", "5")
    assert "the files are in" in printed


def test_the_list_of_recipes():
    lines = succeed("recipes").splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(len(line.split()) > 4 for line in lines)


def test_an_unknown_recipe_names_the_nearest():
    assert "unknown recipe 'layer-adam': did you mean 'layers-adam'?" in fail("train", "--recipe", "layer-adam")
