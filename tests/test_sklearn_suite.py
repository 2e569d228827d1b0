"""scikit-learn's own tests of its multilayer perceptrons pass on ours."""

import os
import re
from pathlib import Path

import pytest
from processes import finish, start

PROGRAM = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"

# As where scikit-learn tests itself: deprecated things are errors, and other warnings are shown.
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent), "SKLEARN_WARNINGS_AS_ERRORS": "1"}
SETTINGS = "[pytest]\nfilterwarnings = default\n"


@pytest.fixture
def summary_of(tmp_path, monkeypatch):
    """Run scikit-learn's tests with the classes replaced; returns the last line."""
    settings = tmp_path / "pytest.ini"
    settings.write_text(SETTINGS)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value, prepend=os.pathsep if name == "PYTHONPATH" else None)

    def run(*options):
        arguments = ["-c", str(settings), "--rootdir", str(tmp_path), "-p", "sklearn_suite", "-p", "no:cacheprovider"]
        tests = ["--pyargs", "sklearn.neural_network.tests.test_mlp"]
        process = start(PROGRAM, arguments=[*arguments, *options, *tests])
        return finish(process, timeout=300).splitlines()[-1]

    return run


def test_all_tests_pass(summary_of):
    summary = summary_of("--disable-warnings", "-q")
    passed = re.fullmatch(r"(\d+) passed(, \d+ warnings?)? in .*", summary)
    assert passed, summary
    assert int(passed[1]) > 50


def test_a_test_left_out_is_noticed(summary_of):
    with pytest.raises(AssertionError, match="tests were deselected: run all"):
        summary_of("-k", "test_fit")
