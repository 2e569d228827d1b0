import json
import math

import pytest

from fastfnn._checks import check_count, check_share
from fastfnn.files.described import (
    LONGEST_REASON,
    check_fields,
    check_finite_number,
    check_number,
    check_object,
    check_text,
    faults_naming,
    fields_of,
    in_brief,
    is_same,
    list_of,
    none_or,
    one_of,
    parse_json,
    values_of,
)


@pytest.mark.parametrize("text", ['{"a": {"b": [1, 2.5, null, true, "x"]}}', "3", '"x"', "[]", "{}", "NaN", "1e999"])
def test_json(text):
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ('{"a": 1, "a": 1}', "has the field 'a' twice"),
        ('[{"b": {"a": 1, "c": 2, "a": 3}}]', "has the field 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 5000, "4300 digits"),
    ],
)
def test_json_that_is_none(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


FIELDS = {"width": check_count, "rate": check_share}
MORE = {"name": check_text}


def test_fields():
    assert check_fields("it", {"rate": 0.5, "width": 3}, FIELDS) == {"rate": 0.5, "width": 3}
    whole = {"width": 3, "rate": 0.5, "name": "x"}
    assert check_fields("it", whole, FIELDS, MORE) == fields_of(FIELDS, MORE)("it", whole) == whole


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "it must be an object; got list"),
        (None, "it must be an object; got NoneType"),
        ({}, "it must have the field 'width'; got none"),
        ({"width": 3, "name": "x"}, "it must have the field 'rate'; got 'width', 'name'"),
        (
            {"width": 3, "rate": 0.5, "depth": 1},
            "it has the unknown field 'depth'; known are 'width', 'rate', 'name'",
        ),
        ({"width": 0, "rate": 0.5}, r"it\.width must be a whole number from 1 up; got 0"),
        ({"width": 3, "rate": math.nan}, r"it\.rate must lie from 0 to below 1; got nan"),
        ({"width": 3, "rate": 0.5, "name": None}, r"it\.name must be a text; got None"),
    ],
)
def test_fields_that_do_not_fit(value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_fields("it", value, FIELDS, MORE)


RIGHT = [
    (check_number, 0), (check_number, -1.5), (check_number, math.nan), (check_number, -math.inf),
    (check_number, 2**70), (check_finite_number, 0), (check_finite_number, -1e308), (check_finite_number, 5e-324),
    (check_text, ""), (check_text, "x\ud800"), (check_object, {}), (check_object, {"a": None}),
    (one_of(("a", "b")), "b"), (none_or(check_count), None), (none_or(check_count), 3),
    (list_of(check_count), []), (list_of(check_count), [1, 2]), (list_of(check_count, 2), [1, 2]),
    (list_of(none_or(check_number)), [None, 2.0]), (values_of(check_count), {}), (values_of(check_count), {"a": 1}),
    (values_of(list_of(check_text)), {"a": ["x"], "b": []}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "value"), RIGHT)
def test_values_that_fit(check, value):
    assert repr(check("it", value)) == repr(value)


WRONG = [
    (check_number, True, "it must be a number; got True"),
    (check_number, "1", "it must be a number; got '1'"),
    (check_number, None, "it must be a number; got None"),
    (check_number, [1.0], r"it must be a number; got \[1\.0\]"),
    (check_number, 10**400, "it must be a number that a float can hold; got 10+"),
    (check_finite_number, math.inf, "it must be a finite number; got inf"),
    (check_finite_number, math.nan, "it must be a finite number; got nan"),
    (check_finite_number, -(10**400), "it must be a number that a float can hold; got -10+"),
    (check_finite_number, False, "it must be a number; got False"),
    (check_text, 1, "it must be a text; got 1"),
    (check_text, ["x"], r"it must be a text; got \['x'\]"),
    (one_of(("a", "b")), "c", "it must be one of 'a', 'b'; got 'c'"),
    (one_of(("a", "b")), ["a"], r"it must be a text; got \['a'\]"),
    (list_of(check_count), {}, "it must be a list; got dict"),
    (list_of(check_count), "12", "it must be a list; got str"),
    (list_of(check_count, 2), [1], "it must be a list of 2; got 1"),
    (list_of(check_count), [1, 0], r"it\[1\] must be a whole number from 1 up; got 0"),
    (values_of(check_count), [1], "it must be an object; got list"),
    (values_of(list_of(check_count)), {"a": [1, True]}, r"it\['a'\]\[1\] must be a whole number from 1 up; got True"),
    (none_or(check_count), 0, "it must be a whole number from 1 up; got 0"),
]


@pytest.mark.parametrize(("check", "value", "message"), WRONG)
def test_values_that_do_not_fit(check, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check("it", value)


def test_long_texts_are_cut_and_put_on_one_line():
    assert in_brief("a  b\nc\td") == "a b c d"
    cut = in_brief("begin" + "x" * 10**6 + "end")
    assert cut.startswith("beginx")
    assert cut.endswith("xend")
    assert len(cut) == LONGEST_REASON + len(" ... ")
    assert in_brief("0123456789", 10) == "0123456789"
    assert in_brief("0123456789_", 10) == "01234 ... 6789_"


def test_quoted_characters_are_printable():
    assert in_brief("red \x1b[31m \ud800 \u202e\x07 é 漢") == r"red \x1b[31m \ud800 \u202e\x07 é 漢"


@pytest.mark.parametrize(
    ("value", "described", "expected"),
    [
        (1, 1.0, True),
        (True, True, True),
        (True, 1, False),
        (0.0, False, False),
        ([1, {"a": 0}], [1, {"a": 0}], True),
        ([1, {"a": 0}], [1, {"a": False}], False),
        ([1], [1, 2], False),
        ({"a": None}, {"b": None}, False),
        ([], {}, False),
        ("1", 1, False),
    ],
)
def test_values_of_json_that_are_the_same(value, described, expected):
    assert is_same(value, described) is expected


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError, RecursionError, UnicodeError])
def test_faults_of_a_file_become_one_error_that_names_it(error):
    with pytest.raises(ValueError, match=r"^a/b is bad: it is so$") as caught, faults_naming("a/b", "is bad"):
        raise error("it is\nso")
    assert type(caught.value) is ValueError
    assert type(caught.value.__cause__) is error


def test_missing_memory_is_named():
    message = r"^a/b is bad: it needs more memory than there is$"
    with pytest.raises(ValueError, match=message), faults_naming("a/b", "is bad"):
        raise MemoryError


@pytest.mark.parametrize("error", [KeyError, AttributeError, OSError, KeyboardInterrupt, ZeroDivisionError])
def test_other_errors_are_not_blamed_on_the_file(error):
    with pytest.raises(error), faults_naming("a/b", "is no model"):
        raise error
