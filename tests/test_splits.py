from collections import namedtuple

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn import model_selection

from fastfnn.splits import train_test_split

Point = namedtuple("Point", "x y")


def numbered(n_samples, n_classes=3):
    return np.arange(n_samples)[:, np.newaxis], np.arange(n_samples) % n_classes


@pytest.mark.parametrize("test_size", [1 / 3, 0.4, 0.25, 0.01])
@pytest.mark.parametrize("n_samples", [1797, 20])
def test_the_rows_are_those_of_scikit_learn(n_samples, test_size):
    X, y = numbered(n_samples)
    ours = train_test_split(X, y, test_size=test_size, seed=111)
    theirs = model_selection.train_test_split(X, y, test_size=test_size, random_state=111)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("counts", [(50, 30, 20), (7, 5, 3), (1, 1, 8)])
def test_classes_keep_their_shares_to_a_sample(counts):
    y = np.repeat([3, 1, 7], counts)
    X = np.arange(len(y))[:, np.newaxis]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, seed=1, stratify=True)
    assert sorted([*X_train[:, 0], *X_test[:, 0]]) == list(range(len(y)))
    np.testing.assert_array_equal(y[X_test[:, 0]], y_test)
    np.testing.assert_array_equal(y[X_train[:, 0]], y_train)
    assert len(y_test) == np.ceil(0.3 * len(y))
    for label, count in zip([3, 1, 7], counts, strict=True):
        assert abs((y_test == label).sum() - count * len(y_test) / len(y)) < 1
    assert not np.array_equal(np.sort(X_test[:, 0]), X_test[:, 0])


def test_sparse_samples_are_split_alike():
    X, y = numbered(10)
    dense = train_test_split(X, y, test_size=0.4, seed=2, stratify=True)
    sparse = train_test_split(scipy.sparse.csr_array(X), y, test_size=0.4, seed=2, stratify=True)
    np.testing.assert_array_equal(sparse[1].toarray(), dense[1])


def test_parts_are_copies():
    X, y = numbered(10)
    parts = train_test_split(X, y, seed=0)
    assert not any(np.shares_memory(part, whole) for part in parts for whole in (X, y))


@pytest.mark.parametrize(
    ("test_size", "n_labels", "message"),
    [
        (0, 10, "test_size must be a share above 0 and below 1; got 0"),
        (1, 10, "test_size must be a share"),
        (float("nan"), 10, "test_size must be a share"),
        (0.95, 10, "leaves a part of 10 samples empty"),
        (0.5, 9, r"a row for each sample, as many in each; got \[10, 9\]"),
    ],
)
def test_bad_input(test_size, n_labels, message):
    with pytest.raises(ValueError, match=message):
        train_test_split(np.zeros((10, 2)), np.zeros(n_labels, int), test_size=test_size)


FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]
KINDS = {
    "list": lambda X: X.tolist(),
    "tuple": lambda X: tuple(map(tuple, X)),
    "Fortran": np.asfortranarray,
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "matrix": lambda X: X.view(np.matrix),
    "DataFrame": lambda X: pandas.DataFrame({"a": X[:, 0], "b": X[:, 1] / 2}, index=range(100, 100 + len(X))),
    "strings": lambda X: X.astype(str),
} | {
    f"{name}_{kind}": lambda X, name=name, kind=kind: getattr(scipy.sparse, f"{name}_{kind}")(X)
    for name in FORMATS
    for kind in ("array", "matrix")
}


def plain(part):
    return part.toarray() if hasattr(part, "toarray") else np.asarray(part)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_split_alike_and_keeps_its_kind(kind):
    X = np.arange(20).reshape(10, 2)
    held = KINDS[kind](X)
    parts = train_test_split(held, np.arange(10), test_size=0.3, seed=4)
    expected = train_test_split(plain(held), np.arange(10), test_size=0.3, seed=4)
    for part, other in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(plain(part), other, strict=True)
    assert type(parts[0]) is type(parts[1]) is type(held)
    assert getattr(parts[0], "format", None) == getattr(held, "format", None)


def test_rows_of_a_table_keep_their_names_and_types():
    table = pandas.DataFrame({"a": np.arange(10, dtype="i2"), "b": list("abcdefghij")}, index=range(10, 20))
    labels = pandas.Series(np.arange(10) % 2 == 0, index=table.index)
    X, X_test, y, y_test = train_test_split(table, labels, seed=1)
    assert X.dtypes.equals(table.dtypes)
    assert X.equals(table.loc[X.index])
    assert X_test.equals(table.loc[X_test.index])
    assert X.index.equals(y.index)
    assert y_test.equals(labels.loc[y_test.index])


def test_a_mapped_file_is_split_into_arrays_in_memory(tmp_path):
    np.arange(20).tofile(tmp_path / "X")
    X = np.memmap(tmp_path / "X", np.int64, "r", shape=(10, 2))
    for part in train_test_split(X, seed=0):
        assert not np.shares_memory(part, X)


@pytest.mark.parametrize("rows", [range(60), range(100, 40, -1), range(0, 120, 2)])
def test_ranges_become_lists(rows):
    parts = train_test_split(rows, list(rows), seed=3)
    assert parts[0] == parts[2]
    assert parts[1] == parts[3]
    assert sorted(parts[0] + parts[1]) == sorted(rows)


@pytest.mark.parametrize("n_arrays", [1, 2, 3, 5])
def test_any_number_of_arrays(n_arrays):
    arrays = [np.arange(10) * factor for factor in range(1, n_arrays + 1)]
    parts = train_test_split(*arrays, seed=3)
    assert len(parts) == 2 * n_arrays
    for number in range(n_arrays):
        np.testing.assert_array_equal(parts[2 * number], (number + 1) * parts[0])
        np.testing.assert_array_equal(parts[2 * number + 1], (number + 1) * parts[1])


@pytest.mark.parametrize("form", [list, np.array, pandas.Series, lambda labels: np.array(labels)[:, None]])
def test_classes_may_be_of_any_form_and_stand_apart(form):
    X, labels = np.arange(12), ["a", "b", "c"] * 4
    expected = train_test_split(X, np.array(labels), seed=1, stratify=True)
    parts = train_test_split(X, form(labels), seed=1, stratify=True)
    np.testing.assert_array_equal(parts[0], expected[0])
    np.testing.assert_array_equal(train_test_split(X, seed=1, stratify=form(labels))[0], expected[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: train_test_split(), ValueError, "as many in each; got no array"),
        (
            lambda: train_test_split(np.zeros(4), np.zeros(4), 0.5),
            TypeError,
            "argument 3 .* got 0.5: pass options",
        ),
        (lambda: train_test_split(np.array(3)), TypeError, "argument 1 .* got array.3.: pass options by name"),
        (lambda: train_test_split(range(4), Point(1, 2)), TypeError, "argument 2 .* got Point: pass its parts as"),
        (lambda: train_test_split(memoryview(np.zeros(4))), TypeError, "got memoryview: convert it to an array"),
        (lambda: train_test_split({"a": [1, 2]}), TypeError, "got dict: convert it to an array or a list"),
        (lambda: train_test_split("rows.csv"), TypeError, "got str: convert it to an array or a list"),
        (lambda: train_test_split(iter([1, 2])), TypeError, "got list_iterator: convert it to an array or a list"),
        (lambda: train_test_split(np.ma.array([1, 2])), TypeError, "argument 1 is a masked array: fill its gaps"),
        (lambda: train_test_split([1, 2], [np.ma.masked] * 2), TypeError, "argument 2 is a masked array: fill its"),
        (lambda: train_test_split([1] * 4, stratify=np.ma.ones(4)), TypeError, "stratify is a masked array"),
        (lambda: train_test_split(None), TypeError, "argument 1 must be an array .* got None"),
        (lambda: train_test_split(np.zeros(4), stratify=True), ValueError, "classes from the second array"),
        (lambda: train_test_split(np.zeros(4), stratify=[1, 2]), ValueError, r"shape \(4,\); got \(2,\)"),
        (lambda: train_test_split([1] * 4, np.eye(4), stratify=True), ValueError, r"shape \(4,\); got \(4, 4\)"),
    ],
)
def test_what_cannot_be_split(call, error, message):
    with pytest.raises(error, match=message):
        call()
