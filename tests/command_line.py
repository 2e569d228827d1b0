"""Running the command line on tiny data."""

from __future__ import annotations

import json

import numpy as np
from typer.testing import CliRunner

from fastfnn.app.cli import app

N_COLUMNS = 16
N_CLASSES = 3

# Small and quick; `learning_rate` suits the data.
TINY = ("--backend", "numpy", "--hidden", "8", "--iterations", "5", "--learning-rate", "0.1")


def make_samples(n_rows=60, n_columns=N_COLUMNS, seed=0):
    """Draw bytes in which each class has its own bright columns."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % N_CLASSES
    X = rng.integers(0, 60, (n_rows, n_columns))
    X[np.arange(n_columns) % N_CLASSES == y[:, np.newaxis]] += 150
    return X.astype(np.uint8), y


def write_csv(path, n_rows=60, n_columns=N_COLUMNS, seed=0, labels=True):
    """Write such samples as Kaggle lays them out."""
    X, y = make_samples(n_rows, n_columns, seed)
    header = [*(["label"] if labels else []), *(f"pixel{i}" for i in range(n_columns))]
    rows = np.column_stack([y, X]) if labels else X
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def invoke(*arguments):
    """Run `fastfnn` in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    """Run `fastfnn`, and return what it prints."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def fail(*arguments):
    """Run `fastfnn` on bad input, and return the one line it ends with."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("\n")
    return result.stderr


def read_history(folder):
    """Read the reports of a run."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
