import numpy as np
import pytest
from command_line import TINY, fail, invoke, succeed, write_csv
from safetensors.numpy import save_file

import fastfnn
from fastfnn.files.container import read_model, write_model


@pytest.fixture
def train_csv(tmp_path):
    return write_csv(tmp_path / "train.csv")


@pytest.fixture
def old_run(tmp_path):
    """A folder with results that must outlive every mistake."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model.safetensors", "history.jsonl", "config.toml", "samples.png", "curves.png"):
        (folder / name).write_text(f"old {name}")
    yield folder
    assert len(list(folder.iterdir())) == 5
    for path in folder.iterdir():
        assert path.read_text() == f"old {path.name}"


def replace_line(path, number, line):
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--recipe", "mnist", "unknown recipe 'mnist': recipe must be one of kaggle-rmsprop, layers-sgd"),
        ("--backend", "torch", "backend must be one of numba, numpy; got 'torch'"),
        ("--optimizer", "lbfgs", "optimizer must be one of rmsprop-tensor, sgd"),
        ("--dtype", "float16", "dtype must be one of float32, float64; got 'float16'"),
        ("--input-format", "packed", "input_format must be one of auto, dense, sparse; got 'packed'"),
        ("--hidden", "8,wide", "hidden must be whole numbers separated by commas, such as 256,128; got '8,wide'"),
        ("--hidden", "8,0", "hidden must be widths from 1 up"),
        ("--hidden", "", "hidden must be whole numbers"),
        ("--hidden", "9" * 13, "allocate"),
        ("--iterations", 0, "iterations must be a whole number from 1 up; got 0"),
        ("--batch-size", -5, "batch_size must be a whole number from 1 up; got -5"),
        ("--threads", 0, "threads must be a whole number from 1 up; got 0"),
        ("--learning-rate", -1, "learning_rate must be a finite number above 0; got -1"),
        ("--learning-rate", "nan", "learning_rate must be a finite number above 0; got nan"),
        ("--l2", -1, "l2 must be a finite number from 0 up; got -1"),
        ("--seed", -1, "seed must be a whole number from 0"),
        ("--report-every", 0, "report_every must be a whole number from 1 up; got 0"),
        ("--data", "no-such.csv", "no-such.csv: there is no such file"),
        ("--config", "no-such.toml", "no-such.toml: there is no such file"),
    ],
)
def test_wrong_options(train_csv, old_run, monkeypatch, option, value, message):
    monkeypatch.chdir(train_csv.parent)
    samples = (old_run / "samples.png").read_text()
    assert message in fail("train", "--data", train_csv, *TINY, option, value, "--out", old_run, "--overwrite")
    assert (old_run / "samples.png").read_text() == samples


def test_more_threads_than_there_are(train_csv, old_run):
    arguments = ("--data", train_csv, *TINY, "--backend", "numba", "--threads", 100_000)
    assert "ask for fewer" in fail("train", *arguments, "--out", old_run, "--overwrite")


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (
            1,
            ",".join(f"p{i}" for i in range(17)),
            "no labels to learn; a CSV file needs a column 'label', or --label",
        ),
        (7, "1,2,3", "line 7: found 3 fields, the header has 17"),
        (9, ",".join(["1", "x", *["0"] * 15]), "line 9: column 'pixel0': expected a number, got 'x'"),
        (9, ",".join(["1", "nan", *["0"] * 15]), "line 9: column 'pixel0': expected a finite number"),
        (11, ",".join(["-1", *["0"] * 16]), "line 11: column 'label': the label '-1' is negative"),
        (12, ",".join(["1.5", *["0"] * 16]), "line 12: column 'label': the label '1.5' is not an integer"),
    ],
)
def test_wrong_training_data(train_csv, old_run, number, line, message):
    replace_line(train_csv, number, line)
    error = fail("train", "--data", train_csv, *TINY, "--out", old_run, "--overwrite")
    assert message in error
    assert str(train_csv) in error


@pytest.mark.parametrize("content", ["", "label,a,b\n"])
def test_empty_training_data(train_csv, old_run, content):
    train_csv.write_text(content)
    assert str(train_csv) in fail("train", "--data", train_csv, *TINY, "--out", old_run, "--overwrite")


@pytest.mark.parametrize("labels", [True, False])
def test_test_data_with_other_columns(train_csv, old_run, tmp_path, labels):
    wide = write_csv(tmp_path / "wide.csv", n_columns=17, labels=labels)
    error = fail("train", "--data", train_csv, "--test-data", wide, *TINY, "--out", old_run, "--overwrite")
    assert "wide.csv: line 1: expected the columns of the training, 16 columns: pixel0, " in error
    assert "the file adds 1 column: pixel16; " in error


def test_test_data_of_another_width(train_csv, old_run, tmp_path):
    np.savez(tmp_path / "wide.npz", X=np.ones((60, 17), np.uint8))
    arguments = ("--data", train_csv, "--test-data", tmp_path / "wide.npz", *TINY)
    error = fail("train", *arguments, "--out", old_run, "--overwrite")
    assert "test X must have 16 columns, the network's inputs; got shape (60, 17)" in error


def test_out_below_a_file(train_csv):
    error = fail("train", "--data", train_csv, *TINY, "--out", train_csv / "run")
    assert f"cannot write into the folder {train_csv / 'run'} (Not a directory): choose another --out" in error


def test_out_is_looked_at_before_the_data(train_csv, tmp_path):
    error = fail("train", "--data", tmp_path / "no-such.csv", *TINY, "--out", train_csv)
    assert "cannot write into the folder" in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed = ", "no TOML file"),
        ("speed = 3", "'speed' is no setting"),
        ("iterations = 'all'", "iterations must be"),
        ("seed = 1979-05-27", "seed must be"),
        ("recipe = ['spiral']", "unknown recipe"),
        ("optimizer.name = 'sgd'", "optimizer must be one of"),
        ("data = 3", "data must be"),
        (f"threads = {'9' * 5000}", "no TOML file"),
    ],
)
def test_wrong_config(train_csv, old_run, tmp_path, content, message):
    (tmp_path / "config.toml").write_text(content)
    error = fail("train", "--config", tmp_path / "config.toml", "--data", train_csv, "--out", old_run, "--overwrite")
    assert message in error
    assert str(tmp_path / "config.toml") in error


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_training_that_diverges(train_csv, tmp_path, backend):
    out = tmp_path / "run"
    arguments = (*TINY, "--backend", backend, "--optimizer", "sgd", "--learning-rate", 1e30)
    result = invoke("train", "--data", train_csv, *arguments, "--out", out)
    assert result.exit_code == 1
    assert result.stderr == (
        "error: the loss became infinite or NaN in iteration 1, and no model was written: lower the learning rate\n"
    )
    assert [path.name for path in out.iterdir()] == ["samples.png"]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_training_that_diverges_later_keeps_its_last_good_model(train_csv, tmp_path, backend, monkeypatch):
    """The third update is so large that the loss of the fourth iteration is none."""

    def diverge(self, *arguments, step=fastfnn.SGD.step_flat):
        self.learning_rate = 1e30 if self.n_steps == 2 else 0.1
        step(self, *arguments)

    monkeypatch.setattr(fastfnn.SGD, "step_flat", diverge)
    arguments = ("--data", train_csv, *TINY, "--backend", backend, "--optimizer", "sgd", "--report-every", 9)
    result = invoke("train", *arguments, "--iterations", 9, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: the loss became infinite or NaN in iteration 4, and the model is that of iteration 2: lower the "
        "learning rate\n"
    )
    monkeypatch.undo()
    succeed("train", *arguments, "--learning-rate", 0.1, "--iterations", 2, "--out", tmp_path / "short")
    names = [tmp_path / folder / "model.safetensors" for folder in ("run", "short")]
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.fixture
def model(train_csv, tmp_path):
    succeed("train", "--data", train_csv, *TINY, "--out", tmp_path / "trained")
    return tmp_path / "trained" / "model.safetensors"


@pytest.fixture
def old_submission(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("as it was")
    yield path
    assert path.read_text() == "as it was"


def predict(model, data, out):
    return fail("predict", "--model", model, "--data", data, "--out", out, "--backend", "numpy")


def rewrite(model, change):
    """Write a model file anew, with other tensors."""
    architecture, tensors = read_model(model)
    change(tensors)
    write_model(model, architecture, tensors)


def test_truncated_model(model, train_csv, old_submission):
    model.write_bytes(model.read_bytes()[:-10])
    assert "is no readable model file, or is truncated" in predict(model, train_csv, old_submission)


def test_empty_model(model, train_csv, old_submission):
    model.write_bytes(b"")
    assert "is no readable model file, or is truncated" in predict(model, train_csv, old_submission)


def test_model_that_is_no_network(model, train_csv, old_submission):
    save_file({"a": np.zeros(3)}, model)
    assert "is no fastfnn model" in predict(model, train_csv, old_submission)


def widen(tensors):
    tensors["0.bias"] = np.zeros(9, np.float32)


@pytest.mark.parametrize("change", [widen, lambda tensors: tensors.pop("0.bias")])
def test_model_of_another_architecture(model, train_csv, old_submission, change):
    rewrite(model, change)
    assert "is of another architecture" in predict(model, train_csv, old_submission)


def test_missing_model(train_csv, tmp_path, old_submission):
    assert "there is no model file" in predict(tmp_path / "none", train_csv, old_submission)


def test_samples_with_other_columns(model, tmp_path, old_submission):
    wide = write_csv(tmp_path / "wide.csv", n_columns=17)
    assert "the file adds 1 column: pixel16; " in predict(model, wide, old_submission)
    np.savez(tmp_path / "wide.npz", X=np.ones((60, 17), np.uint8))
    wide = tmp_path / "wide.npz"
    assert "X must have 16 columns, the network's inputs; got shape (60, 17)" in predict(model, wide, old_submission)


def test_samples_of_an_unknown_kind(model, tmp_path, old_submission):
    (tmp_path / "samples.txt").write_text("1 2 3")
    assert "not a kind of data file" in predict(model, tmp_path / "samples.txt", old_submission)


@pytest.mark.parametrize("name", ["", "missing/submission.csv", "train.csv/submission.csv"])
def test_predictions_that_cannot_be_written(model, train_csv, tmp_path, name):
    assert "cannot write the file" in predict(model, train_csv, tmp_path / name)


@pytest.mark.parametrize("arguments", ["train --iterations many", "train --speed 3", "predict", "tran"])
def test_usage_errors(arguments):
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    assert "Usage" in result.stderr
    assert "Traceback" not in result.output


def test_a_fault_of_the_program_keeps_its_traceback(train_csv, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("fastfnn.app.cli.run", broken)
    assert isinstance(invoke("train", "--data", train_csv).exception, ZeroDivisionError)


def test_an_interruption_before_the_training(train_csv, old_run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastfnn.app.experiment.load_task", interrupted)
    result = invoke("train", "--data", train_csv, *TINY, "--out", old_run, "--overwrite")
    assert result.exit_code == 130
    assert result.stderr == "interrupted: nothing more is written\n"
