"""Numbers, names and dtypes that users pass: what is accepted, what is refused, and in which words."""

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fastfnn import SGD, Adam, AdamW, Dense, RMSprop, _checks
from fastfnn._checks import (
    check_choice,
    check_count,
    check_flag,
    check_fraction,
    check_held,
    check_non_negative,
    check_optional_count,
    check_optional_positive,
    check_part,
    check_positive,
    check_scale,
    check_share,
    check_whole,
    float_dtype,
    is_whole,
    shown,
    unknown_name,
)

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = [True, False, np.True_, "0.5", b"0.5", "", [0.5], (0.5,), {}, object, 1j, np.ones(2), Ellipsis]
NO_WHOLES = [*NO_NUMBERS, 1.0, 2.5, np.float64(3), NAN, INF, Decimal(2), Fraction(2)]


def from_2_to_5(name, value):
    return check_whole(name, value, 2, 5, ", the classes")


def scale32(name, value):
    return check_scale(name, value, np.dtype(np.float32))


# A function, the values it takes with what it returns, those it refuses, and the end of its sentence.
CHECKS = [
    (
        check_count, [(1, 1), (7, 7), (10**30, 10**30), (np.int8(3), 3), (np.uint64(4), 4)],
        [None, 0, -1, np.int64(0), *NO_WHOLES], "must be a whole number from 1 up; got",
    ),
    (
        check_optional_count, [(None, None), (1, 1), (np.int64(5), 5)],
        [0, -3, *NO_WHOLES], "must be None or a whole number from 1 up; got",
    ),
    (
        check_positive, [(1, 1.0), (5e-324, 5e-324), (1e308, 1e308), (np.float32(0.5), 0.5), (Fraction(1, 2), 0.5)],
        [None, 0, 0.0, -0.0, -1, NAN, INF, -INF, 10**400, *NO_NUMBERS], "must be a finite number above 0; got",
    ),
    (
        check_optional_positive, [(None, None), (2, 2.0), (np.int64(2), 2.0)],
        [0, -1e-300, NAN, INF, *NO_NUMBERS], "must be None or a finite number above 0; got",
    ),
    (
        check_non_negative, [(0, 0.0), (-0.0, 0.0), (3, 3.0), (np.float64(0.25), 0.25)],
        [None, -1e-300, NAN, INF, -INF, *NO_NUMBERS], "must be a finite number from 0 up; got",
    ),
    (
        from_2_to_5, [(2, 2), (5, 5), (np.uint8(3), 3)],
        [None, 1, 6, -3, *NO_WHOLES], "must be a whole number from 2 to 5, the classes; got",
    ),
    (
        check_part, [(5e-324, 5e-324), (0.999, 0.999), (np.float32(0.5), 0.5)],
        [None, 0, 0.0, 1, 1.5, -0.1, NAN, INF, *NO_NUMBERS], "must be a share above 0 and below 1; got",
    ),
    (
        check_share, [(0, 0.0), (0.999, 0.999), (np.float32(0.5), 0.5)],
        [None, 1, 1.0, -0.1, NAN, INF, *NO_NUMBERS], "must lie from 0 to below 1; got",
    ),
    (
        check_fraction, [(0, 0.0), (1, 1.0), (0.999, 0.999), (np.float32(0.5), 0.5)],
        [None, 1.001, -0.1, NAN, INF, *NO_NUMBERS], "must lie from 0 to 1; got",
    ),
    (
        scale32, [(1, 1.0), (-2, -2.0), (1e-45, 1e-45), (3e38, 3e38), (np.float32(0.5), 0.5)],
        [None, 0, -0.0, 4e38, -4e38, NAN, INF, *NO_NUMBERS], "must be a finite number other than 0 in float32; got",
    ),
    (
        check_flag, [(True, True), (False, False), (np.True_, True), (np.False_, False)],
        [None, 0, 1, 1.0, "true", "", [], np.ones(1, bool)], "must be true or false; got",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("check", "accepted", "refused", "words"), CHECKS)
def test_numbers(check, accepted, refused, words):
    for value, expected in accepted:
        returned = check("rate", value)
        assert (returned, type(returned)) == (expected, type(expected))
    for value in refused:
        with pytest.raises(ValueError, match=re.escape(f"rate {words} ")) as caught:
            check("rate", value)
        text = repr(value) if check in (check_count, check_optional_count, from_2_to_5, check_flag) else shown(value)
        assert str(caught.value) == f"rate {words} {text}"


def test_every_check_is_tested_here():
    public = {name for name in vars(_checks) if name.startswith("check_")}
    assert public == {name for name in globals() if name.startswith("check_")}


def test_a_scale_must_fit_into_the_dtype():
    assert check_scale("input_scale", 1e300, np.dtype(np.float64)) == 1e300
    with pytest.raises(ValueError, match=r"input_scale must be a finite number other than 0 in float32; got 1e\+300"):
        scale32("input_scale", 1e300)


def test_numbers_that_a_dtype_holds():
    single = np.dtype(np.float32)
    check_held("Adam: ", {"epsilon": 1e-8, "rate": 0.0}, single)
    check_held("Adam: ", {"beta": 0.999}, single, below=1)
    for value in (1e-60, 1e60):
        with pytest.raises(ValueError, match=r"Adam: epsilon must be a number that float32 can hold; got 1e[-+]60"):
            check_held("Adam: ", {"epsilon": value}, single)
        check_held("Adam: ", {"epsilon": value}, np.dtype(np.float64))
    with pytest.raises(ValueError, match=r"Adam: beta must be .*float32.*; got 0.99999999999"):
        check_held("Adam: ", {"beta": 0.99999999999}, single, below=1)


@pytest.mark.parametrize("choices", [("min", "max"), ["min", "max"], {"min": 1, "max": 2}])
def test_choices(choices):
    assert check_choice("mode", "min", choices) is None
    for value in ("mini", "", "Max", None, 3):
        with pytest.raises(ValueError, match=re.escape(f"mode must be one of min, max; got {value!r}")):
            check_choice("mode", value, choices)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("huberr", "unknown loss 'huberr': did you mean 'huber'? loss must be one of huber, poisson"),
        ("POISON", "unknown loss 'POISON': did you mean 'poisson'? loss must be one of huber, poisson"),
        ("hinge loss", "unknown loss 'hinge loss': loss must be one of huber, poisson"),
        (None, "unknown loss None: loss must be one of huber, poisson"),
        (["huber"], "unknown loss ['huber']: loss must be one of huber, poisson"),
    ],
)
def test_unknown_names(name, message):
    error = unknown_name("loss", name, ("huber", "poisson"))
    assert type(error) is ValueError
    assert str(error) == message


@pytest.mark.parametrize("given", ["float32", "f4", np.float32, np.dtype(np.float32), "<f4"])
def test_dtypes(given):
    assert float_dtype(given) == np.dtype("float32")
    assert isinstance(float_dtype(given), np.dtype)
    assert float_dtype("float64") == float_dtype(float) == float_dtype(np.float64) == np.float64


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("float16", "float16"),
        (int, "int64"),
        (np.complex64, "complex64"),
        ("float31", "float31"),
        ("", ""),
        (None, "None"),
        (32, "32"),
        ([], "[]"),
        (">f4", ">f4"),
        (object, "<class 'object'>"),
    ],
)
def test_other_dtypes(given, words):
    with pytest.raises(ValueError, match="dtype must be float32 or float64; got ") as caught:
        float_dtype(given)
    assert str(caught.value) == f"dtype must be float32 or float64; got {words}"


def test_whole_numbers():
    assert all(map(is_whole, (0, -3, 10**30, np.int8(1), np.uint64(2))))
    assert not any(map(is_whole, (True, np.True_, 1.0, np.float64(1), "1", None, Decimal(1))))


def test_values_as_they_are_shown():
    assert [shown(value) for value in (0.5, 3, np.float32(0.5), np.int64(3), "a", None)] == [
        "0.5", "3", "0.5", "3", "'a'", "None",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RMSprop(reset_every=True), "reset_every must be None or a whole number from 1 up; got True"),
        (lambda: RMSprop(reset_every=2.0), "reset_every must be None or a whole number from 1 up; got 2.0"),
        (lambda: RMSprop(granularity="layer"), "granularity must be one of element, tensor; got 'layer'"),
        (lambda: RMSprop(initial=True), "initial must be a finite number from 0 up; got True"),
        (lambda: SGD(True), "learning_rate must be a finite number above 0; got True"),
        (lambda: SGD("0.1"), "learning_rate must be a finite number above 0; got '0.1'"),
        (lambda: SGD(0.1, nesterov=1), "nesterov must be true or false; got 1"),
        (lambda: SGD(0.1, momentum=True), "momentum must lie from 0 to 1; got True"),
        (lambda: SGD(0.1, velocity=True), "velocity must be one of gradients, steps; got True"),
        (lambda: Adam(epsilon_hat=1), "epsilon_hat must be true or false; got 1"),
        (lambda: AdamW(epsilon_hat="no"), "epsilon_hat must be true or false; got 'no'"),
        (lambda: Adam(epsilon="1e-8"), "epsilon must be a finite number above 0; got '1e-8'"),
        (lambda: Dense(2, 3, learning_rate_factor=True), "learning_rate_factor must be a finite number from 0 up"),
        (lambda: Dense(2, 3, use_bias=0), "use_bias must be true or false; got 0"),
        (lambda: Dense(2, 3, use_bias="no"), "use_bias must be true or false; got 'no'"),
        (lambda: SGD(0.1, 0.5, "no"), "nesterov must be true or false; got 'no'"),
        (lambda: Dense(True, 3), "n_inputs must be a whole number from 1 up; got True"),
    ],
)
def test_booleans_and_texts_are_no_numbers(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
