"""Optimizer updates: a parameter and its state, changed in place."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from contenders import JAX, NUMBA, NUMPY, TORCH, contenders, operations_of
from fastfnn_kernels import reference
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_changed_alike, assert_close

SIZES = [10_000_000, 203_530]
DTYPE = "float32"


@dataclass(frozen=True)
class Rule:
    """An update rule: how many arrays of state it has, its scalars, and how many arrays it reads and writes."""

    name: str
    n_states: int
    scalars: tuple[float, ...]
    n_transfers: int
    in_headlines: bool = False


LEARNING_RATE = 0.1
# The norm of a whole tensor's gradient divides it, and is in the thousands.
TENSOR_LEARNING_RATE = 100.0
ADAM_SCALARS = (3, LEARNING_RATE, 0.9, 0.999, 1e-8)
RULES = [
    Rule("sgd", 0, (LEARNING_RATE,), n_transfers=3),
    Rule("momentum", 1, (LEARNING_RATE, 0.9), n_transfers=5),
    Rule("rmsprop", 1, (LEARNING_RATE, 0.9, 1e-8), n_transfers=5, in_headlines=True),
    Rule("rmsprop_tensor", 0, (1.0, TENSOR_LEARNING_RATE, 0.9, 1e-8), n_transfers=4),
    Rule("adam", 2, ADAM_SCALARS, n_transfers=7, in_headlines=True),
    Rule("adamw", 2, (*ADAM_SCALARS, 0.01), n_transfers=7),
]
TORCH_HAS_NOT = ("rmsprop_tensor",)
L2 = 0.01


@contenders(NUMBA, NUMPY, TORCH)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("size", SIZES)
def bench_update(measure: Measure, size: int, rule: Rule, contender: str) -> None:
    if contender == TORCH and rule.name in TORCH_HAS_NOT:
        pytest.skip(f"torch has no {rule.name}")
    start = _arrays(size, 2 + rule.n_states)
    arrays = [array.copy() for array in start]

    def restore() -> None:
        for array, value in zip(arrays, start, strict=True):
            np.copyto(array, value)

    def check(replaced: Any) -> None:
        assert_changed_alike(
            replaced if contender == JAX else arrays, _expected(size, rule), start, TOLERANCES[DTYPE]
        )

    run = operations_of(contender).update(rule.name, arrays, *rule.scalars)
    measure(_work(size, rule), contender, run, check, restore)


@contenders(NUMBA, NUMPY, TORCH)
def bench_l2_penalty(measure: Measure, contender: str) -> None:
    parameter, gradient = _arrays(SIZES[0], 2)
    changed, wide = gradient.copy(), gradient.astype(np.float64)
    expected = reference.l2_penalty(parameter.astype(np.float64), wide, L2)

    def check(penalty: Any) -> None:
        assert_close(penalty, expected, TOLERANCES[DTYPE])
        assert_changed_alike([changed], [wide], [gradient], TOLERANCES[DTYPE])

    run = operations_of(contender).l2_penalty(parameter, changed, L2)
    n_bytes = 3 * np.dtype(DTYPE).itemsize * SIZES[0]
    work = Work("penalty", f"l2 {SIZES[0]:,} parameters", DTYPE, n_bytes=n_bytes)
    measure(work, contender, run, check, lambda: np.copyto(changed, gradient))


def _work(size: int, rule: Rule) -> Work:
    case = f"{rule.name} {size:,} parameters"
    n_bytes = rule.n_transfers * np.dtype(DTYPE).itemsize * size
    headline = case if rule.in_headlines and size == SIZES[0] else ""
    return Work("update", case, DTYPE, n_bytes=n_bytes, headline=headline)


@functools.lru_cache(maxsize=1)
def _arrays(size: int, count: int) -> list[NDArray[Any]]:
    """Draw a parameter, its gradient, and states: positive, and away from zero, where libraries' epsilons differ."""
    rng = np.random.default_rng(0)
    signed = [rng.standard_normal(size, dtype=np.float32) for _ in range(2)]
    return signed + [0.5 + rng.random(size, dtype=np.float32) for _ in range(count - 2)]


@functools.lru_cache(maxsize=1)
def _expected(size: int, rule: Rule) -> list[NDArray[np.float64]]:
    arrays = [array.astype(np.float64) for array in _arrays(size, 2 + rule.n_states)]
    getattr(reference, rule.name)(*arrays, *rule.scalars)
    return arrays
