"""The command line in processes of its own."""

import signal
import subprocess
import sys

import pytest
from command_line import TINY, make_samples, read_history, write_csv

from fastfnn import Network
from fastfnn.app.config_file import read_config

# Whoever starts the tests in the background has them ignore Ctrl-C.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastfnn.app.cli import main
main()
"""


def command(*arguments):
    return [sys.executable, "-c", PROGRAM, *map(str, arguments)]


def run_python(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_ctrl_c_writes_what_there_is(tmp_path, backend):
    out, data = tmp_path / "run", write_csv(tmp_path / "train.csv")
    endless = (*TINY, "--iterations", 10**9, "--backend", backend)
    with subprocess.Popen(
        command("train", "--data", data, "--test-data", data, *endless, "--out", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        printed = ""
        while "iteration 501 of" not in printed:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            printed += line
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert process.returncode == 130
    assert errors == ""
    assert "interrupted after iteration" in rest
    last = read_history(out)[-1]
    assert 501 <= last["iteration"] < 10**9
    network = Network.load(out / "model.safetensors", backend="numpy")
    assert network.evaluate(*make_samples())[0] == pytest.approx(last["loss"], rel=1e-4, abs=1e-6)
    assert read_config(out / "config.toml")["iterations"] == 10**9
    assert sorted(path.name for path in out.iterdir()) == [
        "config.toml",
        "confusion.png",
        "curves.png",
        "history.jsonl",
        "model.safetensors",
        "samples.png",
    ]


def test_bad_input_ends_with_one_line(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    arguments = ("--data", data, *TINY, "--backend", "torch", "--out", tmp_path / "run")
    result = subprocess.run(command("train", *arguments), capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "error: backend must be one of numba, numpy; got 'torch'\n"


def test_the_library_brings_none_of_the_command_line():
    program = """
import sys
import fastfnn, fastfnn.recipes, fastfnn.plots, fastfnn.recipes.settings
print(sorted({"typer", "rich", "matplotlib", "numba"} & set(sys.modules)))
fastfnn.plots.curves([{"epoch": 1, "loss": 1.0, "accuracy": 0.5}], [{"iteration": 1, "loss": 1.0, "accuracy": 0.5}])
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    result = run_python(program)
    assert result.stderr == ""
    assert result.stdout == "[]\nTrue False\n"


def test_without_numba(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    program = f"""
import sys
sys.modules["numba"] = None
from fastfnn.app.cli import app
app({["info"]!r}, standalone_mode=False)
app({["train", "--data", str(data), *TINY, "--out", str(tmp_path / "run")]!r}, standalone_mode=False)
sys.argv[1:] = {["train", "--data", str(data), *TINY, "--backend", "numba", "--out", str(tmp_path / "no")]!r}
app()
"""
    result = run_python(program)
    assert result.returncode == 2
    assert "the files are in" in result.stdout
    assert result.stderr == 'error: backend "numba" needs Numba: pip install numba, or choose backend="numpy"\n'
    assert not (tmp_path / "no").exists()
