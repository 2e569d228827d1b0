"""The suite on every supported Python, from wheel and sdist, away from the source tree: `make test-all`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

# Versions of scikit-learn before the newest, which the other sessions install.
SKLEARNS = ["1.7", "1.8"]

# What the tests read beside themselves, and what the README links to.
TESTED = (
    "tests",
    "docs",
    "bench",
    "kernels/README.md",
    "kernels/RUNTIME.md",
    "fastfnn/datasets/embedded/LICENSE-MNIST.md",
    "README.md",
    "Makefile",
    "pyproject.toml",
)

CORE = """
import numpy as np
import fastfnn
from fastfnn.callbacks import TensorBoardLogger

train, test = fastfnn.datasets.load_mnist()
net = fastfnn.Network([fastfnn.Dense(784, 32, activation="relu"), fastfnn.Dense(32, 10)], seed=0, input_scale=1 / 255)
history = net.fit(train.X, train.y, fastfnn.Adam(), epochs=2, batch_size=500, validation_data=(test.X, test.y))
net.save("model.safetensors")
assert (fastfnn.Network.load("model.safetensors", "numpy").predict(test.X) == net.predict(test.X)).mean() > 0.99
EXTRAS = {
    "sklearn": fastfnn.datasets.load_digits,
    "pandas": history.to_pandas,
    "onnx": lambda: net.to_onnx("model.onnx"),
    "tensorboard": lambda: TensorBoardLogger("runs"),
}
for extra, use in EXTRAS.items():
    try:
        use()
    except ImportError as error:
        assert f'pip install "fastfnn[{extra}]"' in str(error), error
    else:
        raise AssertionError(f"{extra} is not needed")
"""

nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """Run the suite on an installed wheel."""
    _test(session, _build(session, "--wheel"))


@nox.session(python=PYTHONS[0])
def sdist(session: nox.Session) -> None:
    """Run the suite on an installed sdist."""
    _test(session, _build(session, "--sdist"))


@nox.session(python=PYTHONS[0])
@nox.parametrize("version", SKLEARNS)
def sklearn(session: nox.Session, version: str) -> None:
    """Compare the estimators with those of an older scikit-learn."""
    tests = sorted(str(path) for path in Path("tests").glob("test_sklearn_*.py"))
    _test(session, _build(session, "--wheel"), f"scikit-learn=={version}.*", tests=tests)


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """Train with the core dependencies alone; what needs an extra says which."""
    session.install(str(_build(session, "--wheel")))
    folder = Path(session.create_tmp()).resolve()
    session.chdir(folder)
    session.env["FASTFNN_CACHE_DIR"] = str(folder / "cache")
    session.run("python", "-W", "error", "-c", CORE)
    session.run("fastfnn", "train", "--iterations", "3", "--out", "run")
    session.run("fastfnn", "info")


def _build(session: nox.Session, kind: str) -> Path:
    session.install("build")
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", kind, "--outdir", str(folder), silent=True)
    (built,) = folder.resolve().iterdir()
    return built


def _test(session: nox.Session, package: Path, *others: str, tests: Sequence[str] = ()) -> None:
    # pip keeps what it built from an sdist of this name, which may have been another.
    session.run("python", "-m", "pip", "cache", "remove", "fastfnn", success_codes=[0, 1])
    session.install(f"fastfnn[test] @ {package.as_uri()}", *others)
    away = Path(session.create_tmp()).resolve() / "away"
    shutil.rmtree(away, ignore_errors=True)
    for name in TESTED:
        source, target = Path(name), away / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    session.env["FASTFNN_CACHE_DIR"] = str(away / "cache")
    session.chdir(away)
    session.run("python", "-m", "pytest", *tests, *session.posargs)
