"""Shares and their tree: the same for any number of processes, and every row in one batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfnn.execution.shares import (
    BatchesOfShares,
    Node,
    add_node,
    bounds_of,
    nodes_of,
    rows_of,
    shares_of,
)

N_SHARES = st.sampled_from([1, 2, 4, 8, 16, 64])


@given(N_SHARES, st.data())
def test_processes_have_consecutive_shares(n_shares, data):
    size = data.draw(st.integers(1, n_shares))
    parts = [shares_of(rank, size, n_shares) for rank in range(size)]
    assert [share for part in parts for share in part] == list(range(n_shares))
    assert all(len(part) in (n_shares // size, -(-n_shares // size)) for part in parts)


@given(N_SHARES, st.integers(0, 1000), st.data())
def test_processes_have_consecutive_rows(n_shares, n_rows, data):
    size = data.draw(st.integers(1, n_shares))
    rows = [row for rank in range(size) for row in range(n_rows)[rows_of(rank, size, n_shares, n_rows)]]
    assert rows == list(range(n_rows))


def test_nodes_within_shares():
    assert nodes_of(range(16)) == [Node(0, 4)]
    assert nodes_of(range(5, 11)) == [Node(5, 0), Node(6, 1), Node(8, 1), Node(10, 0)]
    assert nodes_of(range(11, 16)) == [Node(11, 0), Node(12, 2)]
    assert nodes_of(range(3, 3)) == []


@given(N_SHARES, st.data())
def test_nodes_cover_shares_with_the_fewest_vectors(n_shares, data):
    first = data.draw(st.integers(0, n_shares))
    end = data.draw(st.integers(first, n_shares))
    nodes = nodes_of(range(first, end))
    assert [share for node in nodes for share in range(node.first, node.end)] == list(range(first, end))
    assert all(node.first % (node.end - node.first) == 0 for node in nodes)
    assert len(nodes) <= 2 * max(n_shares.bit_length() - 1, 1)


def tree_sum(values):
    """Add neighbours until one is left."""
    while len(values) > 1:
        values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def sums_of(shares, values):
    sums = []
    for share in shares:
        add_node(sums, Node(share, 0), values[share].copy())
    return sums


@given(N_SHARES, st.data())
def test_the_sum_has_the_bits_of_the_tree(n_shares, data):
    size = data.draw(st.integers(1, n_shares))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.standard_normal((n_shares, 5)) * 10.0 ** rng.integers(-6, 6, (n_shares, 1))
    sums = [sums_of(shares_of(rank, size, n_shares), values) for rank in range(size)]
    assert [[node for node, _ in of_rank] for of_rank in sums] == [
        nodes_of(shares_of(rank, size, n_shares)) for rank in range(size)
    ]
    total = []
    for of_rank in sums:
        for node, value in of_rank:
            add_node(total, node, value)
    ((node, found),) = total
    assert (node.first, node.end) == (0, n_shares)
    np.testing.assert_array_equal(found, tree_sum(list(values)))


def test_few_vectors_wait():
    waiting, most = [], 0
    for share in range(64):
        add_node(waiting, Node(share, 0), np.zeros(1))
        most = max(most, len(waiting))
    assert most == 6


@given(N_SHARES, st.integers(1, 300), st.integers(1, 40))
def test_batches_take_every_row_once(n_shares, n_rows, batch_size):
    division = BatchesOfShares(n_rows, n_shares)
    sizes = np.diff(bounds_of(n_rows, n_shares))
    before = division.taken(0)
    assert before.tolist() == [0] * n_shares
    for first in range(0, n_rows, batch_size):
        end = min(first + batch_size, n_rows)
        taken = division.taken(end)
        counts = taken - before
        assert counts.sum() == end - first
        assert counts.min() >= 0
        assert (taken <= sizes).all()
        before = taken
    np.testing.assert_array_equal(before, sizes)


@pytest.mark.parametrize("batch_size", [16, 32, 160])
def test_a_batch_has_as_many_rows_of_each_share(batch_size):
    division = BatchesOfShares(320, 16)
    for first in range(0, 320, batch_size):
        counts = division.taken(first + batch_size) - division.taken(first)
        assert set(counts.tolist()) == {batch_size // 16}
