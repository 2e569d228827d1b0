"""A whole small network with its loss: all gradients of a step of two recipes, `digits` and `spiral`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from contenders import JAX, NUMBA, NUMPY, TORCH, TORCH_COMPILE, contenders, operations_of
from measurement import Measure, Work
from verification import TOLERANCES, assert_close

DTYPE = "float32"

# Rows, widths and activations.
NETWORKS = [
    (718, (64, 64, 32, 10), ("sigmoid", "sigmoid", "sigmoid")),
    (600, (2, 200, 3), ("relu", "identity")),
]


@contenders(NUMBA, NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize(("n_rows", "widths", "activations"), NETWORKS, ids=["digits", "spiral"])
def bench_small_network(
    measure: Measure, contender: str, n_rows: int, widths: tuple[int, ...], activations: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((n_rows, widths[0]), np.float32), rng.integers(0, widths[-1], n_rows)
    weights = [rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0])) for shape in pairwise(widths)]
    biases = [0.1 * rng.standard_normal(width, np.float32) for width in widths[1:]]
    run = operations_of(contender).stack_cross_entropy(x, weights, biases, activations, labels)
    exact = operations_of(NUMPY).stack_cross_entropy(
        x.astype(np.float64), _float64(weights), _float64(biases), activations, labels
    )
    loss, *gradients = exact()

    def check(result: Any) -> None:
        actual_loss, *actual_gradients = result
        assert_close(actual_loss, loss, TOLERANCES[DTYPE])
        for actual, wanted in zip(actual_gradients, gradients, strict=True):
            assert_close(actual, wanted, TOLERANCES[DTYPE])

    case = f"{'-'.join(map(str, widths))} {activations[0]}, {n_rows} rows, {DTYPE}"
    work = Work("small network, loss and gradients", case, DTYPE, flop=_flop(n_rows, widths))
    measure(work, contender, run, check)


def _flop(n_rows: int, widths: tuple[int, ...]) -> float:
    """Count the products: two for each layer, and the inputs' gradient but for the first."""
    sizes = [n_inputs * n_outputs for n_inputs, n_outputs in pairwise(widths)]
    return 2.0 * n_rows * (3 * sum(sizes) - sizes[0])


def _float64(arrays: list[Any]) -> list[Any]:
    return [array.astype(np.float64) for array in arrays]
