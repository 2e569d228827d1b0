"""Numbers by which the rows of a shuffled batch are brought together before they are packed."""

import numpy as np
import pytest
from arrays import Unchanged, clustered, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.packing import unpack
from scipy import sparse

from fastfnn.execution.thresholds import ROWS_OF_BLOCK
from fastfnn.inputs.csr import as_csr, take_rows
from fastfnn.inputs.row_blocks import PackedBlocks
from fastfnn.inputs.row_patterns import TELLING_COLUMNS, row_patterns, telling_columns
from fastfnn.inputs.samples import ArraySamples, CsrSamples

SOURCES = ["uint8", "float32", "float64"]
FLOAT32 = np.dtype(np.float32)


def gathered(samples, rows):
    return PackedBlocks(samples, ROWS_OF_BLOCK).gather(rows)


def patterns_of(X):
    return row_patterns(X, telling_columns(X))


@pytest.mark.parametrize("source", SOURCES)
def test_a_worked_example(source):
    """Column 3 tells of three columns and column 0 of two; the others are known by then, or the same in all rows."""
    few, many = np.array([0, 4, 0, 4, 0, 4, 0, 4]), np.array([0, 0, 7, 7, 0, 0, 7, 7])
    nothing, something = np.zeros(8), np.full(8, 9)
    X = np.stack([few, nothing, something, many, many, few, many], axis=1).astype(source)
    assert telling_columns(X).tolist() == [3, 0]
    assert patterns_of(X).tolist() == [0, 1 << 14, 1 << 15, 3 << 14] * 2


def test_the_first_of_equally_telling_columns_is_chosen():
    assert telling_columns(np.eye(8)[:, :2]).tolist() == [0, 1]


def test_columns_that_vary_together_tell_once(rng):
    X = rng.integers(0, 2, (500, 40)) @ np.repeat(np.eye(40), 5, axis=1)
    assert len(set(telling_columns(X) // 5)) == TELLING_COLUMNS


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 0), (5, 3)])
@pytest.mark.parametrize("value", [0.0, -0.0, 2.0])
def test_rows_without_a_difference_have_the_number_zero(shape, value):
    patterns = patterns_of(np.full(shape, value))
    assert patterns.dtype == np.uint16
    assert patterns.tolist() == [0] * shape[0]


@pytest.mark.parametrize("n_columns", [1, 15, 16, 17, 255, 256, 257, 300])
def test_alike_rows_have_the_same_number_and_others_another(rng, n_columns):
    kinds = np.unique(rng.random((5, n_columns)) < 0.5, axis=0)
    kind = rng.integers(0, len(kinds), 700)
    patterns = patterns_of(kinds[kind] * rng.random((700, n_columns)))
    assert len(np.unique(patterns)) == len(kinds)
    assert np.array_equal(patterns, patterns[[np.argmax(kind == of_row) for of_row in kind]])


@pytest.mark.parametrize("source", SOURCES)
def test_any_layout_has_the_numbers_of_its_values(source, rng):
    X = clustered(rng, 600, 50, source)
    wider = np.zeros((1200, 100), source)
    wider[::2, ::2] = X
    original = Unchanged(read_only(X))
    expected = patterns_of(X)
    for same in (np.asfortranarray(X), wider[::2, ::2], X.astype(np.float64)):
        assert np.array_equal(patterns_of(same), expected)
    original.check()


@pytest.mark.parametrize("source", SOURCES)
def test_compressed_rows_have_the_numbers_of_the_array(source, rng):
    X = clustered(rng, 600, 300, source)
    csr = sparse.csr_array(X)
    csr.data[::7] = 0  # stored zeros are zeros
    entries = take_rows(as_csr(csr, "X"), slice(0, 600))
    assert np.array_equal(telling_columns(entries), telling_columns(csr.toarray()))
    assert np.array_equal(patterns_of(entries), patterns_of(csr.toarray()))


@pytest.mark.parametrize("kernels", [jitted, reference])
@pytest.mark.parametrize("source", SOURCES)
def test_a_gathered_batch_keeps_the_order_given_and_holds_fewer_entries(kernels, source, rng):
    X, rows = clustered(rng, 900, 200, source), rng.permutation(900)[:500]
    for array in (X, np.asfortranarray(X)):
        samples = ArraySamples(array, FLOAT32, 1.0, kernels)
        packed = gathered(samples, rows)
        assert np.array_equal(unpack(packed), X[rows].astype(np.float32))
        assert len(packed.indices) < 0.6 * len(samples.packed(rows).indices)


@pytest.mark.parametrize("n_rows", [500, 2 * ROWS_OF_BLOCK + 5])
def test_batches_of_compressed_rows_are_packed_as_those_of_the_array(n_rows, rng):
    X, rows = clustered(rng, n_rows, 40, "float32"), rng.permutation(n_rows)[:500]
    of_array = gathered(ArraySamples(X, FLOAT32, 1.0, jitted), rows)
    of_csr = gathered(CsrSamples(as_csr(sparse.csr_array(X), "X"), FLOAT32, 1.0), rows)
    for array, expected in zip(of_csr, of_array, strict=True):
        assert np.array_equal(array, expected)


def test_a_batch_of_a_mapped_file_is_packed_as_that_of_the_array(tmp_path, rng):
    X, rows = clustered(rng, 900, 200, "uint8"), rng.permutation(900)[:500]
    mapped = np.memmap(tmp_path / "X", np.uint8, "w+", shape=X.shape)
    mapped[...] = X
    expected, of_file = (gathered(ArraySamples(each, FLOAT32, 1.0, jitted), rows) for each in (X, mapped))
    for array, wanted in zip(of_file, expected, strict=True):
        assert np.array_equal(array, wanted)
