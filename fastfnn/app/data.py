"""Load the samples named in a run's settings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.data_form import DataForm
from fastfnn.datasets import Dataset, Labelled, read_dataset
from fastfnn.datasets.by_path import files_of, is_csv
from fastfnn.inputs.validation import check_inputs
from fastfnn.losses import SoftmaxCrossEntropy
from fastfnn.model import check_samples
from fastfnn.recipes.recipe import Recipe
from fastfnn.recipes.settings import Settings

# uint8 inputs are treated as pixels, from 0 to 255.
PIXEL_SCALE = 1 / 255


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to train on, and samples to test on.

    Attributes
    ----------
    X : ndarray of uint8, float32 or float64, shape (n_samples, n_inputs)
        Training samples.
    y : ndarray of int64, shape (n_samples,)
        Labels of the training samples.
    test : Dataset or None
        Test samples, with or without labels.
    form : DataForm
        Form of the training data.
    n_classes : int
        One more than the largest label of the training and test samples.
    n_samples : int
        Number of training samples; X and y are a part of them if several processes train together.
    held_out : Labelled or None
        Samples on which the network is evaluated after each epoch.
    """

    X: NDArray[Any]
    y: NDArray[np.int64]
    test: Dataset | None
    form: DataForm
    n_classes: int
    n_samples: int
    held_out: Labelled | None = None

    @property
    def n_inputs(self) -> int:
        """Number of columns of the samples."""
        return int(self.X.shape[1])

    def input_scale(self, settings: Settings) -> float:
        """Return the factor of uint8 inputs; 1 if the training data are floats, because nothing is scaled then."""
        if not self.form.is_bytes:
            return 1.0
        return PIXEL_SCALE if settings.input_scale is None else settings.input_scale


def load_task(recipe: Recipe, settings: Settings, given: Labelled | None = None) -> Task:
    """Load the files that the settings name, or else the recipe's own data.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    settings : Settings
        Settings of the run.
    given : Labelled, optional
        Rows of the file to train on, if some of them have been read.

    Raises
    ------
    ValueError, TypeError, OSError
        If a file cannot be read, training data have no labels, or training and test data do not fit.
    """
    _check_columns(settings)
    train, test = None if given is None else Dataset(*given), None
    if settings.data is None:
        train, test = recipe.load_data(settings)
    elif train is None:
        train = read_dataset(settings.data, **_columns_read(settings, settings.data))
    if train.y is None:
        raise ValueError(
            f"{settings.data}: there are no labels to learn; a CSV file needs a column {settings.label!r}, or "
            f"--label with the name of another"
        )
    form = DataForm(train.columns, train.X.dtype == np.uint8)
    if settings.input_scale not in (None, 1.0) and not form.is_bytes:
        raise ValueError(
            f"input_scale is a factor of bytes; got {settings.input_scale} for other numbers: leave it out, and "
            f"scale the data"
        )
    if settings.test_data is not None:
        test = read_like(form, settings.test_data, _columns_read(settings, settings.test_data))
    labelled, held_out = recipe.hold_out(Labelled(train.X, train.y), test)
    labels = [labelled.y] if test is None or test.y is None else [labelled.y, test.y]
    n_classes = 1 + max(int(numbers.max()) for numbers in labels)
    task = Task(labelled.X, labelled.y, test, form, n_classes, len(labelled.y), held_out)
    _check_test(task, settings.dtype)
    return task


def input_files(settings: Settings) -> list[Path]:
    """Return the files that the settings name, as far as they are there."""
    paths = [Path(path) for path in (settings.data, settings.test_data) if path is not None]
    return [file for path in paths for file in files_of(path)]


def read_like(form: DataForm | None, path: str | os.PathLike[str], columns_read: Mapping[str, Any]) -> Dataset:
    """Read samples for a network that was trained on data of a known or unknown form.

    Parameters
    ----------
    form : DataForm or None
        Form of the training data. Columns are brought into its order, and numbers into its kind.
    path : path-like
        The file or folder.
    columns_read : mapping
        `label`, `drop` and `header`, as in `fastfnn.datasets.read_dataset`.

    Raises
    ------
    ValueError, TypeError, OSError
        If the file cannot be read, or does not have this form.
    """
    named: dict[str, Any] = {"columns": form.columns} if form is not None and is_csv(path) else {}
    samples = read_dataset(path, **columns_read, **named)
    if form is None:
        return samples
    return dataclasses.replace(samples, X=form.numbers(samples.X, os.fspath(path)))


def _check_columns(settings: Settings) -> None:
    """Raise ValueError if the settings say what is in CSV files, and there are none."""
    paths = [path for path in (settings.data, settings.test_data) if path is not None]
    if settings.names_columns and not any(map(is_csv, paths)):
        found = ", ".join(paths) or "no file"
        raise ValueError(
            f"label, drop and no-header say what is in a CSV file (.csv, .csv.gz); got {found}: "
            f"leave them out, or give a CSV file with --data"
        )


def _columns_read(settings: Settings, path: str) -> dict[str, Any]:
    """Return the settings for one of two files, of which the other may be the CSV file that they are for."""
    return settings.columns_read if is_csv(path) else {}


def _check_test(task: Task, dtype: str) -> None:
    if task.test is None:
        return
    if task.test.y is None:
        check_inputs(task.test.X, task.n_inputs, "test X")
    else:
        outputs = task.n_classes, SoftmaxCrossEntropy(), np.dtype(dtype)
        check_samples(task.test.X, task.test.y, task.n_inputs, *outputs, "test ")
