"""What there is to learn: the samples that a run's settings name."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.datasets import Dataset, read_dataset
from fastfnn.inputs import check_inputs, check_samples
from fastfnn.settings import Settings

# uint8 inputs are taken for pixels, from 0 to 255.
PIXEL_SCALE = 1 / 255


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to learn, and samples to test on.

    Attributes
    ----------
    X : ndarray of uint8, float32 or float64, shape (n_samples, n_inputs)
        To train on.
    y : ndarray of int64, shape (n_samples,)
        Its labels.
    test : Dataset or None
        With labels or without.
    """

    X: NDArray[Any]
    y: NDArray[np.int64]
    test: Dataset | None

    @property
    def n_inputs(self) -> int:
        """Columns of the samples."""
        return int(self.X.shape[1])

    @property
    def n_classes(self) -> int:
        """One more than the largest label there is, in training or in test."""
        test_labels = [] if self.test is None or self.test.y is None else [self.test.y]
        return 1 + max(int(labels.max()) for labels in (self.y, *test_labels))

    @property
    def input_scale(self) -> float:
        """Factor of uint8 inputs; when training data are floats, all numbers are taken as they are."""
        return PIXEL_SCALE if self.X.dtype == np.uint8 else 1.0


def load_task(recipe: ModuleType, settings: Settings) -> Task:
    """Load what the settings name, or else the recipe's own data.

    Raises
    ------
    ValueError, TypeError, OSError
        If a file cannot be read, training data have no labels, or training and test data do not fit.
    """
    if settings.data is None:
        train, test = recipe.load_data()
    else:
        train, test = read_dataset(settings.data), None
    if settings.test_data is not None:
        test = read_dataset(settings.test_data)
    if train.y is None:
        raise ValueError(f"{settings.data}: there are no labels to learn; a CSV file needs a column 'label'")
    task = Task(train.X, train.y, test)
    _check_test(task, settings.dtype)
    return task


def _check_test(task: Task, dtype: str) -> None:
    if task.test is None:
        return
    if task.test.y is None:
        check_inputs(task.test.X, task.n_inputs, "test X")
    else:
        check_samples(task.test.X, task.test.y, task.n_inputs, task.n_classes, np.dtype(dtype), "test ")
