import math

import pytest

from fastfnn import Epoch, History, StopTraining
from fastfnn.app.divergence import Divergence
from fastfnn.app.reporting import Reporter, describe


class Display:
    def __init__(self):
        self.reported, self.advanced = [], []

    def report(self, epoch, text):
        self.reported.append((epoch.number, text))

    def advance(self, epoch):
        self.advanced.append(epoch.number)


def make_report(epoch):
    return {"iteration": epoch.number, "loss": epoch.record["loss"] / 2, "accuracy": 0.5, "seconds": 1.0}


def observe(n_seen, n_epochs, every, loss=0.25):
    display = Display()
    reporter = Reporter(make_report, every, display, Divergence())
    for number in range(1, n_seen + 1):
        reporter(Epoch(number, n_epochs, {"loss": loss}, None, None, None, None))
    reporter.report_last(History())
    return [report["iteration"] for report in reporter.reports], display


@pytest.mark.parametrize(
    ("n_seen", "n_epochs", "every", "reported"),
    [
        (2000, 2000, 500, [1, 501, 1001, 1501, 2000]),
        (1001, 1001, 500, [1, 501, 1001]),
        (1, 1, 500, [1]),
        (3, 3, 1, [1, 2, 3]),
        (700, 2000, 500, [1, 501, 700]),
        (501, 2000, 500, [1, 501]),
        (0, 10, 500, []),
    ],
)
def test_when_reports_are_due(n_seen, n_epochs, every, reported):
    iterations, display = observe(n_seen, n_epochs, every)
    assert iterations == reported
    assert [number for number, _ in display.reported] == reported
    assert set(display.advanced) | set(reported) == set(range(1, n_seen + 1))


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_loss_that_is_no_number_ends_the_training(loss):
    with pytest.raises(StopTraining):
        observe(5, 5, 5, loss)


def test_a_report_in_words():
    step = {"g": 1.0709, "effective_step": 0.48294, "gradient_norm": 2.8443}
    report = {"iteration": 1001, "loss": 7.36675463, "accuracy": 0.365857, "seconds": 0.16, "steps": {"0.bias": step}}
    first, second = describe(report, 2000).splitlines()
    assert first == "iteration 1,001 of 2,000: loss 7.36675463, accuracy 36.5857%, 0.2 s"
    assert second.split() == ["0.bias", "g", "1.0709", "effective", "step", "0.48294", "gradient", "norm", "2.8443"]


def test_a_report_without_step_figures_is_one_line():
    report = {"iteration": 1, "loss": 1e-9, "accuracy": 1.0, "seconds": 0.0}
    assert describe(report, 2) == "iteration 1 of 2: loss 1e-09, accuracy 100.0000%, 0.0 s"
