"""Many steps on batches with any rule by one call: as the reference takes them, and as calls of one step each."""

import math
import sys
from unittest import mock

import numpy as np
import pytest
from arrays import Unchanged, read_only
from batch_cases import ALL_LOSSES, NUMBERS, RATE, SMOOTH, cases, plain_case, rule_with, whole_cases
from fastfnn_kernels import jitted, reference, runtime
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.jitted._compile import jit
from fastfnn_kernels.jitted._products import division
from hypothesis import assume, given
from hypothesis import strategies as st

each_rule = pytest.mark.parametrize("rule", NUMBERS)
each_loss = pytest.mark.parametrize("loss", ALL_LOSSES)
VARIANTS = {"serial": sys.maxsize, "parallel": 0}


def in_variant(variant):
    return mock.patch.object(jit, "PARALLEL_OPERATIONS", VARIANTS[variant])


def outcome(case, values, n_correct):
    """Return the bits of all that a call returns and writes."""
    return [array.tobytes() for array in (values, n_correct, *case.written)]


def assert_close(actual, expected, dtype, n_steps):
    """Check numbers after some steps, each of which may add some roundings of the largest."""
    limit = 64 * n_steps * float(np.finfo(dtype).eps) * max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit, equal_nan=False)


@each_rule
@each_loss
@pytest.mark.parametrize("variant", VARIANTS)
@given(data=st.data())
def test_steps_are_those_of_the_reference(variant, rule, loss, data):
    case = data.draw(cases(rule, [loss], SMOOTH))
    dtype, between, unchanged = case.x.dtype, case.between, Unchanged(*case.read)
    others = [array[between] for array in case.written if array.size == between.size]
    wide = case.in_float64()
    expected_values, expected_correct = reference.train_batches(*wide)
    assume(all(np.abs(numbers).max() < 64 for numbers in (expected_values, *wide.written)))  # it has not diverged
    packed = data.draw(st.booleans()) and case.can_be_packed
    with in_variant(variant):
        values, n_correct = jitted.train_batches(*case.arguments(packed))
    assert (values.dtype, n_correct.dtype) == (np.float64, np.int64)
    if dtype == np.float64:  # in float32, more outputs of a row may be equal
        assert n_correct.tolist() == expected_correct.tolist()
    assert_close(values, expected_values, dtype, len(values))
    for array, wanted in zip(case.written, wide.written, strict=True):
        assert_close(array, wanted, dtype, len(values))
    assert all(array[between].tobytes() == old.tobytes() for array, old in zip(case.written, others, strict=False))
    unchanged.check()


@each_rule
@given(data=st.data())
def test_steps_of_one_call_are_those_of_one_call_each(rule, data):
    case = data.draw(cases(rule))
    packed, alone = data.draw(st.booleans()) and case.can_be_packed, case.copied()
    result = outcome(case, *jitted.train_batches(*case.arguments(packed)))
    steps = (step.arguments(packed) for step in alone.steps())
    values, n_correct = zip(*(jitted.train_batches(*arguments) for arguments in steps), strict=True)
    assert result == outcome(alone, np.concatenate(values), np.concatenate(n_correct))


@each_rule
@given(data=st.data())
def test_one_and_two_threads_give_the_same_bits(rule, data):
    """More threads are those of `test_many_threads`."""
    case = data.draw(cases(rule))
    packed, results = data.draw(st.booleans()) and case.can_be_packed, []
    with in_variant("parallel"):
        for n_threads in (1, 2):
            copy = case.copied()
            with runtime.threads(n_threads):
                results.append(outcome(copy, *jitted.train_batches(*copy.arguments(packed))))
    assert results[0] == results[1]


@pytest.mark.parametrize("rule", ["sgd", "momentum"])
@pytest.mark.parametrize("variant", VARIANTS)
@given(data=st.data())
def test_whole_numbers_are_exact(variant, rule, data):
    case = data.draw(whole_cases(rule))
    wide = case.in_float64()
    with in_variant(variant):
        values, n_correct = jitted.train_batches(*case)
    expected_values, expected_correct = reference.train_batches(*wide)
    assert values.tolist() == expected_values.tolist()
    assert n_correct.tolist() == expected_correct.tolist()
    for array, wanted in zip(case.written, wide.written, strict=True):
        assert np.array_equal(array, wanted)


@each_rule
@pytest.mark.parametrize("variant", VARIANTS)
@given(data=st.data(), special=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_inf_go_where_the_reference_sends_them(variant, rule, data, special):
    case = next(data.draw(cases(rule)).steps()).copied()
    places = [case.x[case.rows[0]], case.parameters]
    if case.losses.name != SOFTMAX_CROSS_ENTROPY:
        places.append(case.losses.targets)
    place = data.draw(st.sampled_from(places)).reshape(-1)
    place[data.draw(st.integers(0, place.size - 1))] = special
    other = case.copied()
    with in_variant(variant):
        results = [jitted.train_batches(*case), reference.train_batches(*other)]
    assert results[0][1].tolist() == results[1][1].tolist()
    for array, wanted in zip([results[0][0], *case.written], [results[1][0], *other.written], strict=True):
        assert np.array_equal(np.isnan(array), np.isnan(wanted))
        assert np.array_equal(np.isinf(array), np.isinf(wanted))


@pytest.mark.parametrize("loss", ALL_LOSSES)
@given(data=st.data())
def test_the_gradient_is_the_derivative(loss, data):
    """Central differences of the returned loss, in float64; where it is clipped, it is not the derivative."""
    case = next(data.draw(cases("sgd", [loss], SMOOTH)).steps()).in_float64()
    assume(all(layer.activation != "relu" for layer in case.stack.layers))  # it has a kink
    options = case.options._replace(clip_value=np.inf, clip_norm=np.inf)
    losses = case.losses._replace(value_factor=case.losses.gradient_factor)
    case = case._replace(rule=case.rule._replace(learning_rate=0.0), options=options, losses=losses)
    place = data.draw(st.sampled_from(np.flatnonzero(~case.between).tolist()))
    for kernels in (jitted, reference):
        values = []
        for step in (1e-6, -1e-6):
            moved = case.copied()
            moved.parameters[place] += step
            values.append(kernels.train_batches(*moved)[0][0])
        kernels.train_batches(*case)
        assert case.gradient[place] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-6)


WORKED = {
    "plain": ({}, None, 1, 4, 2),
    "a penalty of the weights": ({"l2": 0.5}, None, 2, 5, 2),
    "a penalty of the biases": ({"l2_bias": 0.5}, None, 1.25, 4, 2.5),
    "a penalty of the sum": ({"l2": 0.5, "l2_of_sum": True}, None, 1.5, 4.5, 2),
    "clipped": ({"clip_value": 3.0}, None, 1, 3, 2),
    "bounded": ({"clip_norm": math.sqrt(5)}, None, 1, 2, 1),
    "clipped and bounded": ({"clip_value": 3.0, "clip_norm": math.sqrt(13) / 2}, None, 1, 1.5, 1),
    "weights": ({}, [1, 3], 1, 5, 2),
    "no weight": ({}, [0, 0], 0, 0, 0),
    "no weight, and a penalty": ({"l2": 0.5}, [0, 0], 1, 1, 0),
    "no weight, and a penalty of the sum": ({"l2": 0.5, "l2_bias": 0.5, "l2_of_sum": True}, [0, 0], 0, 0, 0),
}


@pytest.mark.parametrize(("options", "weights", "loss", "of_weight", "of_bias"), WORKED.values(), ids=WORKED)
def test_worked_example(kernels, options, weights, loss, of_weight, of_bias, dtype):
    """The outputs 2 x + 1 are 3 and 7, each 1 above its target."""
    parameters, gradient = np.array([1, 99, 2], dtype), np.array([7, 77, 7], dtype)
    weights = None if weights is None else np.array(weights, dtype)
    losses = RowLosses("squared_error", np.array([[2], [6]], dtype), weights)
    stack = Stack(1, (StackLayer(1, "identity", 2, 0),))
    x, rows = np.array([[3], [1]], dtype), np.array([1, 0])
    arguments = (losses, stack, parameters, gradient, Rule("sgd", 0.5, {}, (), 0), StepOptions(2, **options))
    values, n_correct = kernels.train_batches(x, rows, *arguments)
    assert values == pytest.approx([loss], rel=1e-15)
    assert n_correct.tolist() == [0]
    assert gradient == pytest.approx([of_bias, 77, of_weight], rel=1e-6)
    assert parameters == pytest.approx([1 - of_bias / 2, 99, 2 - of_weight / 2], rel=1e-6, abs=1e-6)


def test_correct_rows_have_all_outputs_on_the_right_side_of_0(kernels, dtype):
    x = np.array([[1, -1], [1, 1], [0, 1], [0, 1], [-1, -1]], dtype)
    targets = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0.5, 0]], dtype)
    losses, stack = RowLosses("binary_cross_entropy", targets), Stack(2, (StackLayer(2, "identity", 0),))
    parameters = np.eye(2, dtype=dtype).reshape(-1)
    rule = Rule("sgd", 0.0, {}, (), 0)
    arguments = (losses, stack, parameters, np.zeros_like(parameters), rule, StepOptions(4))
    assert kernels.train_batches(x, np.arange(5), *arguments)[1].tolist() == [2, 1]


def dense(*widths, factor=1.0):
    return [StackLayer(width, "tanh", 0, 0, learning_rate_factor=factor) for width in widths]


@each_rule
def test_layers_that_do_not_learn_stay_and_are_not_clipped(kernels, rule, dtype, rng):
    case = plain_case(rng, 7, [*dense(40), *dense(30, factor=0.0), *dense(4)], 50, dtype)
    numbers = {number: values[0] for number, values in NUMBERS[rule].items()}
    case = case._replace(rule=rule_with(rng, rule, numbers, case.stack, case.parameters))
    free, before = case.copied(), case.copied()
    kernels.train_batches(*free)
    kernels.train_batches(*case._replace(options=StepOptions(50, clip_value=0.01, clip_norm=0.03)))
    squared_norm = 0.0
    vectors = (case.gradient, free.gradient, case.parameters, before.parameters)
    for of_tensor in zip(*map(case.stack.tensors, vectors), strict=True):
        gradient, unclipped, parameters, old = (array for _, array, _ in of_tensor)
        learns = case.stack.layers[of_tensor[0][0]].learning_rate_factor != 0
        assert np.array_equal(parameters, old) != learns
        if learns:
            ratio = gradient / np.clip(unclipped, -0.01, 0.01)
            assert ratio == pytest.approx(np.full_like(ratio, ratio.flat[0]), rel=1e-5)
            squared_norm += float((gradient.astype(np.float64) ** 2).sum())
        else:
            assert np.array_equal(gradient, unclipped)
    assert squared_norm == pytest.approx(0.03**2, rel=1e-5)


@pytest.mark.parametrize("of_steps", [False, True])
def test_a_velocity_of_steps_of_a_frozen_layer_stays(kernels, of_steps, dtype, rng):
    case = plain_case(rng, 7, dense(5, factor=0.0), 9, dtype)
    numbers = {"momentum": 0.5, "nesterov": True, "velocity_of_steps": of_steps}
    case = case._replace(rule=rule_with(rng, "momentum", numbers, case.stack, case.parameters))
    before = case.copied()
    kernels.train_batches(*case)
    assert np.array_equal(case.rule.states[0], before.rule.states[0]) == of_steps
    assert np.array_equal(case.parameters, before.parameters)


@pytest.mark.parametrize("epsilon_hat", [False, True])
def test_epsilon_hat_is_added_to_the_uncorrected_root(kernels, epsilon_hat, dtype, rng):
    """The fifth and sixth steps, with a large epsilon; Kingma & Ba, at the end of section 2."""
    case = plain_case(rng, 7, dense(5), 9, dtype)
    numbers = {"beta1": 0.5, "beta2": 0.75, "epsilon": 0.5, "weight_decay": 0.0, "epsilon_hat": epsilon_hat}
    rule = rule_with(rng, "adamw", numbers, case.stack, case.parameters)._replace(n_before=4)
    case = case._replace(rule=rule, options=StepOptions(5))
    for step in case.steps():
        old, (m, v) = case.parameters.astype(np.longdouble), [s.astype(np.longdouble) for s in case.rule.states]
        kernels.train_batches(*step)
        g, t = case.gradient.astype(np.longdouble), step.rule.n_before + 1
        m, v = 0.5 * m + 0.5 * g, 0.75 * v + 0.25 * g**2
        root = np.sqrt(v) / np.sqrt(1 - np.longdouble(0.75) ** t)
        epsilon = 0.5 / np.sqrt(1 - np.longdouble(0.75) ** t) if epsilon_hat else 0.5
        wanted = old - RATE * m / (1 - np.longdouble(0.5) ** t) / (root + epsilon)
        places = ~case.between
        assert_close(case.parameters[places], wanted[places], dtype, 1)
        for state, expected in zip(case.rule.states, (m, v), strict=True):
            assert_close(state[places], expected[places], dtype, 1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("widths", [[1100, 20, 300], [20, 1100, 2]])
def test_layers_and_batches_longer_than_a_chunk(variant, widths, dtype, rng):
    case = plain_case(rng, widths[0], dense(*widths[1:]), 1300, dtype)
    losses = RowLosses(SOFTMAX_CROSS_ENTROPY, rng.integers(0, widths[-1], 1300))
    case = case._replace(losses=losses, options=StepOptions(1200, l2=0.125, clip_norm=0.5))
    wide = case.in_float64()
    with in_variant(variant):
        values, n_correct = jitted.train_batches(*case)
    expected_values, expected_correct = reference.train_batches(*wide)
    assert n_correct.tolist() == expected_correct.tolist()
    assert_close(values, expected_values, dtype, 2)
    for array, wanted in zip(case.written, wide.written, strict=True):
        assert_close(array, wanted, dtype, 2)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("width", "clip_value"), [(40, np.inf), (40, 0.001), (9, np.inf)])
def test_gradient_descent_on_packed_inputs_leaves_the_weights_of_others(variant, width, clip_value, dtype, rng):
    """More inputs than a few blocks have; one in five is zero in all rows, and most are in a batch.

    Two threads share the only panel of nine columns.
    """
    case = plain_case(rng, 900, dense(width, 3), 60, dtype)
    case.x[rng.random(case.x.shape) < 0.97] = 0
    case.x[:, ::5] = 0
    case = case._replace(options=StepOptions(20, clip_value=clip_value))
    alone, wide, before = case.copied(), case.in_float64(), case.copied()
    with in_variant(variant), mock.patch.multiple(division, TIME_OF_BARRIER=0, TIME_OF_LINE=0):
        values, n_correct = jitted.train_batches(*case.arguments(packed=True))
        steps = [jitted.train_batches(*step.arguments(packed=True)) for step in alone.steps()]
    assert outcome(alone, *map(np.concatenate, zip(*steps, strict=True))) == outcome(case, values, n_correct)
    expected, _ = reference.train_batches(*wide)
    assert_close(values, expected, dtype, 3)
    for array, wanted in zip(case.written, wide.written, strict=True):
        assert_close(array, wanted, dtype, 3)
    first, old = (next(iter(call.stack.tensors(call.parameters)))[1] for call in (case, before))
    assert np.array_equal((first != old).any(axis=1), (case.x[case.rows] != 0).any(axis=0))


def test_no_rows_change_nothing(kernels, dtype, rng):
    case = plain_case(rng, 7, dense(5, 4), 0, dtype)._replace(options=StepOptions(8))
    unchanged = Unchanged(*case.written)
    values, n_correct = kernels.train_batches(*case)
    assert (values.dtype, values.shape) == (np.float64, (0,))
    assert (n_correct.dtype, n_correct.shape) == (np.int64, (0,))
    unchanged.check()


def test_samples_are_only_read_and_only_those_of_the_rows(kernels, dtype, rng):
    case = plain_case(rng, 7, [*dense(5), StackLayer(5, drop_rate=0.5), *dense(4)], 20, dtype)
    losses = case.losses._replace(weights=rng.random(20).astype(dtype))
    case.x[3], case.rows[:] = np.nan, 5
    named = case._replace(losses=losses, options=StepOptions(6, seeds=rng.integers(0, 2**63, (4, 3))))
    unchanged = Unchanged(*named.read)
    held = named._replace(
        x=read_only(named.x),
        rows=read_only(named.rows),
        losses=RowLosses(losses.name, read_only(losses.targets), read_only(losses.weights)),
        options=StepOptions(6, seeds=read_only(named.options.seeds)),
    )
    values, _ = kernels.train_batches(*held)
    assert np.isfinite(values).all()
    assert all(np.isfinite(array).all() for array in named.written)
    unchanged.check()


def test_a_penalty_that_is_0_has_no_part_of_an_earlier_one(kernels):
    """The squares of the first step's biases overflow; in the second step, no row has a weight."""
    case = plain_case(np.random.default_rng(1), 3, dense(2), 4, np.float64)
    case.parameters[case.stack.layers[0].bias_at] = 1e200
    losses = case.losses._replace(weights=np.array([1.0, 1.0, 0.0, 0.0]))
    values, _ = kernels.train_batches(
        *case._replace(losses=losses, options=StepOptions(2, l2_bias=0.5, l2_of_sum=True))
    )
    assert values.tolist() == [np.inf, 0]
