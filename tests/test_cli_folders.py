"""What the command line may write where: runs that are replaced, inputs that are not, and folders left behind."""

import os
import shutil
import signal

import numpy as np
import pytest
from command_line import TINY, fail, invoke, make_samples, read_history, succeed, write_csv

from fastfnn import RMSprop
from fastfnn.app.config_file import read_config
from fastfnn.app.run_folder import PICTURES


@pytest.fixture
def train_csv(tmp_path):
    return write_csv(tmp_path / "train.csv")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_is_replaced_only_when_told(train_csv, tmp_path):
    out = tmp_path / "run"
    unlabelled = write_csv(tmp_path / "test.csv", labels=False)
    first = ("train", "--data", train_csv, *TINY, "--out", out)
    succeed(*first, "--test-data", unlabelled, "--checkpoint-every", 1)
    before = contents(out)
    found = "model.safetensors, checkpoint.safetensors, history.jsonl, config.toml, submission.csv"
    message = fail(*first, "--seed", 3)
    assert f"the folder {out} holds a run ({found}): replace it with --overwrite, or choose another --out" in message
    assert contents(out) == before
    succeed(*first, "--seed", 3, "--overwrite")
    after = contents(out)
    assert sorted(after) == ["config.toml", "curves.png", "history.jsonl", "model.safetensors", "samples.png"]
    assert after["model.safetensors"] != before["model.safetensors"]


def terminate_after_a_step(self, *args, step=RMSprop.step):
    step(self, *args)
    signal.raise_signal(signal.SIGTERM)


def press_in_a_step(self, *args):
    raise KeyboardInterrupt


@pytest.mark.parametrize("more", [(), ("--checkpoint-every", 1)])
@pytest.mark.parametrize(
    ("step", "rate", "code"),
    [(terminate_after_a_step, 0.2, 143), (press_in_a_step, 0.2, 130), (RMSprop.step, 1e38, 1)],
)
def test_a_run_that_is_replaced_is_gone_even_if_the_new_one_ends_early(
    train_csv, tmp_path, monkeypatch, more, step, rate, code
):
    out = tmp_path / "run"
    first = ("train", "--data", train_csv, *TINY, "--out", out)
    succeed(*first, "--checkpoint-every", 1, "--test-data", write_csv(tmp_path / "test.csv", labels=False))
    before = contents(out)
    monkeypatch.setattr(RMSprop, "step", step)
    result = invoke(*first, "--learning-rate", rate, "--overwrite", *more)
    assert result.exit_code == code, result.output
    after = contents(out)
    assert read_config(out / "config.toml")["learning_rate"] == rate
    assert {name for name in after if after[name] == before.get(name)} <= {"samples.png"}
    assert not {"model.safetensors", "submission.csv", "curves.png"} & after.keys()


def test_settings_taken_from_the_folder_that_is_replaced_are_not_lost(train_csv, tmp_path, monkeypatch):
    out = tmp_path / "run"
    succeed("train", "--data", train_csv, *TINY, "--out", out)
    before = contents(out)["config.toml"]
    monkeypatch.setattr(RMSprop, "step", press_in_a_step)
    assert invoke("train", "--config", out / "config.toml", "--out", out, "--overwrite").exit_code == 130
    assert contents(out)["config.toml"] == before


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
@pytest.mark.parametrize("name", ["model.safetensors", "history.jsonl", "curves.png"])
def test_a_folder_in_place_of_a_file_is_found_before_the_data_are_read(tmp_path, name, more):
    (tmp_path / "run" / name).mkdir(parents=True)
    message = fail("train", "--data", tmp_path / "none.csv", *TINY, "--out", tmp_path / "run", *more)
    assert "it is a folder" in message or "holds a run" in message
    assert "Errno" not in message


def test_the_default_folder_is_no_exception(train_csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeed("train", "--data", train_csv, *TINY)
    assert "the folder runs/kaggle-rmsprop holds a run" in fail("train", "--data", train_csv, *TINY).replace(
        "\\", "/"
    )
    succeed("train", "--data", train_csv, *TINY, "--recipe", "sigmoid-sgd")
    succeed("train", "--data", train_csv, *TINY, "--overwrite")


def test_a_mistake_changes_nothing_with_overwrite_either(train_csv, tmp_path):
    train = ("train", "--data", train_csv, *TINY, "--out", tmp_path / "run", "--overwrite")
    succeed(*train, "--checkpoint-every", 1)
    before = contents(tmp_path / "run")
    too_large_a_batch = ("--batch-size", 100, "--drop-last")
    for mistake in (too_large_a_batch, ("--hidden", "9" * 13), ("--label", "x"), ("--test-data", "none.csv")):
        fail(*train, *mistake)
        assert contents(tmp_path / "run") == before


def test_pictures_of_a_training_that_failed_are_no_run(train_csv, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name in PICTURES:
        (out / name).write_text("old")
    succeed("train", "--data", train_csv, *TINY, "--out", out)
    assert sorted(contents(out)) == [
        "config.toml", "curves.png", "history.jsonl", "model.safetensors", "samples.png",
    ]  # fmt: skip


def test_a_grid_is_drawn_into_a_folder_that_is_replaced(train_csv, tmp_path):
    recipe = ("--recipe", "digits", "--backend", "numpy", "--iterations", 1, "--hidden", "4")
    for more in ((), ("--overwrite",)):
        succeed("train", "--data", train_csv, *recipe, "--out", tmp_path / "run", *more)
        assert (tmp_path / "run" / "grid.png").exists()
    succeed("train", "--data", train_csv, *recipe, "--l2", 0, "--out", tmp_path / "run", "--overwrite")
    assert not (tmp_path / "run" / "grid.png").exists()


def test_a_resumed_training_goes_on_in_its_folder(train_csv, tmp_path):
    succeed("train", "--data", train_csv, *TINY, "--checkpoint-every", 2, "--out", tmp_path / "run")
    assert "leave out --overwrite" in fail("train", "--resume", tmp_path / "run", "--overwrite")
    before = read_history(tmp_path / "run")
    succeed("train", "--resume", tmp_path / "run")
    assert read_history(tmp_path / "run") == before
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


FAILURES = [
    ("--recipe", "no-such"),
    ("--recipe", ""),
    ("--backend", "torch"),
    ("--optimizer", "lbfgs"),
    ("--optimizer-option", "momentum=[[["),
    ("--hidden", "9" * 13),
    ("--iterations", "9" * 30),
    ("--threads", "9" * 9),
    ("--data", "no-such.csv"),
    ("--data", "bad.csv"),
    ("--data", "bad.npz"),
    ("--data", "."),
    ("--data", "\udcff.csv"),
    ("--test-data", "no-such.npz"),
    ("--test-data", "bad.csv"),
    ("--label", "class"),
    ("--drop", "class"),
    ("--config", "bad.csv"),
    ("--config", "no-such.toml"),
    ("--resume", "."),
    ("--batch-size", 10**6),
]


@pytest.mark.parametrize("out", [(), ("--out", "new/deep/run")])
@pytest.mark.parametrize(("option", "value"), FAILURES)
def test_a_command_that_fails_leaves_nothing_behind(train_csv, tmp_path, monkeypatch, option, value, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("label,a\n1,x\n")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    arguments = {"--data": train_csv, **dict(zip(TINY[::2], TINY[1::2], strict=True)), option: value}
    fail("train", *[part for pair in arguments.items() for part in pair], "--drop-last", *out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "bad.npz", "train.csv"]


def test_an_interruption_before_the_first_file_leaves_nothing_behind(train_csv, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastfnn.app.experiment.load_task", interrupted)
    assert invoke("train", "--data", train_csv, *TINY).exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


def test_an_empty_folder_of_the_user_stays(tmp_path):
    (tmp_path / "run").mkdir()
    fail("train", "--data", tmp_path / "none.csv", *TINY, "--out", tmp_path / "run")
    assert (tmp_path / "run").is_dir()


def links(path, folder):
    """Return other names of a file: through `..`, a symbolic link, a linked folder, a hard link."""
    (folder / "link.csv").symlink_to(path)
    (folder / "linked").symlink_to(path.parent, target_is_directory=True)
    os.link(path, folder / "hard.csv")
    names = ("link.csv", f"linked/{path.name}", "hard.csv")
    return [path, path.parent / ".." / path.parent.name / path.name, *(folder / name for name in names)]


@pytest.mark.parametrize("kind", ["data", "model"])
def test_predictions_never_replace_an_input(train_csv, tmp_path, kind):
    succeed("train", "--data", train_csv, *TINY, "--out", tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    source = {"data": train_csv, "model": model}[kind]
    before = source.read_bytes()
    (tmp_path / "links").mkdir()
    for out in links(source, tmp_path / "links"):
        message = fail("predict", "--model", model, "--data", train_csv, "--out", out, "--backend", "numpy")
        assert f"{out} is the same file as the input {source}: choose another --out" in message
        assert source.read_bytes() == before


def write_idx(path, array):
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


def test_predictions_never_replace_files_of_a_pair(train_csv, tmp_path):
    succeed("train", "--data", train_csv, *TINY, "--out", tmp_path / "run")
    X, y = make_samples()
    (tmp_path / "pair").mkdir()
    images, labels = tmp_path / "pair" / "images", tmp_path / "pair" / "labels"
    write_idx(images, X)
    write_idx(labels, y.astype(np.uint8))
    before = contents(tmp_path / "pair")
    predict = ("predict", "--model", tmp_path / "run" / "model.safetensors", "--backend", "numpy")
    for data in (images, tmp_path / "pair"):
        for out in (images, labels):
            assert "is the same file as the input" in fail(*predict, "--data", data, "--out", out)
    assert contents(tmp_path / "pair") == before
    for _ in range(2):
        succeed(*predict, "--data", tmp_path / "pair", "--out", tmp_path / "pair" / "out.csv")


@pytest.mark.parametrize("option", ["--data", "--test-data"])
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("by", [shutil.copyfile, os.symlink, os.link])
def test_a_training_never_replaces_its_data(train_csv, tmp_path, option, overwrite, by):
    out = tmp_path / "run"
    out.mkdir()
    if by is shutil.copyfile:
        by(train_csv, out / "submission.csv")
        source = out / "submission.csv"
    else:
        by(train_csv, out / "model.safetensors")
        source = train_csv
    before = source.read_bytes()
    data = {"--data": train_csv, option: source}
    message = fail("train", *[part for pair in data.items() for part in pair], *TINY, "--out", out, *overwrite)
    assert f"is the same file as the input {source}: choose another --out" in message
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["/dev/null", "/dev/full"])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such devices")
def test_predictions_never_replace_a_device(train_csv, tmp_path, name):
    message = fail("predict", "--model", tmp_path / "none", "--data", train_csv, "--out", name)
    assert (
        f"error: cannot write the file {name} (it is a device, a pipe or a socket): choose another --out" in message
    )
