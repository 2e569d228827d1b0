"""`fastfnn train` that ends before its end, is resumed, or cannot write a file."""

import signal

import pytest
from command_line import TINY, fail, invoke, read_history, succeed, write_csv
from processes import start

from fastfnn import Adam, Network
from fastfnn.execution import thresholds
from fastfnn.files import checkpoint_file

OPTIONS = (*TINY, "--optimizer", "adam", "--batch-size", 7, "--report-every", 3, "--checkpoint-every", 4)


@pytest.fixture
def data(tmp_path):
    return write_csv(tmp_path / "train.csv", n_rows=40)


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def train(data, out, iterations, run=succeed):
    return run("train", "--data", data, *OPTIONS, "--iterations", iterations, "--out", out)


def files_of(folder):
    reports = [
        {name: value for name, value in report.items() if name != "seconds"} for report in read_history(folder)
    ]
    return reports, (folder / "model.safetensors").read_bytes(), (folder / "config.toml").read_text()


def press_at(step, monkeypatch, number=signal.SIGINT):
    """Press Ctrl-C in the midst of a step, where each step is a call of its own."""

    def press(self, *arguments, take=Adam.finish_steps):
        take(self, *arguments)
        if self.n_steps == step:
            signal.raise_signal(number)

    monkeypatch.setattr(Adam, "finish_steps", press)
    monkeypatch.setattr(thresholds, "OPERATIONS_OF_CALL", 1)


@pytest.mark.parametrize("n_first", [4, 5, 6, 9])
def test_a_finished_training_goes_on_with_more_iterations(data, tmp_path, n_first):
    train(data, tmp_path / "whole", 9)
    train(data, tmp_path / "run", n_first)
    said = succeed("train", "--resume", tmp_path / "run", "--iterations", 9)
    assert f"resumed after iteration {n_first}\n" in said
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_fewer_iterations_than_there_are_is_refused(data, tmp_path):
    train(data, tmp_path / "run", 6)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    message = fail("train", "--resume", tmp_path / "run", "--iterations", 5)
    assert "holds 6 iterations; got --iterations 5" in message
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("step", [6, 7, 11, 12, 20, 29])
def test_ctrl_c_inside_an_iteration_and_resumed(data, tmp_path, monkeypatch, step):
    """An iteration has six steps."""
    train(data, tmp_path / "whole", 6)
    press_at(step, monkeypatch)
    result = train(data, tmp_path / "run", 6, invoke)
    monkeypatch.undo()
    assert result.exit_code == 130
    assert result.stderr == ""
    assert f"interrupted after iteration {step // 6} of 6" in result.stdout
    said = succeed("train", "--resume", tmp_path / "run")
    within = f", and {step % 6 * 7} samples of the next one" if step % 6 else ""
    assert f"resumed after iteration {step // 6}{within}\n" in said
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_sigterm_leaves_a_checkpoint_and_ends_the_program(data, tmp_path):
    train(data, tmp_path / "whole", 300)
    command = f"""
        import sys
        sys.argv = {["fastfnn", "train", "--data", str(data), *map(str, OPTIONS), "--iterations", "300"]!r}
        sys.argv += ["--out", {str(tmp_path / "run")!r}]
        from fastfnn.app.cli import main
        main()
    """
    process = start(command)
    for line in process.stdout:
        if line.startswith("iteration 4 of"):
            process.send_signal(signal.SIGTERM)
            break
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (143, f"terminated: --resume {tmp_path / 'run'} continues it\n")
    assert "resumed after iteration" in succeed("train", "--resume", tmp_path / "run")
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def full(path):
    raise OSError(28, "No space left on device", str(path))


def test_a_full_disk_at_the_end_loses_only_what_does_not_fit(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "save", lambda self, path: full(path))
    message = train(data, tmp_path / "run", 3, fail)
    assert "No space left on device" in message
    assert str(tmp_path / "run" / "model.safetensors") in message
    assert [report["iteration"] for report in read_history(tmp_path / "run")] == [1, 3]
    assert (tmp_path / "run" / "config.toml").is_file()
    monkeypatch.undo()
    succeed("train", "--resume", tmp_path / "run")
    train(data, tmp_path / "whole", 3)
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_a_full_disk_at_a_checkpoint_is_a_warning(data, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_file, "write_checkpoint", lambda path, content: full(path))
    result = train(data, tmp_path / "run", 5, invoke)
    assert result.exit_code == 0
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("warning: the checkpoint after epoch 4 was not written: ")
    assert str(tmp_path / "run" / "checkpoint.safetensors") in warning
    assert Network.load(tmp_path / "run" / "model.safetensors", backend="numpy").n_inputs == 16


def test_a_checkpoint_with_another_unfinished_epoch_is_refused(data, tmp_path, monkeypatch):
    press_at(8, monkeypatch)
    train(data, tmp_path / "run", 6, invoke)
    monkeypatch.undo()
    write_csv(data, n_rows=41)
    message = fail("train", "--resume", tmp_path / "run")
    assert "the history ended in epoch 2, in batches of 7: continue with the same samples" in message
