"""Environment variables that the kernels cannot work with: one sentence, when they are imported."""

import os
import subprocess
import sys

import pytest
from fastfnn_kernels.runtime.environment import THREAD_LAYERS, check_environment
from numba.core import config
from processes import output_of

WITHOUT_COMPILER = (
    'backend "numba" needs Numba\'s compiler, which NUMBA_DISABLE_JIT turns off: unset it, or choose backend="numpy"'
)

SAYS = """
    import fastfnn
    for use in (
        lambda: fastfnn.Network([fastfnn.Dense(2, 2)]),
        lambda: fastfnn.get_backend("numba"),
        lambda: __import__("fastfnn_kernels.jitted"),
    ):
        try:
            use()
        except (ImportError, ValueError) as error:
            print(type(error).__name__, error)
    try:
        print(fastfnn.get_backend("numpy").NAME)
    except ValueError as error:
        print(type(error).__name__, error)
"""


def test_a_usual_environment():
    check_environment()


def test_without_numbas_compiler():
    *errors, numpy = output_of(SAYS, {"NUMBA_DISABLE_JIT": "1"}).splitlines()
    assert errors == [f"ImportError {WITHOUT_COMPILER}"] * 3
    assert numpy == "numpy"


@pytest.mark.parametrize("threads", ["abc", "0", "-1", "1.5"])
def test_no_number_of_threads(threads):
    errors = output_of(SAYS, {"FASTFNN_NUM_THREADS": threads}).splitlines()
    assert errors == [f"ValueError FASTFNN_NUM_THREADS must be a whole number from 1 up; got '{threads}'"] * 4


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("NUMBA_DISABLE_JIT", "1", WITHOUT_COMPILER),
        ("FASTFNN_NUM_THREADS", "two", "FASTFNN_NUM_THREADS must be a whole number from 1 up; got 'two'"),
    ],
)
def test_the_command_line_says_it_in_one_line(variable, value, sentence, tmp_path):
    command = [sys.executable, "-m", "fastfnn", "train", "--recipe", "spiral", "--out", str(tmp_path / "run")]
    run = subprocess.run(command, env=os.environ | {variable: value}, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, f"error: {sentence}\n")


@pytest.mark.parametrize("variable", ["FASTFNN_NUM_THREADS", "NUMBA_NUM_THREADS"])
@pytest.mark.parametrize("threads", ["abc", "0", "-1", "1.5", "2 threads"])
def test_either_number_of_threads(variable, threads, monkeypatch):
    monkeypatch.setenv(variable, threads)
    with pytest.raises(ValueError, match=f"^{variable} must be a whole number from 1 up; got '{threads}'$"):
        check_environment()


@pytest.mark.parametrize("variable", ["FASTFNN_NUM_THREADS", "NUMBA_NUM_THREADS"])
@pytest.mark.parametrize("threads", ["", " ", "2", " 1 "])
def test_a_number_of_threads_or_none(variable, threads, monkeypatch):
    monkeypatch.setenv(variable, threads)
    check_environment()


@pytest.mark.parametrize("layer", [*THREAD_LAYERS, "TBB"])
def test_a_thread_layer(layer, monkeypatch):
    monkeypatch.setattr(config, "THREADING_LAYER", layer)
    check_environment()


def test_no_thread_layer(monkeypatch):
    monkeypatch.setattr(config, "THREADING_LAYER", "foo")
    with pytest.raises(ValueError, match=r"NUMBA_THREADING_LAYER must be one of default, .* workqueue; got 'foo'"):
        check_environment()
