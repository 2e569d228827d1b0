"""NumPy alone is enough: a process in which Numba and llvmlite cannot be imported."""

import subprocess
import sys
import textwrap

import pytest

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())

import numpy as np
import fastfnn

X = np.random.default_rng(1).standard_normal((50, 4)).astype("float32")
y = X[:, :3].argmax(axis=1)
layers = [fastfnn.Dense(4, 8, "relu"), fastfnn.Dense(8, 3)]
"""


def run(script, hidden=("numba", "llvmlite")):
    script = HIDE.format(hidden=set(hidden)) + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)


def output_of(script, hidden=("numba", "llvmlite")):
    finished = run(script, hidden)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_the_numpy_backend_trains_predicts_and_saves(tmp_path):
    script = f"""
        net = fastfnn.Network(layers, backend="numpy", seed=1)
        history = net.fit(X, y, fastfnn.Adam(0.05), epochs=30, batch_size=10, validation_data=(X, y))
        assert history["loss"][-1] < history["loss"][0] / 2
        path = {str(tmp_path / "model.safetensors")!r}
        net.save(path)
        assert (fastfnn.Network.load(path, backend="numpy").predict(X) == net.predict(X)).all()
        fastfnn.softmax_cross_entropy(X, y, backend="numpy")
        print("trained")
    """
    assert output_of(script) == "trained"


@pytest.mark.parametrize("hidden", ["numba", "llvmlite"])
@pytest.mark.parametrize(
    "use",
    [
        "fastfnn.Network(layers)",
        "fastfnn.Network(layers, backend='numba')",
        "fastfnn.get_backend('numba')",
        "fastfnn.softmax_cross_entropy(X, y)",
    ],
)
def test_the_numba_backend_says_what_to_install(use, hidden):
    script = f"""
        try:
            {use}
        except ImportError as error:
            print(type(error).__name__, error)
    """
    expected = 'ImportError backend "numba" needs Numba: pip install numba, or choose backend="numpy"'
    assert output_of(script, [hidden]) == expected


def test_loading_a_model_for_numba_says_what_to_install(tmp_path):
    script = f"""
        path = {str(tmp_path / "model.safetensors")!r}
        fastfnn.Network(layers, backend="numpy").save(path)
        try:
            fastfnn.Network.load(path)
        except ImportError as error:
            print(error)
    """
    assert "pip install numba" in output_of(script)


def test_layers_are_free_for_numpy_after_numba_was_missed():
    script = """
        try:
            fastfnn.Network(layers)
        except ImportError:
            print(fastfnn.Network(layers, backend="numpy").backend)
    """
    assert output_of(script) == "numpy"


def test_an_uncaught_error_ends_with_the_advice():
    finished = run("fastfnn.Network(layers)")
    assert finished.returncode == 1
    assert finished.stderr.rstrip().splitlines()[-1].endswith('or choose backend="numpy"')
