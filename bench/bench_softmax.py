"""Softmax cross-entropy with its gradient: for few classes and for many, with weights and with smoothed labels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from contenders import JAX, NUMBA, NUMPY, TORCH, TORCH_COMPILE, contenders, operations_of
from fastfnn_kernels import reference
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_close

DTYPE = "float32"

# Elements the reference sees at a time: in float64 it needs several times the memory of its input.
BLOCK = 4_000_000

# Logits are read and gradients are written.
PASSES = 2


@dataclass(frozen=True)
class Case:
    """How many rows and classes, and what is done beside the plain loss."""

    n_rows: int
    n_classes: int
    weighted: bool = False
    label_smoothing: float = 0.0

    @property
    def title(self) -> str:
        """Name of the case in the report."""
        extras = ["weights"] * self.weighted + [f"smoothing {self.label_smoothing}"] * (self.label_smoothing > 0)
        return ", ".join([f"{self.n_rows:,}x{self.n_classes:,}", *extras])


PLAIN_CASES = [Case(1_000_000, 10), Case(4_096, 32_000)]
CASES = [*PLAIN_CASES, Case(1_000_000, 10, weighted=True), Case(1_000_000, 10, label_smoothing=0.1)]


@contenders(NUMBA, NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize("case", CASES, ids=["few-classes", "many-classes", "weights", "smoothing"])
def bench_softmax_cross_entropy(measure: Measure, case: Case, contender: str) -> None:
    run = operations_of(contender).softmax_cross_entropy(*_operands(case), case.label_smoothing)
    expected_loss, expected_grad = _expected(case)

    def check(result: Any) -> None:
        loss, grad = result
        assert_close(loss, expected_loss, TOLERANCES[DTYPE])
        assert_close(grad, expected_grad, TOLERANCES[DTYPE])

    n_bytes = PASSES * np.dtype(DTYPE).itemsize * case.n_rows * case.n_classes
    headline = f"softmax cross-entropy, {case.title}" if case in PLAIN_CASES else ""
    work = Work("softmax cross-entropy", case.title, DTYPE, n_bytes=n_bytes, headline=headline)
    measure(work, contender, run, check)


@functools.lru_cache(maxsize=1)
def _operands(case: Case) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any] | None]:
    """Draw logits, labels and, where the case has them, weights."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((case.n_rows, case.n_classes), dtype=np.float32)
    labels = rng.integers(0, case.n_classes, case.n_rows)
    return logits, labels, rng.random(case.n_rows, dtype=np.float32) if case.weighted else None


@functools.lru_cache(maxsize=1)
def _expected(case: Case) -> tuple[float, NDArray[np.float32]]:
    """Return the float64 loss and gradient, the latter rounded to save memory."""
    logits, labels, weights = _operands(case)
    loss, grad = 0.0, np.empty_like(logits)
    for first in range(0, case.n_rows, BLOCK // case.n_classes):
        rows = slice(first, first + BLOCK // case.n_classes)
        share, grad[rows] = reference.softmax_cross_entropy(
            logits[rows].astype(np.float64),
            labels[rows],
            1 / case.n_rows,
            weights=None if weights is None else weights[rows].astype(np.float64),
            label_smoothing=case.label_smoothing,
        )
        loss += share
    return loss, grad
