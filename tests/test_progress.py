import io

import pytest
from rich.console import Console

from fastfnn.app import progress
from fastfnn.app.progress import ProgressBar, ProgressLines, StageDisplay, progress_display
from fastfnn.training.events import Epoch


def epoch(number, n_epochs=200, seconds=4.0):
    record = {"epoch": number, "loss": 0.25, "accuracy": 0.875, "seconds": seconds}
    return Epoch(number, n_epochs, record, None, None, None, None)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "perf_counter", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, ProgressBar), (False, ProgressLines)])
def test_a_terminal_gets_a_bar(is_terminal, kind):
    console = Console(file=io.StringIO(), force_terminal=is_terminal)
    assert type(progress_display(console, 10, 10)) is kind


def test_bar_shows_figures_of_the_iteration():
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with ProgressBar(console, 200, 1000) as bar:
        bar.advance(epoch(50))
        bar.report(epoch(51), "a report")
    shown = console.file.getvalue()
    assert "a report" in shown
    last = [line for line in shown.splitlines() if "samples/s" in line][-1]
    for part in ("51/200", "loss 0.25", "accuracy 87.50%", "12,750 samples/s", "left"):
        assert part in last


def test_lines_come_ten_seconds_after_the_last_line(clock, capsys):
    with ProgressLines(1000) as lines:
        lines.advance(epoch(1))
        clock.now += 9.9
        lines.advance(epoch(2))
        assert capsys.readouterr().out == ""
        clock.now += 0.1
        lines.advance(epoch(50))
        expected = "iteration 50 of 200: loss 0.25, accuracy 87.50%, 12,500 samples/s, 0:00:12 left\n"
        assert capsys.readouterr().out == expected
        clock.now += 9
        lines.report(epoch(51), "a report")
        clock.now += 9
        lines.advance(epoch(52))
        assert capsys.readouterr().out == "a report\n"


def test_years_to_come_are_shown(clock, capsys):
    with ProgressLines(1000) as lines:
        clock.now += 10
        lines.advance(epoch(1, n_epochs=2**63 - 1))
        assert "999999999 days" in capsys.readouterr().out


def test_stages_move_a_bar(capsys):
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with StageDisplay(console, 2) as display:
        display.begin("the first")
        display.begin("the second")
        display.show("a kernel")
    shown = console.file.getvalue()
    assert "the second" in shown
    assert "a kernel" in shown
    assert capsys.readouterr().out == ""


def test_stages_are_lines_elsewhere(capsys):
    console = Console(file=io.StringIO())
    with StageDisplay(console, 2) as display:
        display.begin("the first")
        display.show("a kernel")
    assert capsys.readouterr().out == "the first\n"
    assert console.file.getvalue() == ""
