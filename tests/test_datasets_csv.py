import csv
import gzip
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfnn.datasets import files, kaggle_csv, read_csv


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("csv") / "train.csv"


def read_text(file, text, **options):
    file.write_bytes(text.encode("utf-8"))
    return read_csv(file, **options)


def message_of(file, text, **options):
    """Return what the error says after the name of the file."""
    with pytest.raises(ValueError, match="csv: ") as caught:
        read_text(file, text, **options)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


def assert_samples(samples, X, y, dtype=np.uint8, columns=...):
    assert columns in (..., samples.columns)
    np.testing.assert_array_equal(samples.X, np.array(X, dtype), strict=True)
    assert samples.X.flags.c_contiguous
    if y is None:
        assert samples.y is None
    else:
        np.testing.assert_array_equal(samples.y, np.array(y, np.int64), strict=True)


def test_label_first_as_in_kaggles_training_file(file):
    samples = read_text(file, "label,pixel0,pixel1\n5,0,255\n0,7,8\n")
    assert_samples(samples, [[0, 255], [7, 8]], [5, 0])


def test_no_label_as_in_kaggles_test_file(file):
    assert_samples(read_text(file, "pixel0,pixel1\n0,255\n7,8\n"), [[0, 255], [7, 8]], None)


@pytest.mark.parametrize("header", ["a,label,b", "a,b,label", '"a","label","b"', " a , label , b "])
def test_label_anywhere(file, header):
    row = "1,2,9" if header.endswith("label") else "1,9,2"
    assert_samples(read_text(file, f"{header}\n{row}\n"), [[1, 2]], [9])


def test_label_of_another_name(file):
    samples = read_text(file, "label,class\n1,2\n", label="class", require_label=True)
    assert_samples(samples, [[1]], [2])


@pytest.mark.parametrize(
    ("field", "value"),
    [("256", 256), ("-1", -1), ("0.5", 0.5), ("1.0", 1), ("1e2", 100), (".5", 0.5), ("3.", 3), ("1e-50", 0)],
)
def test_anything_but_bytes_makes_float32(file, field, value):
    samples = read_text(file, f"label,a,b\n1,2,3\n4,5,{field}\n")
    assert_samples(samples, [[2, 3], [5, value]], [1, 4], np.float32)


def test_a_fraction_is_never_cut_off(file):
    # NumPy 2.0 reads 0.5 as the integer 0, with no more than a warning, which users do not see.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_samples(read_text(file, "a\n0.5\n"), [[0.5]], None, np.float32)


@pytest.mark.parametrize(("field", "label"), [("300", 300), ("2.0", 2), ("1e1", 10), (str(2**53), 2**53)])
def test_labels_do_not_decide_about_the_features(file, field, label):
    assert_samples(read_text(file, f"label,a\n{field},5\n"), [[5]], [label])


@pytest.mark.parametrize(
    "text",
    [
        "label,a\n1,2\n3,4",
        "label,a\r\n1,2\r\n3,4\r\n",
        "\ufefflabel,a\n1,2\n3,4\n",
        "\n\nlabel,a\n\n1,2\n   \n3,4\n\n",
        'label,a\n"1","2"\n"3","4"\n',
        "label,a\n 1 , 2\n+3,\t4\n",
    ],
    ids=["no last newline", "CRLF", "BOM", "blank lines", "quotes", "spaces"],
)
def test_ways_to_write_the_same(file, text):
    assert_samples(read_text(file, text), [[2], [4]], [1, 3])


def test_gzip_whatever_the_name(tmp_path):
    for name in ("train.csv.gz", "train.csv"):
        (tmp_path / name).write_bytes(gzip.compress(b"label,a\n1,2\n"))
        assert_samples(read_csv(tmp_path / name), [[2]], [1])


def test_damaged_gzip(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"label,a\n1,2\n")[:-3])
    with pytest.raises(ValueError, match=r"a\.csv\.gz: the gzip data are damaged"):
        read_csv(tmp_path / "a.csv.gz")


NO_LABEL = "is not an integer up to 2**53; number the classes 0, 1, ..."

LINE_ERRORS = [
    ("label,a,b\n1,2,3\n1,2\n", "line 3: found 2 fields, the header has 3"),
    ("label,a,b\n1,2,3,4\n1,2,3\n", "line 2: found 4 fields, the header has 3"),
    ("label,a,b\n1,2,3,\n", "line 2: found 4 fields, the header has 3"),
    ("label,a,b\n1,2,x\n", "line 2: column 'b': expected a number, got 'x'"),
    ("label,a,b\nx,2,3\n", "line 2: column 'label': expected a number, got 'x'"),
    ("a,b\n1,2\n1_0,2\n", "line 3: column 'a': expected a number, got '1_0'"),
    ("a,b\n1,\u0663\n", "line 2: column 'b': expected a number, got '\u0663'"),
    ("a,b\n1,0x10\n", "line 2: column 'b': expected a number, got '0x10'"),
    ('a,b\n1,"2,5"\n', "line 2: column 'b': expected a number, got '2,5'"),
    ("a,b\n1,#2\n", "line 2: column 'b': expected a number, got '#2'"),
    ("a,b\n# no,comment\n", "line 2: column 'a': expected a number, got '# no'"),
    ("a,b\n1,\n", "line 2: column 'b': the field is empty; expected a number"),
    ("a,b\n ,1\n", "line 2: column 'a': the field is empty; expected a number"),
    ("label,a\n,1\n", "line 2: column 'label': the field is empty; expected a number"),
    ("a,b\n1,nan\n", "line 2: column 'b': expected a finite number, got 'nan'"),
    ("a,b\n-Inf,1\n", "line 2: column 'a': expected a finite number, got '-Inf'"),
    ("label,b\nNaN,1\n", "line 2: column 'label': expected a finite number, got 'NaN'"),
    ("a,b\n1,1e39\n", "line 2: column 'b': '1e39' is beyond the range of float32; scale the column"),
    ("label,a\n-1,2\n", "line 2: column 'label': the label '-1' is negative; number the classes 0, 1, ..."),
    ("label,a\n1.5,2\n", f"line 2: column 'label': the label '1.5' {NO_LABEL}"),
    ("label,a\n1e300,2\n", f"line 2: column 'label': the label '1e300' {NO_LABEL}"),
    ("label,a\n\n1,2\n\n\n3,x\n", "line 6: column 'a': expected a number, got 'x'"),
    ("\n\r\nlabel,a\r\n1,2\r\n\r\n3\r\n", "line 6: found 1 fields, the header has 2"),
    ("a,b\n#1\n\n2,x\n", "line 2: found 1 fields, the header has 2"),
]


@pytest.mark.parametrize(("text", "message"), LINE_ERRORS)
def test_errors_name_the_line_and_the_column(file, text, message):
    assert message_of(file, text) == message


@pytest.mark.parametrize(("text", "message"), LINE_ERRORS)
def test_errors_in_later_blocks(file, monkeypatch, text, message):
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", 1)
    assert message_of(file, text) == message


OPEN_QUOTES = [
    ('a,b\n1,2\n"1,2\n3,4\n', 3),
    ('a\n1\n"2\n"\n', 3),
    ('a,b\n1,"2\n3",4\n', 2),
    ('a,b\n1,2\n3,"4\n', 3),
    ('a\n"1"2\n', 2),
    ('a,b\n1,2\n"3","4""\n', 3),
    ('label,a\n"1\n",2\n', 2),
]


@pytest.mark.parametrize("block_bytes", [1, 1000])
@pytest.mark.parametrize(("text", "line"), OPEN_QUOTES)
def test_a_quote_is_closed_on_its_line(file, monkeypatch, text, line, block_bytes):
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", block_bytes)
    assert message_of(file, text).startswith(f"line {line}: cannot be split into fields: ")


def test_an_open_quote_in_the_header_and_in_a_column_to_drop(file):
    assert message_of(file, 'a,"b\n1,2\n').startswith("line 1: cannot be split into fields: ")
    message = message_of(file, 'a,name\n1,"Ann\nB",2\n', drop=["name"])
    assert message.startswith("line 2: cannot be split into fields: ")


def test_lines_without_end(file, monkeypatch):
    monkeypatch.setattr(kaggle_csv, "LONGEST_LINE", 10)
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", 1)
    assert_samples(read_text(file, "a\n\n123456789\n"), [[123456789]], None, np.float32)
    expected = "line 3 is longer than 10 characters; expected one sample per line"
    assert message_of(file, "a\n1\n123456789012\n") == expected
    assert message_of(file, "a\n1\n" + 1000 * "1,") == expected
    assert message_of(file, 1000 * "1,").startswith("line 1 is longer than 10 characters")


def test_more_numbers_than_memory(file, monkeypatch):
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", 1)
    monkeypatch.setattr(files, "memory_bytes", lambda: 2)
    assert_samples(read_text(file, "a\n1\n2\n"), [[1], [2]], None)
    assert "the samples take 3 bytes, and this machine has 2 bytes" in message_of(file, "a\n1\n2\n3\n4\n")


PASSENGERS = """id,name,age,fare,survived
1,"Braund, Mr. Owen",22,7.25,0
2,Cumings Mrs. John,38,71.5,1
3,"He said ""no"", twice",26,8,1
"""


def test_columns_to_drop_may_hold_any_text(file):
    samples = read_text(file, PASSENGERS, label="survived", drop=("id", "name"))
    assert_samples(samples, [[22, 7.25], [38, 71.5], [26, 8]], [0, 1, 1], np.float32, ("age", "fare"))


def test_faults_of_dropped_columns_do_not_matter_and_others_do(file):
    message = message_of(file, PASSENGERS.replace("71.5", "much"), label="survived", drop=["name", "id"])
    assert message == "line 3: column 'fare': expected a number, got 'much'"
    message = message_of(file, PASSENGERS.replace("71.5", "7,1"), label="survived", drop=["name", "id"])
    assert message == "line 3: found 6 fields, the header has 5"


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (["c"], "there is no column 'c' to drop, found 3 columns: label, a, b"),
        (["a", "A"], "there is no column 'A' to drop, found 3 columns: label, a, b"),
        (["label"], "the column 'label' cannot be both the label and dropped"),
        (["a", "b"], "expected columns of features beside 'label', found none"),
    ],
)
def test_columns_that_cannot_be_dropped(file, drop, message):
    assert message_of(file, "label,a,b\n1,2,3\n", drop=drop) == f"line 1: {message}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": "ab"}, "drop must be a list of names of columns; got 'ab'"),
        ({"drop": [1]}, r"drop must be a list of names of columns; got \[1\]"),
        ({"columns": "abc"}, "columns must be a list of names of columns; got 'abc'"),
        ({"label": 0, "header": False}, "label must be the name of a column; got 0"),
        ({"label": None}, "label must be the name of a column; got None"),
    ],
)
def test_names_of_a_wrong_type(file, options, message):
    with pytest.raises(TypeError, match=message):
        read_text(file, "a,b,c\n1,2,3\n", **options)


def test_names_that_occur_twice(file):
    assert message_of(file, "a,b,a\n1,2,3\n") == "line 1: expected one column 'a', found 2; keep one of them"
    assert_samples(read_text(file, "a,b,a\n1,2,3\n", drop=["a"]), [[2]], None, columns=("b",))


def test_without_a_header_columns_have_numbers(file):
    text = "5,0,255\n\n1,7,8\n"
    assert_samples(read_text(file, text, header=False), [[5, 0, 255], [1, 7, 8]], None, columns=None)
    assert_samples(read_text(file, text, header=False, label="1"), [[0, 255], [7, 8]], [5, 1], columns=None)
    samples = read_text(file, text, header=False, label="3", drop=["2"], require_label=True)
    assert_samples(samples, [[5], [1]], [255, 8], columns=None)
    assert message_of(file, "1,2\n3\n", header=False) == "line 2: found 1 fields, the header has 2"
    assert message_of(file, "a,b\n", header=False) == "line 1: column '1': expected a number, got 'a'"
    assert message_of(file, "1,2\n", header=False, drop=["3"]).startswith("line 1: there is no column '3' to drop")


@pytest.mark.parametrize("block_bytes", [1, 1000])
def test_columns_are_matched_by_name(file, monkeypatch, block_bytes):
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", block_bytes)
    samples = read_text(file, "c,label,a,b\n1,2,3,4\n5,6,7,8\n", columns=("a", "b", "c"))
    assert_samples(samples, [[3, 4, 1], [7, 8, 5]], [2, 6], columns=("a", "b", "c"))
    samples = read_text(file, "c,id,a,b\n1,2,3,4.5\n", columns=("b", "a", "c"), drop=["id", "other"])
    assert_samples(samples, [[4.5, 3, 1]], None, np.float32, columns=("b", "a", "c"))
    samples = read_text(file, "1,2,3\n", columns=("b", "a", "c"), header=False)
    assert_samples(samples, [[1, 2, 3]], None, columns=None)


@pytest.mark.parametrize(
    ("header", "found", "differences"),
    [
        ("a,b", "2 columns: a, b", "lacks 1 column: c"),
        ("a,b,c,d", "4 columns: a, b, c, d", "adds 1 column: d"),
        ("a,B,c", "3 columns: a, B, c", "lacks 1 column: b and adds 1 column: B"),
        ("label", "0 columns", "lacks 3 columns: a, b, c"),
    ],
)
def test_other_columns_are_refused(file, header, found, differences):
    assert message_of(file, f"{header}\n1,2,3\n", columns=("a", "b", "c")) == (
        f"line 1: expected the columns of the training, 3 columns: a, b, c; found {found}: the file {differences}; "
        f"rename them, or leave columns out (--drop, --label)"
    )


def test_the_sets_of_columns_are_shortened(file):
    names = [f"pixel{i}" for i in range(784)]
    message = message_of(file, f"{','.join(names[1:])}\n", columns=names)
    assert "784 columns: pixel0, pixel1, " in message
    assert message.count(" ...") == 2
    assert "lacks 1 column: pixel0;" in message
    assert len(message) < 350


def test_bytes_that_are_not_utf8(file):
    file.write_bytes(b"a,b\n1,2\n1,\xff\n")
    with pytest.raises(ValueError, match="line 3: column 'b': expected a number, got '\ufffd'"):
        read_csv(file)


def test_long_fields_and_names_are_shortened(file):
    message = message_of(file, f"{'n' * 500}\n{'x' * 500}\n")
    assert message.startswith("line 2: column 'nnn")
    assert len(message) < 120


def test_a_refusal_by_numpy_that_the_second_look_cannot_explain(file, monkeypatch):
    monkeypatch.setattr(kaggle_csv, "first_fault", lambda block, header: None)
    assert message_of(file, "a\n1\n\n2\nx\n").startswith("lines 2 to 5: ")


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "\n \r\n"])
def test_an_empty_file(file, text):
    assert message_of(file, text) == "the file is empty; expected a header line and numbers below it"


@pytest.mark.parametrize("text", ["label,a", "label,a\n", "label,a\n\n  \n"])
def test_a_header_without_rows(file, text):
    assert message_of(file, text) == "there is a header but no line of numbers below it"


@pytest.mark.parametrize("header", ["5,0,0.5", "1", "-1,1e3"])
def test_no_header(file, header):
    assert message_of(file, f"{header}\n{header}\n").startswith("line 1: there is no header: expected the names")


def test_numbers_as_names_beside_others_are_a_header(file):
    assert_samples(read_text(file, "label,0,1\n1,2,3\n"), [[2, 3]], [1])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (",label,a", 'line 1: column 1 has no name; name it, or leave it out (--drop "", drop=[""])'),
        ("label,a,", 'line 1: column 3 has no name; name it, or leave it out (--drop "", drop=[""])'),
        ("label,a,label", "line 1: expected one column 'label', found 2; keep one of them"),
        ("label", "line 1: expected columns of features beside 'label', found none"),
    ],
)
def test_headers_that_are_refused(file, header, message):
    assert message_of(file, f"{header}\n1,2,3\n") == message


@pytest.mark.parametrize("table", [",label,a\n9,1,2\n", "label,a,\n1,2,9\n", ",label,,a\nx,1,y,2\n"])
def test_columns_without_a_name_can_be_dropped(file, table):
    file.write_text(table)
    samples = read_csv(file, drop=[""])
    assert (samples.X.tolist(), samples.y.tolist(), samples.columns) == ([[2]], [1], ("a",))
    other = read_csv(file, "a", drop=("", ""))
    assert (other.X.tolist(), other.y.tolist(), other.columns) == ([[1]], [2], ("label",))


def test_a_missing_label_that_is_required(file):
    message = message_of(file, "\nLabel,a\n1,2\n", require_label=True)
    assert message == "line 2: expected a column 'label' with the labels, found 2 columns: Label, a"


def test_names_that_no_terminal_should_be_sent(file):
    message = message_of(file, "a,b\x1b[31m\n1,2\n", require_label=True)
    assert message.endswith(r"found 2 columns: a, b\x1b[31m")
    assert len(message_of(file, f"{'a' * 5000},{'a' * 5000}\n1,2\n")) < 2000


def test_the_list_of_columns_is_shortened(file):
    names = ",".join(f"pixel{i}" for i in range(784))
    message = message_of(file, f"{names}\n", require_label=True)
    assert "found 784 columns: pixel0, pixel1, " in message
    assert message.endswith(" ...")
    assert len(message) < 150


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        read_csv(tmp_path)


def test_a_file_of_several_blocks(file, monkeypatch):
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", 1000)
    X = np.random.default_rng(3).integers(0, 256, (500, 20), np.uint8)
    y = np.arange(500)
    rows = [",".join(map(str, [label, *row])) for label, row in zip(y, X, strict=True)]
    names = ",".join(f"pixel{i}" for i in range(20))
    assert_samples(read_text(file, "\n".join([f"label,{names}", *rows])), X, y)


def test_a_late_float_makes_all_blocks_float32(file, monkeypatch):
    monkeypatch.setattr(kaggle_csv, "BLOCK_BYTES", 1)
    samples = read_text(file, "label,a\n1,2\n3,255\n5,0.25\n7,8\n")
    assert_samples(samples, [[2], [255], [0.25], [8]], [1, 3, 5, 7], np.float32)


BYTES = st.integers(0, 255)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


@st.composite
def tables(draw, numbers):
    n_features = draw(st.integers(1, 6))
    row = st.lists(numbers, min_size=n_features, max_size=n_features)
    X = draw(st.lists(row, min_size=1, max_size=8))
    y = draw(st.none() | st.lists(st.integers(0, 2**53), min_size=len(X), max_size=len(X)))
    return X, y, draw(st.integers(0, n_features))


def write_table(file, X, y, label_column):
    rows = [[f"pixel{i}" for i in range(len(X[0]))], *map(list, X)]
    if y is not None:
        for row, label in zip(rows, ["label", *y], strict=True):
            row.insert(label_column, label)
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


@given(tables(BYTES))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_round_trip_of_bytes(file, table):
    X, y, _ = table
    write_table(file, *table)
    assert_samples(read_csv(file), X, y)


@given(tables(FLOATS))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_round_trip_of_floats(file, table):
    X, y, _ = table
    write_table(file, *table)
    assert_samples(read_csv(file), X, y, np.float32)
