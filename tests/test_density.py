"""Facts about data: the share of non-zeros, and the bytes of packed samples."""

import numpy as np
import pytest
from networks import each_dtype
from scipy import sparse

from fastfnn.execution.thresholds import ROWS_OF_BLOCK
from fastfnn.inputs.csr import as_csr
from fastfnn.inputs.density import DataProfile, profile
from fastfnn.inputs.row_blocks import PackedBlocks
from fastfnn.inputs.samples import samples_of

FLOAT32 = np.dtype(np.float32)

each_repetition = pytest.mark.parametrize("is_repeated", [True, False])


def of_density(density, n_rows=100, n_columns=10, dtype="float64"):
    X = np.zeros((n_rows, n_columns), dtype)
    X[:, : round(density * n_columns)] = 1
    return X


def kept_bytes(X, dtype, kernels):
    blocks = PackedBlocks(samples_of(X, np.dtype(dtype), 1.0, kernels), ROWS_OF_BLOCK, keep=True)
    kept = [blocks.block(first, first + 1) for first in range(0, X.shape[0], ROWS_OF_BLOCK)]
    return sum(block.indices.nbytes + block.values.nbytes for block in kept)


@each_repetition
@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("n_rows", [1, 7, 8, 9, 100, 128, 129, 2000])
def test_the_density_is_the_share_of_non_zeros(input_dtype, n_rows, is_repeated):
    X = of_density(0.3, n_rows, dtype=input_dtype)
    assert profile(X, FLOAT32, is_repeated).density == pytest.approx(0.3, rel=1e-14)
    csr = as_csr(sparse.csr_array(X), "X")
    assert profile(csr, FLOAT32, is_repeated).density == pytest.approx(0.3, rel=1e-14)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_the_density_of_nothing_is_zero(shape):
    for X in (np.empty(shape), as_csr(sparse.csr_array(shape), "X")):
        data = profile(X, FLOAT32)
        assert (data.n_rows, data.density, data.packed_bytes) == (shape[0], 0, None)
        assert profile(X, FLOAT32, is_repeated=True, in_order=True).packed_bytes == 0


def test_the_density_is_measured_in_rows_from_all_parts():
    X = np.zeros((128_000, 3), np.float32)
    X[:64_000] = 1
    assert profile(X, FLOAT32, is_repeated=True).density == pytest.approx(0.5, abs=0.01)
    assert profile(X, FLOAT32).density == pytest.approx(0.5, abs=0.13)


def test_many_passes_are_worth_more_rows():
    X = np.zeros((1280, 3), np.float32)
    X[::10] = 1  # every row that is measured for many passes
    assert profile(X, FLOAT32, is_repeated=True).density == 1
    X[10::20] = 0
    assert profile(X, FLOAT32, is_repeated=True).density == pytest.approx(0.5, abs=0.01)
    assert profile(X, FLOAT32).density == 1


@each_dtype
@pytest.mark.parametrize("n_rows", [3, 600, 2 * ROWS_OF_BLOCK + 1])
@pytest.mark.parametrize("density", [0.05, 0.2, 1.0])
def test_packed_bytes_are_estimated(dtype, kernels, n_rows, density, rng):
    """For an array it is the size of rows packed in their own order; rows brought together take less."""
    X = (rng.random((n_rows, 60)) < density).astype(np.uint8)
    csr = as_csr(sparse.csr_array(X), "X")
    of_array, of_csr = (profile(each, np.dtype(dtype), True, in_order=True).packed_bytes for each in (X, csr))
    assert of_csr == pytest.approx(kept_bytes(csr, dtype, kernels), rel=0.05, abs=200)
    assert of_array == pytest.approx(of_csr, rel=0.05, abs=200)
    assert kept_bytes(X, dtype, kernels) < 1.05 * of_array + 200


def test_packed_bytes_are_of_many_passes_in_one_order_alone(tmp_path):
    X = of_density(0.2)
    for each in (X, as_csr(sparse.csr_array(X), "X")):
        assert profile(each, FLOAT32, is_repeated=True, in_order=True).packed_bytes > 0
        assert profile(each, FLOAT32, is_repeated=True).packed_bytes is None
        assert profile(each, FLOAT32).packed_bytes is None
    mapped = np.memmap(tmp_path / "X", np.float64, "w+", shape=X.shape)
    assert profile(mapped, FLOAT32, is_repeated=True, in_order=True).packed_bytes is None


def test_fewer_of_wide_rows_are_measured():
    X = np.zeros((64, 2**17), np.uint8)
    X[::8] = 1  # a million numbers, which are those that are measured
    assert profile(X, FLOAT32, is_repeated=True).density == 1
    assert profile(X[:, : 2**13], FLOAT32, is_repeated=True).density == 1 / 8


def test_zeros_that_a_sparse_array_stores_are_no_entries_for_many_passes():
    X = sparse.csr_array(of_density(0.4))
    X.data[::2] = 0
    assert profile(as_csr(X, "X"), FLOAT32, is_repeated=True).density == pytest.approx(0.2)


def test_the_facts_are_those_that_a_plan_reads():
    assert DataProfile._fields == ("n_rows", "density", "packed_bytes", "is_sparse", "is_mapped", "is_weighted")
    assert DataProfile(7) == (7, 1.0, None, False, False, False)


@each_repetition
@pytest.mark.parametrize("is_weighted", [True, False])
def test_facts_are_noted(tmp_path, is_repeated, is_weighted):
    X = of_density(0.2)
    mapped = np.memmap(tmp_path / "X", np.float64, "w+", shape=X.shape)
    for each, is_sparse, is_mapped in (
        (X, False, False),
        (mapped, False, True),
        (mapped[1:, ::2], False, True),
        (as_csr(sparse.csr_array(X), "X"), True, False),
    ):
        data = profile(each, FLOAT32, is_repeated, is_weighted=is_weighted)
        assert (data.n_rows, data.is_sparse, data.is_mapped) == (each.shape[0], is_sparse, is_mapped)
        assert data.is_weighted == is_weighted


def test_layout_changes_no_fact(rng):
    X = (rng.random((1000, 30)) < 0.2).astype(np.float32)
    expected = profile(X, FLOAT32, is_repeated=True, in_order=True)
    wider = np.zeros((2000, 60), np.float32)
    wider[::2, ::2] = X
    for same in (np.asfortranarray(X), wider[::2, ::2], X.astype(np.uint8)):
        assert profile(same, FLOAT32, is_repeated=True, in_order=True) == expected
    assert isinstance(expected, DataProfile)
    assert [type(value) for value in (expected.density, expected.packed_bytes)] == [float, int]
