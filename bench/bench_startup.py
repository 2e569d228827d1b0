"""How long a program takes from its start: to import a library, to the first trained step, to a prediction.

Each round is a process of its own; the typical one counts, not the fastest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from contenders import BARE_NUMPY, JAX, NUMBA, TORCH
from fastfnn_kernels.runtime.cache_folder import VARIABLE as CACHE_VARIABLE
from main_job import mnist
from measurement import Measure, Work

from fastfnn import Dense, Network

IMPORTS = {NUMBA: "fastfnn", BARE_NUMPY: "numpy", TORCH: "torch", JAX: "jax"}

FIRST_STEP = """
import numpy as np
import fastfnn

with np.load({path!r}) as data:
    X, y = data["X"], data["y"]
layers = [fastfnn.Dense(784, 256, activation="relu"), fastfnn.Dense(256, 10)]
net = fastfnn.Network(layers, seed=0, input_scale=1 / 255)
net.fit(X, y, fastfnn.RMSprop(), epochs=1)
"""
FIRST_EPOCH = """
import numpy as np
import fastfnn

with np.load({path!r}) as data:
    X, y = data["X"], data["y"]
layers = [fastfnn.Dense(784, 256, activation="relu"), fastfnn.Dense(256, 10)]
net = fastfnn.Network(layers, dtype={dtype!r}, seed=0, input_scale=1 / 255)
net.fit(X, y, fastfnn.Adam(), epochs=1, batch_size=200)
"""

FIRST_CLASSIFIER = """
import warnings
import numpy as np
from fastfnn.sklearn import MLPClassifier

warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((4200, 54))
MLPClassifier(max_iter=1).fit(X, X[:, 0] > 0)
"""

STEP_ROWS = 4200

ROUNDS = 7
COLD_ROUNDS = 3

# Compiling takes long, and as long each time.
COMPILE_ROUNDS = 1

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Hold samples, a model, and a cache of compiled kernels that the first round fills."""
    with tempfile.TemporaryDirectory() as name:
        samples = mnist().first(STEP_ROWS)
        np.savez(Path(name, "samples.npz"), X=samples.X, y=samples.y)
        np.savez(Path(name, "row.npz"), X=samples.X[:1])
        Network([Dense(784, 256, activation="relu"), Dense(256, 10)]).save(Path(name, "model.safetensors"))
        yield Path(name)


@pytest.mark.parametrize(
    "contender", [pytest.param(name, marks=[pytest.mark.peer] if name in (TORCH, JAX) else []) for name in IMPORTS]
)
def bench_import(measure: Measure, contender: str) -> None:
    pytest.importorskip(IMPORTS[contender], reason=f"{contender} is not installed")
    run = _program("-c", f"import {IMPORTS[contender]}")
    measure.typical(_work("import"), contender, run, ROUNDS)


def bench_first_step_warm(measure: Measure, folder: Path) -> None:
    run = _program("-c", FIRST_STEP.format(path=str(folder / "samples.npz")), cache=folder / "cache")
    measure.typical(_work(f"first step on {STEP_ROWS:,} images, kernels cached"), NUMBA, run, ROUNDS)


def bench_predict_warm(measure: Measure, folder: Path) -> None:
    files = ("--model", "model.safetensors", "--data", "row.npz", "--out", "labels.csv")
    options = [option if option.startswith("--") else str(folder / option) for option in files]
    run = _program("-m", "fastfnn", "predict", *options, cache=folder / "cache")
    measure.typical(_work("fastfnn predict of one row, kernels cached"), NUMBA, run, ROUNDS)


def bench_train_command_cold(measure: Measure, folder: Path) -> None:
    def run() -> None:
        with tempfile.TemporaryDirectory() as cache:
            _train_one_step(folder, Path(cache))

    measure.typical(_work("fastfnn train to its first step, empty cache"), NUMBA, run, COLD_ROUNDS)


def bench_train_command_warm(measure: Measure, folder: Path) -> None:
    _train_one_step(folder, folder / "cache")
    measure.typical(
        _work("fastfnn train to its first step, kernels cached"),
        NUMBA,
        lambda: _train_one_step(folder, folder / "cache"),
        COLD_ROUNDS,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def bench_mini_batch_fit_cold(measure: Measure, folder: Path, dtype: str) -> None:
    program = FIRST_EPOCH.format(path=str(folder / "samples.npz"), dtype=dtype)
    work = _work(f"first epoch of Network.fit with Adam in batches of 200, {dtype}, empty cache", dtype)
    measure.typical(work, NUMBA, _with_empty_cache(program), COMPILE_ROUNDS)


def bench_mini_batch_classifier_cold(measure: Measure) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    work = _work("first epoch of MLPClassifier.fit on dense rows, float64, empty cache", "float64")
    measure.typical(work, NUMBA, _with_empty_cache(FIRST_CLASSIFIER), COMPILE_ROUNDS)


def _work(case: str, dtype: str = "float32") -> Work:
    return Work("start-up", case, dtype, headline=f"start-up: {case}")


def _program(*arguments: str, cache: Path | None = None) -> Callable[[], None]:
    def run() -> None:
        command = [sys.executable, *arguments]
        subprocess.run(command, env=_environment(cache), check=True, stdout=subprocess.DEVNULL)

    run()  # files are read into the system's cache, and kernels compiled into ours
    return run


def _with_empty_cache(program: str) -> Callable[[], None]:
    def run() -> None:
        with tempfile.TemporaryDirectory() as cache:
            subprocess.run([sys.executable, "-c", program], env=_environment(Path(cache)), check=True)

    return run


def _train_one_step(folder: Path, cache: Path) -> None:
    """Run the command until it reports the first iteration."""
    command = [
        sys.executable,
        "-m",
        "fastfnn",
        "train",
        "--iterations",
        "2",
        "--out",
        str(folder / "run"),
        "--overwrite",
    ]
    with subprocess.Popen(command, env=_environment(cache), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = any(line.startswith("iteration 1 of") for line in process.stdout)
        process.kill()
    if not found:
        raise AssertionError("the command did not get to its first step")


def _environment(cache: Path | None) -> dict[str, str]:
    return dict(os.environ) if cache is None else os.environ | {CACHE_VARIABLE: str(cache)}
