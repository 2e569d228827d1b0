"""Load the samples named in a run's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.datasets import Dataset, Labelled, read_dataset
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
    held_out : Labelled or None
        Samples on which the network is evaluated after each epoch.
    """

    X: NDArray[Any]
    y: NDArray[np.int64]
    test: Dataset | None
    held_out: Labelled | None = None

    @property
    def n_inputs(self) -> int:
        """Number of columns of the samples."""
        return int(self.X.shape[1])

    @property
    def n_classes(self) -> int:
        """One more than the largest label of the training and test samples."""
        test_labels = [] if self.test is None or self.test.y is None else [self.test.y]
        return 1 + max(int(labels.max()) for labels in (self.y, *test_labels))

    def input_scale(self, settings: Settings) -> float:
        """Return the factor of uint8 inputs; 1 if the training data are floats, because nothing is scaled then."""
        if self.X.dtype != np.uint8:
            return 1.0
        return PIXEL_SCALE if settings.input_scale is None else settings.input_scale


def load_task(recipe: Recipe, settings: Settings) -> Task:
    """Load the files that the settings name, or else the recipe's own data.

    Raises
    ------
    ValueError, TypeError, OSError
        If a file cannot be read, training data have no labels, or training and test data do not fit.
    """
    if settings.data is None:
        train, test = recipe.load_data(settings)
    else:
        train, test = read_dataset(settings.data), None
    if settings.test_data is not None:
        test = read_dataset(settings.test_data)
    if train.y is None:
        raise ValueError(f"{settings.data}: there are no labels to learn; a CSV file needs a column 'label'")
    labelled, held_out = recipe.hold_out(Labelled(train.X, train.y), test)
    task = Task(labelled.X, labelled.y, test, held_out)
    _check_test(task, settings.dtype)
    return task


def _check_test(task: Task, dtype: str) -> None:
    if task.test is None:
        return
    if task.test.y is None:
        check_inputs(task.test.X, task.n_inputs, "test X")
    else:
        outputs = task.n_classes, SoftmaxCrossEntropy(), np.dtype(dtype)
        check_samples(task.test.X, task.test.y, task.n_inputs, *outputs, "test ")
