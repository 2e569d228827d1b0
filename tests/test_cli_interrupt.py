import dataclasses
import signal

import pytest
from command_line import TINY, invoke, read_history, write_csv

from fastfnn import Network, RMSprop
from fastfnn.app import experiment
from fastfnn.recipes import RECIPES


@pytest.fixture
def train(tmp_path):
    """Train on tiny data, reporting every second iteration of five."""
    data = write_csv(tmp_path / "train.csv")
    # Whoever starts the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = ("train", "--data", data, *TINY, "--report-every", 2, "--out", tmp_path / "run")
    yield lambda *more: invoke(*arguments, *more)
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_a_report_ends_the_training_after_it(train, tmp_path, monkeypatch):
    def report_and_press(epoch, report=RECIPES["kaggle-rmsprop"].report):
        if epoch.number == 3:
            signal.raise_signal(signal.SIGINT)
        return report(epoch)

    recipe = dataclasses.replace(RECIPES["kaggle-rmsprop"], report=report_and_press)
    monkeypatch.setitem(RECIPES, "kaggle-rmsprop", recipe)
    result = train()
    assert result.exit_code == 130
    assert "interrupted after iteration 3 of 5" in result.stdout
    assert [report["iteration"] for report in read_history(tmp_path / "run")] == [1, 3]
    assert Network.load(tmp_path / "run" / "model.safetensors", backend="numpy").n_inputs == 16


def test_ctrl_c_between_reports_makes_a_last_one(train, tmp_path, monkeypatch):
    def step_and_press(self, *args, step=RMSprop.step):
        step(self, *args)
        if self.n_steps == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RMSprop, "step", step_and_press)
    result = train()
    assert result.exit_code == 130
    assert [report["iteration"] for report in read_history(tmp_path / "run")] == [1, 2]


@pytest.mark.parametrize(
    ("more", "line"), [((), "there is no checkpoint"), (("--checkpoint-every", 1), "--resume {} continues it")]
)
def test_sigterm_ends_with_a_line(train, tmp_path, monkeypatch, more, line):
    def step_and_end(self, *args, step=RMSprop.step):
        step(self, *args)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(RMSprop, "step", step_and_end)
    result = train(*more)
    assert result.exit_code == 143
    assert result.stderr == f"terminated: {line.format(tmp_path / 'run')}\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("place", ["load_task", "warm_up"])
def test_sigterm_before_the_training_leaves_no_folder(train, tmp_path, monkeypatch, place):
    monkeypatch.setattr(f"fastfnn.app.experiment.{place}", lambda *_: signal.raise_signal(signal.SIGTERM))
    result = train("--backend", "numba")
    assert result.exit_code == 143
    assert result.stderr == "terminated: there is no checkpoint\n"
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_sigterm_is_left_to_a_program_that_handles_it(train, tmp_path, monkeypatch):
    def load(*arguments, load=experiment.load_task):
        signal.raise_signal(signal.SIGTERM)
        return load(*arguments)

    seen = []
    monkeypatch.setattr(experiment, "load_task", load)
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        assert train().exit_code == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_an_end_before_the_first_step_leaves_no_model(train, tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "fit", lambda *_, history, **__: setattr(history, "interrupted", True))
    result = train()
    assert result.exit_code == 130
    assert result.stderr == "interrupted: nothing more is written\n"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["samples.png"]
