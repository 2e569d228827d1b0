import math

import pytest

from fastfnn.grid_search import Trial, best_trial, grid_search

GRID = {"width": (1, 2), "l2": (0.0, 0.5, 1.0)}


def test_every_combination_is_tried_in_order():
    reported = []
    trials = grid_search(GRID, lambda width, l2: width - l2, reported.append)
    assert [tuple(trial.settings.values()) for trial in trials] == [(w, l2) for w in (1, 2) for l2 in (0.0, 0.5, 1.0)]
    assert [trial.score for trial in trials] == [1.0, 0.5, 0.0, 2.0, 1.5, 1.0]
    assert reported == trials
    assert best_trial(trials).settings == {"width": 2, "l2": 0.0}


def test_the_first_of_equals_is_the_best_and_nan_never():
    trials = [Trial({"a": i}, score) for i, score in enumerate([math.nan, 0.5, 0.7, 0.7])]
    assert best_trial(trials).settings == {"a": 2}
    with pytest.raises(ValueError, match="no trial has a score"):
        best_trial(trials[:1])


def test_a_name_without_values():
    with pytest.raises(ValueError, match="the grid has no values for 'l2'"):
        grid_search({"width": (1,), "l2": ()}, lambda **_: 0.0)


def test_settings_as_they_are_written():
    assert Trial({"hidden": (64, 32), "l2": 0.1}, 1.0).texts == {"hidden": "64,32", "l2": "0.1"}
