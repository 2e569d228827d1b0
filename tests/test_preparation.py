"""Row blocks in the form that a plan chose."""

import numpy as np
import pytest
from fastfnn_kernels.packing import Packed, unpack
from networks import bytes_of, each_backend, each_dtype, small_network, sparse_samples
from scipy import sparse

from fastfnn import SGD, Dense, Network, get_backend
from fastfnn.execution import thresholds
from fastfnn.execution.options import Options, scale_of_mean
from fastfnn.execution.plan import Storage, plan_evaluation, plan_training
from fastfnn.execution.preparation import gathered, in_order, prepare, profile_repeated
from fastfnn.execution.thresholds import ROWS_OF_BLOCK
from fastfnn.inputs import samples
from fastfnn.inputs.csr import as_csr
from fastfnn.inputs.density import profile
from fastfnn.inputs.row_blocks import DenseBlocks, PackedBlocks
from fastfnn.inputs.targets import Targets


def plan_of_many_passes(net, X, input_format="auto"):
    return plan_training(
        net, profile(X, net.dtype, is_repeated=True, in_order=True), Options(input_format=input_format), SGD()
    )


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


def two_kinds(n_rows):
    """Return rows of two kinds in a random order: brought together, they take half the memory."""
    X = np.zeros((n_rows, 200), np.float32)
    X[:, :25] = 1
    kind = np.random.default_rng(1).random(n_rows) < 0.5
    X[kind] = X[kind][:, ::-1]
    return X


class Packings:
    """Samples, and the rows that were packed for repeated use, as a network wraps them."""

    def __init__(self, monkeypatch, net):
        self.rows = []
        wrap = net.samples

        def watched(X):
            found = wrap(X)
            pack = found.packed_alike

            def noted(rows):
                self.rows.append(rows)
                return pack(rows)

            found.packed_alike = noted
            return found

        monkeypatch.setattr(net, "samples", watched)


def wide_network(backend="numba"):
    return Network([Dense(200, 64, "relu"), Dense(64, 3)], backend, seed=1)


def kept_bytes(net, X):
    return net.samples(X).packed_alike(slice(0, len(X))).nbytes


@each_backend
@pytest.mark.parametrize("is_weighted", [True, False])
def test_a_block_is_packed_only_where_the_estimate_may_not_fit(monkeypatch, backend, is_weighted):
    net, X = wide_network(backend), two_kinds(1200)
    estimated = profile(X, net.dtype, True, True, is_weighted)
    exact = kept_bytes(net, X)
    assert 1.5 * exact < estimated.packed_bytes < 2.5 * exact
    packings = Packings(monkeypatch, net)
    monkeypatch.setattr(thresholds, "KEPT_BYTES", estimated.packed_bytes)
    assert profile_repeated(net, X, True, is_weighted) == estimated
    assert packings.rows == []
    for limit in (estimated.packed_bytes - 1, exact, 0):
        monkeypatch.setattr(thresholds, "KEPT_BYTES", limit)
        assert profile_repeated(net, X, True, is_weighted) == estimated._replace(packed_bytes=exact)
    assert packings.rows == [slice(0, 1200)] * 3


def test_the_size_of_one_block_stands_for_all(monkeypatch):
    net, X = wide_network(), two_kinds(1200)
    packings = Packings(monkeypatch, net)
    monkeypatch.setattr(thresholds, "ROWS_OF_BLOCK", 300)
    monkeypatch.setattr(thresholds, "KEPT_BYTES", 0)
    n_bytes = profile_repeated(net, X, True, False).packed_bytes
    assert packings.rows == [slice(0, 300)]
    assert n_bytes == 4 * kept_bytes(net, X[:300])


def test_nothing_is_packed_for_samples_that_cannot_be_kept(monkeypatch, tmp_path):
    net, X = wide_network(), two_kinds(300)
    monkeypatch.setattr(thresholds, "KEPT_BYTES", 0)
    packings = Packings(monkeypatch, net)
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[...] = X
    for each, in_one_order in ((X, False), (mapped, True), (mapped, False)):
        data = profile_repeated(net, each, in_one_order, False)
        assert data == profile(each, net.dtype, is_repeated=True, in_order=in_one_order)
        assert data.packed_bytes is None
    csr = as_csr(sparse.csr_array(X), "X")
    assert profile_repeated(net, csr, False, False).packed_bytes is None
    assert packings.rows == []
    assert profile_repeated(net, csr, True, False).packed_bytes > 0
    assert packings.rows == [slice(0, 300)]


def test_samples_are_kept_whose_exact_size_fits_although_the_estimate_does_not(monkeypatch):
    net, same, X = wide_network(), wide_network(), two_kinds(1200)
    y = np.arange(1200) % 3
    estimate, exact = profile(X, net.dtype, True, True), kept_bytes(net, X)
    monkeypatch.setattr(thresholds, "KEPT_BYTES", exact)
    assert plan_training(net, estimate, Options(), SGD()).storage is not Storage.PACKED_AND_KEPT
    plan = net.plan(X, y, SGD(0.1))
    assert plan.storage is Storage.PACKED_AND_KEPT
    assert plan.because[0].startswith("packed inputs, kept for all passes: 12% of the numbers are not zero")
    assert is_kept(prepare(net, X, plan))
    assert net.plan(X, y, SGD(0.1), batch_size=600).storage is Storage.PACKED
    net.fit(X, y, SGD(0.1), epochs=2)
    same.fit(X, y, SGD(0.1), epochs=2, input_format="sparse")
    assert bytes_of(net) == bytes_of(same)
    monkeypatch.setattr(thresholds, "KEPT_BYTES", exact - 1)
    plan = net.plan(X, y, SGD(0.1))
    assert plan.storage is Storage.PACKED
    assert plan.because[0].endswith("; not kept, because they take about 0 MB")
    assert not is_kept(prepare(net, X, plan))


def test_blocks_that_do_not_fit_are_not_kept(monkeypatch):
    X, _ = sparse_samples(2 * ROWS_OF_BLOCK + 1, 4, 3, "uint8")
    net = small_network("numba")
    assert is_kept(prepare(net, X, plan_of_many_passes(net, X)))
    monkeypatch.setattr(thresholds, "KEPT_BYTES", 0)
    assert type(prepare(net, X, plan_of_many_passes(net, X))) is DenseBlocks
    packed = prepare(net, X, plan_of_many_passes(net, X, "sparse"))
    assert type(packed) is PackedBlocks
    assert not is_kept(packed)


@each_backend
@pytest.mark.parametrize("compared", [0, 3072])
@pytest.mark.parametrize("input_dtype", ["uint8", "float32"])
def test_kept_blocks_of_arrays_are_stored_by_columns_too(monkeypatch, compared, input_dtype, backend):
    monkeypatch.setattr(samples, "COMPARED_COLUMNS", compared)
    X = (two_kinds(1200) * np.arange(1, 201)).astype(input_dtype)
    net = wide_network(backend)
    net.input_scale = 0.5
    blocks = prepare(net, X, plan_of_many_passes(net, X, "sparse"))
    assert is_kept(blocks)
    block = blocks.block(0, 1200)
    in_own_order = block.by_columns.order.tolist() == list(range(200))
    assert in_own_order == (compared == 0)
    gradient, _ = get_backend(backend).sparse_weight_gradient(block, np.eye(1200, dtype=net.dtype))
    assert np.array_equal(gradient, unpack(block).T)


def test_blocks_of_sparse_arrays_and_blocks_for_one_pass_are_stored_by_rows_alone():
    net, X = wide_network(), two_kinds(1200)
    csr = as_csr(sparse.csr_array(X), "X")
    assert prepare(net, csr, plan_of_many_passes(net, csr)).block(0, 1200).by_columns is None
    assert prepare(net, X, plan_evaluation(net, profile(X, net.dtype))).block(0, 1200).by_columns is None


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
