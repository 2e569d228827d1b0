"""Optimizer updates, against formulas written out in longdouble."""

import numpy as np
import pytest
from arrays import Unchanged, normals, read_only
from fastfnn_kernels import jitted
from fastfnn_kernels.jitted.updates import BLOCK
from fastfnn_kernels.runtime import threads
from fastfnn_kernels.runtime.cpu_count import most_threads
from tolerances import assert_elements_close

SHAPES = [(0,), (1,), (7, 3), (BLOCK - 1,), (BLOCK,), (BLOCK + 1,), (300, 500)]


def sgd(w, g, state, lr):
    return w - lr * g, []


def momentum(w, g, state, lr, mu, nesterov, of_steps=False):
    if of_steps:
        v = mu * state[0] + lr * g
        return w - (lr * g + mu * v if nesterov else v), [v]
    v = mu * state[0] + g
    return w - lr * (g + mu * v if nesterov else v), [v]


def rmsprop(w, g, state, lr, rho, eps):
    s = rho * state[0] + (1 - rho) * g**2
    return w - lr * g / np.sqrt(s + eps), [s]


def adamw(w, g, state, t, lr, b1, b2, eps, decay=0.0):
    m, v = b1 * state[0] + (1 - b1) * g, b2 * state[1] + (1 - b2) * g**2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    return w - lr * decay * w - lr * m_hat / (np.sqrt(v_hat) + eps), [m, v]


CASES = {
    "sgd": ("sgd", sgd, 0, (0.1,)),
    "momentum": ("momentum", momentum, 1, (0.1, 0.9, False)),
    "nesterov": ("momentum", momentum, 1, (0.1, 0.9, True)),
    "velocity of steps": ("momentum", momentum, 1, (0.1, 0.9, False, True)),
    "nesterov, velocity of steps": ("momentum", momentum, 1, (0.1, 0.9, True, True)),
    "rmsprop": ("rmsprop", rmsprop, 1, (0.1, 0.9, 1e-6)),
    "adam first step": ("adam", adamw, 2, (1, 0.1, 0.9, 0.999, 1e-8)),
    "adam later step": ("adam", adamw, 2, (1000, 0.1, 0.9, 0.999, 1e-8)),
    "adamw": ("adamw", adamw, 2, (3, 0.1, 0.9, 0.999, 1e-8, 0.05)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_update_is_the_formula(kernels, case, shape, dtype, threads, rng):
    name, formula, n_states, scalars = CASES[case]
    parameter, gradient = normals(rng, shape, dtype), read_only(normals(rng, shape, dtype))
    state = [np.abs(normals(rng, shape, dtype)) for _ in range(n_states)]
    unchanged = Unchanged(gradient)
    wide = [array.astype(np.longdouble) for array in (parameter, gradient, *state)]
    expected, expected_state = formula(wide[0], wide[1], wide[2:], *scalars)
    same_signs = (-np.abs(wide[0]), np.abs(wide[1]), [np.abs(each) for each in wide[2:]])
    size_of_terms = np.abs(formula(*same_signs, *scalars)[0])
    assert getattr(kernels, name)(parameter, gradient, *state, *scalars) is None
    assert_elements_close(parameter, expected, scale=size_of_terms)
    for actual, wanted, before in zip(state, expected_state, wide[2:], strict=True):
        assert_elements_close(actual, wanted, scale=np.abs(wide[1]) + np.abs(before))
    unchanged.check()


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_velocity_of_steps_moves_on_without_a_learning_rate(kernels, nesterov, dtype):
    parameter, gradient, velocity = np.full(9, 3, dtype), np.full(9, 8, dtype), np.full(9, 4, dtype)
    kernels.momentum(parameter, gradient, velocity, 0.0, 0.5, nesterov, True)
    assert velocity.tolist() == [2] * 9
    assert parameter.tolist() == [2 if nesterov else 1] * 9


@pytest.mark.parametrize("shape", SHAPES)
def test_rmsprop_tensor_is_the_formula(kernels, shape, dtype, threads, rng):
    parameter, gradient = normals(rng, shape, dtype), read_only(normals(rng, shape, dtype))
    before = parameter.astype(np.longdouble)
    unchanged = Unchanged(gradient)
    mean_square = 0.9 * 2.0 + 0.1 * float((gradient.astype(np.longdouble) ** 2).sum())
    assert kernels.rmsprop_tensor(parameter, gradient, 2.0, 0.5, 0.9, 1e-3) == pytest.approx(mean_square, rel=1e-12)
    step = 0.5 / np.sqrt(mean_square + 1e-3) * gradient.astype(np.longdouble)
    assert_elements_close(parameter, before - step, scale=np.abs(before) + np.abs(step))
    unchanged.check()


@pytest.mark.parametrize("shape", SHAPES)
def test_squared_norm_is_summed_in_float64(kernels, shape, dtype, threads, rng):
    values = read_only(1e25 * normals(rng, shape, dtype))
    exact = float((values.astype(np.longdouble) ** 2).sum())
    assert kernels.squared_norm(values) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_l2_penalty_is_the_formula(kernels, shape, dtype, threads, rng):
    parameter, gradient = read_only(normals(rng, shape, dtype)), normals(rng, shape, dtype)
    wide, before = parameter.astype(np.longdouble), gradient.astype(np.longdouble)
    unchanged = Unchanged(parameter)
    assert kernels.l2_penalty(parameter, gradient, 0.3) == pytest.approx(float(0.15 * (wide**2).sum()), rel=1e-13)
    added = float(dtype.type(0.3)) * wide
    assert_elements_close(gradient, before + added, scale=np.abs(before) + np.abs(added))
    unchanged.check()


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("case", CASES)
def test_nan_and_inf_stay_in_their_element(kernels, case, special, dtype):
    name, _, n_states, scalars = CASES[case]
    parameter, gradient = np.ones(20, dtype), np.ones(20, dtype)
    gradient[5] = special
    getattr(kernels, name)(parameter, gradient, *(np.ones(20, dtype) for _ in range(n_states)), *scalars)
    assert np.isfinite(np.delete(parameter, 5)).all()
    assert not np.isfinite(parameter[5])


def test_rmsprop_tensor_takes_the_norm_of_the_whole_tensor(kernels, dtype):
    parameter = np.zeros((2, 2), dtype)
    gradient = np.array([[3, 0], [0, 4]], dtype)
    assert kernels.rmsprop_tensor(parameter, gradient, 1.0, 1.0, 0.5, 3.0) == 13.0
    assert parameter.tolist() == [[-0.75, 0], [0, -1.0]]


def test_sums_of_squares_do_not_depend_on_the_number_of_threads(dtype, rng):
    values = normals(rng, 1_000_003, dtype)
    results = set()
    for n in range(1, most_threads() + 1):
        with threads(n):
            results.add(jitted.squared_norm(values))
    assert len(results) == 1
