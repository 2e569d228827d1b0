"""Row blocks in the form that a plan chose."""

import numpy as np
import pytest
from fastfnn_kernels.packing import Packed, unpack
from networks import each_backend, each_dtype, small_network, sparse_samples

from fastfnn import SGD
from fastfnn.execution import thresholds
from fastfnn.execution.options import Options
from fastfnn.execution.plan import Storage, plan_evaluation, plan_training
from fastfnn.execution.preparation import gathered, in_order, prepare, scale_of_mean
from fastfnn.execution.thresholds import ROWS_OF_BLOCK
from fastfnn.inputs.density import profile
from fastfnn.inputs.row_blocks import DenseBlocks, PackedBlocks
from fastfnn.inputs.targets import Targets


def plan_of_many_passes(net, X, input_format="auto"):
    return plan_training(net, profile(X, net.dtype, is_repeated=True, in_order=True), Options(input_format=input_format), SGD())


def is_kept(blocks):
    """Tell whether a block is there before it is requested."""
    return blocks.block(0, 1) is blocks.block(0, 1)


def written_out(block):
    return unpack(block) if isinstance(block, Packed) else block


@each_backend
@each_dtype
@pytest.mark.parametrize("n_rows", [1, 2 * ROWS_OF_BLOCK + 1])
@pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
def test_blocks_have_the_form_of_the_plan(backend, dtype, n_rows, input_format):
    X, y = sparse_samples(n_rows, 4, 3, dtype)
    net = small_network(backend, dtype)
    for plan in (
        plan_of_many_passes(net, X, input_format),
        plan_evaluation(net, profile(X, net.dtype), input_format),
    ):
        blocks = prepare(net, X, plan)
        assert type(blocks) is (PackedBlocks if plan.is_packed else DenseBlocks)
        assert (blocks.n_rows, blocks.rows_of_block) == (n_rows, plan.rows_of_block)
        if plan.is_packed:
            assert is_kept(blocks) == (plan.storage is Storage.PACKED_AND_KEPT)
        pairs = [(written_out(block).copy(), targets.values) for block, targets in in_order(blocks, Targets(y))]
        assert max(len(rows) for rows, _ in pairs) <= plan.rows_of_block
        assert np.array_equal(np.concatenate([rows for rows, _ in pairs]), X)
        assert np.array_equal(np.concatenate([labels for _, labels in pairs]), y)


def test_blocks_that_do_not_fit_are_not_kept(monkeypatch):
    X, _ = sparse_samples(2 * ROWS_OF_BLOCK + 1, 4, 3, "uint8")
    net = small_network("numba")
    assert is_kept(prepare(net, X, plan_of_many_passes(net, X)))
    monkeypatch.setattr(thresholds, "KEPT_BYTES", 0)
    assert type(prepare(net, X, plan_of_many_passes(net, X))) is DenseBlocks
    packed = prepare(net, X, plan_of_many_passes(net, X, "sparse"))
    assert type(packed) is PackedBlocks
    assert not is_kept(packed)


def test_blocks_of_a_memmap_are_not_kept(tmp_path):
    X = np.memmap(tmp_path / "X", np.uint8, "w+", shape=(40, 4))
    X[::3, 1] = 7
    net = small_network("numba")
    packed = prepare(net, X, plan_of_many_passes(net, X, "sparse"))
    assert type(packed) is PackedBlocks
    assert not is_kept(packed)
    assert np.array_equal(unpack(packed.block(0, 40)), X)


@each_backend
@pytest.mark.parametrize("input_format", ["dense", "sparse"])
def test_rows_are_gathered_in_their_order_block_by_block(monkeypatch, backend, input_format):
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", 7)
    monkeypatch.setattr(thresholds, "ROWS_OF_LARGE_BLOCK", 9)
    X, y = sparse_samples(50, 4, 3, "float64")
    net, rows = small_network(backend), np.random.default_rng(1).permutation(50)[:30]
    plan = plan_of_many_passes(net, X, input_format)
    blocks = prepare(net, X, plan)
    pairs = [(written_out(block).copy(), targets) for block, targets in gathered(blocks, rows, Targets(y[rows]))]
    n = 9 if backend == "numba" and input_format == "dense" else 7
    assert [len(targets) for _, targets in pairs] == [n] * (30 // n) + [30 % n]
    assert np.array_equal(np.concatenate([block for block, _ in pairs]), X[rows])
    assert np.array_equal(np.concatenate([targets.values for _, targets in pairs]), y[rows])


def test_the_only_dense_block_is_converted_once():
    X, _ = sparse_samples(20, 4, 3, "uint8")
    net = small_network("numba")
    blocks = prepare(net, X, plan_of_many_passes(net, X, "dense"))
    block = blocks.block(0, 20)
    assert blocks.block(0, 20) is block
    kept = block.copy()
    blocks.gather(np.arange(20)[::-1])
    assert np.array_equal(blocks.block(0, 20), kept)


def test_the_scale_of_a_mean():
    assert (scale_of_mean(4.0), scale_of_mean(0.0)) == (0.25, 0.0)
