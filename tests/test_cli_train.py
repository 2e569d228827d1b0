import dataclasses
import sys

import numpy as np
import pytest
from command_line import N_COLUMNS, TINY, make_samples, read_history, succeed, write_csv
from matplotlib.image import imread

from fastfnn import Network
from fastfnn.app.config_file import read_config
from fastfnn.datasets import Dataset
from fastfnn.recipes import RECIPES

FILES = ["config.toml", "curves.png", "history.jsonl", "model.safetensors", "samples.png"]


@pytest.fixture
def train_csv(tmp_path):
    return write_csv(tmp_path / "train.csv")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs" / "one"


def as_option(name, value):
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", value]


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def without_seconds(reports):
    return [{name: value for name, value in report.items() if name != "seconds"} for report in reports]


def test_train_writes_its_files(train_csv, out):
    printed = succeed("train", "--data", train_csv, *TINY, "--out", out)
    assert files_in(out) == FILES
    assert "60 samples to train, 0 to test" in printed
    assert "network 16-8-3, numpy, float32" in printed
    assert "iteration 1 of 5: loss " in printed
    assert "iteration 5 of 5: loss " in printed
    assert "gradient norm" in printed
    assert f"the files are in {out}" in printed


def test_history_has_the_reports(train_csv, out):
    succeed("train", "--data", train_csv, *TINY, "--report-every", 2, "--out", out)
    reports = read_history(out)
    assert [report["iteration"] for report in reports] == [1, 3, 5]
    for report in reports:
        assert list(report) == ["iteration", "loss", "accuracy", "seconds", "steps"]
        assert list(report["steps"]) == ["0.weights", "0.bias", "1.weights"]
        assert set(report["steps"]["0.bias"]) == {"g", "effective_step", "gradient_norm"}
    assert reports[-1]["loss"] < reports[0]["loss"]


def test_the_model_is_the_one_of_the_last_report(train_csv, out):
    succeed("train", "--data", train_csv, *TINY, "--out", out)
    network = Network.load(out / "model.safetensors", backend="numpy")
    X, y = make_samples()
    loss, accuracy = network.evaluate(X, y)
    last = read_history(out)[-1]
    assert loss == pytest.approx(last["loss"], rel=1e-6)
    assert accuracy == last["accuracy"]
    assert network.input_scale == 1 / 255


@pytest.mark.parametrize("more", [(), ("--batch-size", 7, "--optimizer", "adam", "--dtype", "float64", "--seed", 3)])
def test_config_runs_it_again(train_csv, out, tmp_path, more):
    succeed("train", "--data", train_csv, "--test-data", train_csv, *TINY, *more, "--out", out)
    again = tmp_path / "again"
    succeed("train", "--config", out / "config.toml", "--out", again)
    assert without_seconds(read_history(again)) == without_seconds(read_history(out))
    for name in ("config.toml", "confusion.png"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    one, other = (Network.load(folder / "model.safetensors", backend="numpy") for folder in (out, again))
    for name, parameter in one.parameters.items():
        np.testing.assert_array_equal(parameter, other.parameters[name], strict=True)


def test_options_override_the_config(train_csv, out, tmp_path):
    succeed("train", "--data", train_csv, *TINY, "--out", out)
    succeed("train", "--config", out / "config.toml", "--iterations", 2, "--hidden", "4,3", "--out", tmp_path / "b")
    before, after = read_config(out / "config.toml"), read_config(tmp_path / "b" / "config.toml")
    assert after == before | {"iterations": 2, "hidden": (4, 3)}


def test_config_holds_every_option(train_csv, out):
    options = {
        "backend": "numpy",
        "dtype": "float64",
        "input_format": "sparse",
        "iterations": 2,
        "batch_size": 11,
        "hidden": (5, 4),
        "optimizer": "nesterov",
        "optimizer_options": ("momentum=0.8",),
        "learning_rate": 0.02,
        "l2": 0.001,
        "l2_bias": 0.002,
        "l2_per_sample": True,
        "shuffle": False,
        "drop_last": True,
        "input_scale": 0.5,
        "seed": 9,
        "threads": 1,
        "report_every": 2,
        "recipe": "kaggle-rmsprop",
        "label": "label",
        "drop": ("pixel3",),
        "header": True,
    }
    texts = options | {"hidden": "5,4", "optimizer_option": "momentum=0.8", "drop": "pixel3"}
    texts.pop("optimizer_options")
    arguments = [part for name, text in texts.items() for part in as_option(name.replace("_", "-"), text)]
    succeed("train", "--data", train_csv, "--test-data", train_csv, *arguments, "--out", out)
    assert read_config(out / "config.toml") == options | {"data": str(train_csv), "test_data": str(train_csv)}


def test_paths_in_the_config_hold_from_anywhere(train_csv, out, monkeypatch):
    monkeypatch.chdir(train_csv.parent)
    succeed("train", "--data", "train.csv", *TINY, "--out", out)
    assert read_config(out / "config.toml")["data"] == str(train_csv)


def test_another_optimizer_takes_its_own_learning_rate(train_csv, out):
    arguments = ("--backend", "numpy", "--hidden", 8, "--iterations", 1, "--optimizer", "adam")
    printed = succeed("train", "--data", train_csv, *arguments, "--out", out)
    assert read_config(out / "config.toml")["learning_rate"] == 1e-3
    assert "gradient norm" not in printed


def test_default_folder_is_named_after_the_recipe(train_csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeed("train", "--data", train_csv, *TINY)
    assert files_in(tmp_path / "runs" / "kaggle-rmsprop") == FILES


def test_without_data_the_recipe_brings_its_own(out, monkeypatch):
    own = Dataset(*make_samples()), Dataset(*make_samples(30, seed=1))
    recipe = dataclasses.replace(RECIPES["kaggle-rmsprop"], load_data=lambda settings: own)
    monkeypatch.setitem(RECIPES, "kaggle-rmsprop", recipe)
    assert "60 samples to train, 30 to test" in succeed("train", *TINY, "--out", out)
    assert "data" not in read_config(out / "config.toml")


def test_test_data_with_labels_are_evaluated(train_csv, out, tmp_path):
    test_csv = write_csv(tmp_path / "test.csv", n_rows=30, seed=1)
    printed = succeed("train", "--data", train_csv, "--test-data", test_csv, *TINY, "--out", out)
    network = Network.load(out / "model.safetensors", backend="numpy")
    _, accuracy = network.evaluate(*make_samples(30, seed=1))
    assert f"accuracy {accuracy:.4%}" in printed.split("test loss")[1]
    assert files_in(out) == sorted([*FILES, "confusion.png"])


def test_test_data_without_labels_are_predicted(train_csv, out, tmp_path):
    test_csv = write_csv(tmp_path / "test.csv", n_rows=30, seed=1, labels=False)
    printed = succeed("train", "--data", train_csv, "--test-data", test_csv, *TINY, "--out", out)
    predicted = Network.load(out / "model.safetensors", backend="numpy").predict(make_samples(30, seed=1)[0])
    header, *lines = (out / "submission.csv").read_text().splitlines()
    assert header == "ImageId,Label"
    assert lines == [f"{number},{label}" for number, label in enumerate(predicted, start=1)]
    assert "submission.csv" in printed
    assert files_in(out) == sorted([*FILES, "submission.csv"])


def test_a_class_that_only_the_test_data_have(train_csv, out, tmp_path):
    X, y = make_samples()
    np.savez(tmp_path / "test.npz", X=X, y=y + 1)
    printed = succeed("train", "--data", train_csv, "--test-data", tmp_path / "test.npz", *TINY, "--out", out)
    assert "network 16-8-4" in printed


def test_floats_are_taken_as_they_are(out, tmp_path):
    X, y = make_samples()
    np.savez(tmp_path / "train.npz", X=(X / 255).astype(np.float32), y=y)
    succeed("train", "--data", tmp_path / "train.npz", *TINY, "--out", out)
    assert Network.load(out / "model.safetensors", backend="numpy").input_scale == 1.0
    assert files_in(out) == FILES


def test_kernels_are_made_ready_before_the_clock_starts(train_csv, out):
    printed = succeed("train", "--data", train_csv, *TINY, "--backend", "numba", "--threads", 1, "--out", out)
    lines = printed.splitlines()
    ready = next(number for number, line in enumerate(lines) if line.startswith("kernels: "))
    assert lines[ready + 1] == "dense inputs (99% non-zero), 1 row block, all layers in one call"
    assert lines[ready + 2].startswith("iteration 1 of 5")


def test_both_backends_give_the_same_history(train_csv, out, tmp_path):
    for backend, folder in (("numpy", out), ("numba", tmp_path / "numba")):
        arguments = (*TINY, "--dtype", "float64", "--backend", backend)
        succeed("train", "--data", train_csv, *arguments, "--out", folder)
    for one, other in zip(read_history(out), read_history(tmp_path / "numba"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-12)
        assert one["steps"]["0.weights"] == pytest.approx(other["steps"]["0.weights"], rel=1e-12)


def test_pictures_can_be_opened_and_show_something(train_csv, out):
    succeed("train", "--data", train_csv, "--test-data", train_csv, *TINY, "--out", out)
    for name in ("samples.png", "curves.png", "confusion.png"):
        pixels = imread(out / name)
        assert min(pixels.shape[:2]) > 200
        assert pixels[..., :3].std() > 0.05


def test_without_matplotlib_a_line_says_what_brings_pictures(train_csv, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    printed = succeed("train", "--data", train_csv, "--test-data", train_csv, *TINY, "--out", out)
    assert [line for line in printed.splitlines() if 'pip install "fastfnn[plot]"' in line]
    assert files_in(out) == ["config.toml", "history.jsonl", "model.safetensors"]


def test_a_column_count_of_its_own(out, tmp_path):
    wide = write_csv(tmp_path / "wide.csv", n_columns=N_COLUMNS + 3)
    assert "network 19-8-3" in succeed("train", "--data", wide, *TINY, "--out", out)
