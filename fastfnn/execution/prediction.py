"""Predictions and evaluations of a network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.execution import obstacles
from fastfnn.execution.finite_outputs import shows_in_outputs
from fastfnn.execution.layerwise import Forward
from fastfnn.execution.options import scale_of_mean
from fastfnn.execution.plan import ExecutionPlan, Propagation, plan_evaluation, plan_few_rows, plan_prediction
from fastfnn.execution.preparation import in_order, prepare
from fastfnn.execution.whole_stack import StackForward
from fastfnn.inputs.arrays import has_squares_within
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.density import profile
from fastfnn.inputs.row_blocks import RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.inputs.validation import LARGEST, check_finite, check_input_format
from fastfnn.model import Model


class Predictor:
    """Predictions of one network. Plans for few rows do not depend on the rows, so they are made once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._largest = LARGEST[model.dtype]
        self._few_rows: dict[str, StackForward | None] = {}

    def predict(
        self, X: NDArray[Any] | Csr, input_format: str, finish: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Compute the outputs of all samples, and map them to predictions with `finish`.

        Parameters
        ----------
        X : ndarray or Csr, shape (n_samples, n_inputs)
            Checked samples.
        input_format : {"auto", "dense", "sparse"}
            As in `fastfnn.Network.predict`; checked here, once for each format.
        finish : callable
            Maps outputs of some rows, row by row, to a new array with as many rows.
        """
        try:
            stack = self._few_rows[input_format]
        except (KeyError, TypeError):
            stack = self._planned(input_format)
        model = self._model
        if stack is not None and X.shape[0] <= stack.max_rows and not isinstance(X, Csr):
            # Nearly all rows pass the first check; the full one takes another microsecond.
            if X.dtype.kind == "f" and not has_squares_within(self._largest, X):
                check_finite(X, model.dtype, "X")
            return finish(stack.logits(X))
        plan = plan_prediction(model, profile(X, model.dtype), input_format)
        return _in_blocks(model, X, plan, finish)

    def _planned(self, input_format: str) -> StackForward | None:
        """Plan predictions of a few rows, once; None if one call cannot compute all layers."""
        check_input_format(input_format)
        one_call = obstacles.to_one_call(self._model) is None
        stack = StackForward(self._model, plan_few_rows(self._model, input_format)) if one_call else None
        self._few_rows[input_format] = stack
        return stack


def _in_blocks(
    model: Model, X: NDArray[Any] | Csr, plan: ExecutionPlan, finish: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[Any]:
    """Predict block by block; samples of an array are checked block by block too, while they are in the cache."""
    if isinstance(X, Csr):
        check_finite(X, model.dtype, "X")
    by_outputs = not isinstance(X, Csr) and X.dtype.kind == "f" and shows_in_outputs(model, X.size)
    blocks = prepare(model, X, plan)
    nothing = finish(np.empty((0, model.n_outputs), model.dtype))
    made = np.empty((blocks.n_rows, *nothing.shape[1:]), nothing.dtype)
    forward = Forward(model, min(blocks.n_rows, blocks.rows_of_block), plan.propagation)
    for first in range(0, blocks.n_rows, blocks.rows_of_block):
        part = made[first : first + blocks.rows_of_block]
        end = first + len(part)
        if not by_outputs:
            _check_rows(X, first, end, model.dtype)
        with np.errstate(over="ignore", invalid="ignore") if by_outputs else contextlib.nullcontext():
            outputs = forward.logits(blocks.block(first, end))
        if by_outputs and not has_squares_within(LARGEST[model.dtype], outputs):
            _check_rows(X, first, end, model.dtype)
        part[...] = finish(outputs)
    return made


def _check_rows(X: NDArray[Any] | Csr, first: int, end: int, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if some rows of an array are not finite."""
    if not isinstance(X, Csr):
        check_finite(X[first:end], dtype, "X", first)


def evaluate(model: Model, blocks: RowBlocks, y: Targets, propagation: Propagation) -> tuple[float, float]:
    """Return the mean loss without penalty, and the accuracy, which is NaN for losses without right and wrong.

    Both are NaN if a parameter is NaN or infinite: a kernel may skip it, and NaN has no class.
    """
    return means_of(model, *loss_and_correct(model, blocks, y, propagation, y.total_weight), len(y))


def loss_and_correct(
    model: Model, blocks: RowBlocks, y: Targets, propagation: Propagation, total_weight: float
) -> tuple[float, int]:
    """Return the samples' part of the mean loss over a weight, and the number of correct ones; see `evaluate`."""
    if not all(_is_finite(array) for layer in model.layers for array in layer.parameters.values()):
        return math.nan, 0
    forward = Forward(model, min(blocks.n_rows, blocks.rows_of_block), propagation)
    scale = scale_of_mean(total_weight)
    of_blocks = [forward.loss_and_correct(x, targets, scale) for x, targets in in_order(blocks, y)]
    return sum(loss for loss, _ in of_blocks), sum(n_correct for _, n_correct in of_blocks)


def means_of(model: Model, loss: float, n_correct: int, n_rows: int) -> tuple[float, float]:
    """Return the mean loss, and the accuracy, which is NaN for losses without right and wrong."""
    has_accuracy = model.loss.counts_correct and not math.isnan(loss)
    return loss, n_correct / n_rows if has_accuracy else math.nan


def _is_finite(array: NDArray[Any]) -> bool:
    """Tell whether all numbers are finite."""
    return has_squares_within(LARGEST[array.dtype], array) or bool(np.isfinite(array).all())


def evaluate_samples(model: Model, X: NDArray[Any] | Csr, y: Targets, input_format: str) -> tuple[float, float]:
    """Evaluate a network on checked samples, once; see `fastfnn.Network.evaluate`."""
    plan = plan_evaluation(model, profile(X, model.dtype, is_weighted=y.weights is not None), input_format)
    return evaluate(model, prepare(model, X, plan), y, plan.propagation)
