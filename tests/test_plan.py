"""Which samples are packed, and which packed tiles are kept."""

import numpy as np
import pytest
from networks import each_dtype, small_network, sparse_samples
from scipy import sparse

import fastfnn
from fastfnn import preparation
from fastfnn.inputs import check_inputs
from fastfnn.preparation import (
    PACKING_DENSITY,
    PACKING_OUTPUTS,
    density_of,
    may_be_packed,
    prepare,
    prepare_to_keep,
)
from fastfnn.tiles import TILE_ROWS, DenseTiles, PackedTiles


def of_density(density, n_rows=100, n_columns=10, dtype="float64"):
    X = np.zeros((n_rows, n_columns), dtype)
    X[:, : round(density * n_columns)] = 1
    return X


def wide_network(n_outputs=256, backend="numba", n_inputs=10):
    return fastfnn.Network([fastfnn.Dense(n_inputs, n_outputs)], backend, seed=1)


def kept(tiles):
    """Whether a tile is there before it is asked for."""
    return tiles.tile(0, 1) is tiles.tile(0, 1)


@pytest.mark.parametrize("input_dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("n_rows", [1, 100, 128, 129, 2000])
def test_the_density_is_the_share_of_non_zeros(input_dtype, n_rows):
    assert density_of(of_density(0.3, n_rows, dtype=input_dtype)) == pytest.approx(0.3, rel=1e-14)


def test_the_density_of_no_rows_is_zero():
    assert density_of(np.empty((0, 5))) == 0


def test_the_density_is_measured_in_rows_from_all_parts():
    X = np.zeros((128_000, 3), np.float32)
    X[:64_000] = 1
    assert density_of(X) == pytest.approx(0.5, abs=0.01)


def test_samples_of_a_full_batch_are_packed_and_kept_below_the_threshold():
    below, above = of_density(PACKING_DENSITY - 0.1), of_density(PACKING_DENSITY)
    for n_outputs in (1, 256):
        net = wide_network(n_outputs)
        assert kept(prepare_to_keep(net, below))
        assert may_be_packed(net, below)
        assert type(prepare_to_keep(net, above)) is DenseTiles
        assert not may_be_packed(net, above)


def test_packing_for_one_pass_must_pay_in_outputs():
    X = of_density(PACKING_DENSITY / 2)
    assert type(prepare(wide_network(2 * PACKING_OUTPUTS), X)) is DenseTiles
    packed = prepare(wide_network(2 * PACKING_OUTPUTS + 1), X)
    assert type(packed) is PackedTiles
    assert not kept(packed)


@pytest.mark.parametrize("n_outputs", [1, 256])
@pytest.mark.parametrize("prepare", [prepare, prepare_to_keep])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_the_format_can_be_forced(n_outputs, prepare, backend):
    net = wide_network(n_outputs, backend)
    for density in (0.0, 1.0):
        X = of_density(density)
        csr = check_inputs(sparse.csr_array(X), None)
        assert type(prepare(net, X, "sparse")) is type(prepare(net, csr, "sparse")) is PackedTiles
        assert type(prepare(net, X, "dense")) is type(prepare(net, csr, "dense")) is DenseTiles
        assert type(prepare(net, csr, "auto")) is PackedTiles


def test_the_numpy_backend_packs_when_it_is_told_to():
    assert type(prepare(wide_network(backend="numpy"), of_density(0.1))) is DenseTiles


@pytest.mark.parametrize("input_format", ["auto", "sparse"])
def test_an_activation_takes_dense_tiles(input_format):
    net = fastfnn.Network([fastfnn.Tanh(), fastfnn.Dense(10, 256)])
    for X in (of_density(0.1), check_inputs(sparse.csr_array(of_density(0.1)), None)):
        assert type(prepare(net, X, input_format)) is DenseTiles
        assert type(prepare_to_keep(net, X, input_format)) is DenseTiles
        assert not may_be_packed(net, X, input_format)


@each_dtype
def test_tiles_are_kept_when_they_fit(dtype, monkeypatch):
    X, _ = sparse_samples(2 * TILE_ROWS + 1, 4, 3, "uint8")
    net = small_network("numba", dtype)
    tiles = prepare_to_keep(net, X)
    used = sum(tiles.tile(first, min(first + TILE_ROWS, len(X))).nbytes for first in range(0, len(X), TILE_ROWS))
    monkeypatch.setattr(preparation, "PACKING_BYTES", used)
    assert kept(prepare_to_keep(net, X))
    monkeypatch.setattr(preparation, "PACKING_BYTES", used - 1)
    assert type(prepare_to_keep(net, X)) is DenseTiles
    packed = prepare_to_keep(net, X, "sparse")
    assert type(packed) is PackedTiles
    assert not kept(packed)


@pytest.mark.parametrize("view", [lambda X: X, lambda X: X[1:], lambda X: X[:, ::2]])
def test_tiles_of_a_memmap_are_not_kept(tmp_path, view):
    X = view(np.memmap(tmp_path / "X", np.uint8, "w+", shape=(40, 10)))
    net = wide_network(n_inputs=X.shape[1])
    for input_format in ("auto", "sparse"):
        tiles = prepare_to_keep(net, X, input_format)
        assert type(tiles) is PackedTiles
        assert not kept(tiles)
    assert type(prepare_to_keep(wide_network(8, n_inputs=X.shape[1]), X)) is DenseTiles
