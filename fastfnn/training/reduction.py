"""The gradients of several processes: each computes those of its shares, and they are added as a tree says.

This is the one place where training depends on other processes. Everything after the sum, such as penalties,
clipping and the update, is the same on all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_held
from fastfnn.execution.gradient import loss_gradient
from fastfnn.execution.layerwise import add_penalty, use_gradients
from fastfnn.execution.options import Options, Penalty
from fastfnn.execution.plan import ExecutionPlan, plan_gradient
from fastfnn.execution.preparation import Batch, gathered, in_order
from fastfnn.execution.shares import BatchesOfShares, Node, PartialSums, add_node, bounds_of
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.targets import Targets
from fastfnn.layers import Gradient
from fastfnn.model import Model, flat_gradients
from fastfnn.training.agreement import Agreement, check_alike
from fastfnn.training.batches import OfBatch, Seeds
from fastfnn.training.prepared import SharedSamples, SharedSet
from fastfnn.training.progress import Order
from fastfnn.training.start_check import facts_of_model, facts_of_samples


class OfShare(NamedTuple):
    """Row blocks of one share of a batch, the number of their rows, and the place of the first in the batch."""

    blocks: Batch
    n_rows: int
    first_row: int


class SharedGradient:
    """The gradient of a batch's loss, summed over the shares of all processes.

    Parameters
    ----------
    model : Model
        Network; the `gradient` of its layers is computed.
    samples : SharedSet
        Samples, for their processes and shares.
    n_rows : int
        Largest number of rows of a share in a batch.
    penalty : Penalty
        Penalty added to the loss.
    plan : ExecutionPlan
        Plan of the training run.
    """

    def __init__(self, model: Model, samples: SharedSet, n_rows: int, penalty: Penalty, plan: ExecutionPlan) -> None:
        self._model = model
        self._agreement = samples.agreement
        self._penalty = penalty
        self._of_share = loss_gradient(model, n_rows, Penalty(), plan)
        self._places = [flat_gradients(model)]  # one for each sum that waits for its sibling, and one for a share
        self._is_first = True

    @property
    def gradients(self) -> Sequence[NDArray[Any]]:
        """Gradients of all parameters, stored like the parameters."""
        return self._places[0].arrays

    def run(self, shares: Iterable[OfShare], total_weight: float, seeds: Seeds = None) -> tuple[float, int]:
        """Set each layer's gradient to that of the mean loss; see `LayerwiseGradient.run`.

        Parameters
        ----------
        shares : iterable of OfShare
            Rows of each of this process's shares.
        total_weight : float
            Sum of the weights of all processes' rows.
        seeds : sequence of int, optional
            Seeds of the layers' random numbers, the same on all processes.
        """
        communicator, total = self._agreement.communicator, self._places[0]
        if self._is_first:  # kernels are compiled
            with communicator.first_on_host():
                results, sums = self._own_sums(shares, total_weight, seeds)
            self._is_first = False
        else:
            results, sums = self._own_sums(shares, total_weight, seeds)
        loss, n_correct = map(sum, self._agreement.exchange(results).T.tolist())
        communicator.add(sums)
        use_gradients(self._model.layers, total.of_layers)
        return loss + add_penalty(self._model, self._penalty, total_weight), int(n_correct)

    def _own_sums(
        self, shares: Iterable[OfShare], total_weight: float, seeds: Seeds
    ) -> tuple[NDArray[np.float64], PartialSums]:
        """Return loss and number of correct samples of each of this process's shares, and sums of their gradients."""
        results: list[tuple[float, int]] = []
        sums: PartialSums = []
        for share, (blocks, n_rows, first_row) in zip(self._agreement.communicator.own, shares, strict=True):
            if len(sums) == len(self._places):
                self._places.append(flat_gradients(self._model))
            place = self._places[len(sums)]
            if n_rows:
                self._of_share.write_to(place)
                results.append(self._of_share.run(blocks, total_weight, seeds, first_row))
            else:
                place.arrays.vector.fill(0)
                results.append((0.0, 0))
            add_node(sums, Node(share, 0), place.arrays.vector)
        return np.array(results, np.float64), sums


class SharedOrder:
    """The order of an epoch: each share has one of its own, which depends on a seed and the share's number.

    Attributes
    ----------
    rows : list of ndarray of int64
        The order of each of this process's shares.
    weights : ndarray of float64
        Weight of each batch; empty if samples have none.
    """

    def __init__(self, n_rows: int, n_shares: int, seed: int | None, rows: list[NDArray[np.int64]]) -> None:
        self._n_rows = n_rows
        self._n_shares = n_shares
        self._seed = seed
        self.rows = rows
        self.weights = np.zeros(0)

    def __len__(self) -> int:
        return self._n_rows

    @property
    def digest(self) -> str:
        """SHA-256 of what the order of all shares depends on."""
        described = f"{self._n_rows} rows in {self._n_shares} shares, seed {self._seed}"
        return hashlib.sha256(described.encode()).hexdigest()


class SharedBatches:
    """The batches of samples that are divided among processes; rows never leave their process.

    Parameters
    ----------
    model : Model
        Network to train.
    samples : SharedSet
        Samples of this process's shares.
    options : Options
        Batches and penalty.
    plan : ExecutionPlan
        Plan of the training run.
    """

    def __init__(self, model: Model, samples: SharedSet, options: Options, plan: ExecutionPlan) -> None:
        self._samples = samples
        self._options = options
        self._communicator = communicator = samples.agreement.communicator
        self._own = slice(communicator.own.start, communicator.own.stop)
        self._bounds = bounds_of(samples.n_rows, communicator.n_shares)
        self._division = BatchesOfShares(samples.n_rows, communicator.n_shares)
        largest = -(-options.largest_batch(samples.n_rows) // communicator.n_shares) + 1
        self._gradient = SharedGradient(model, samples, largest, options.penalty, plan)

    @property
    def gradients(self) -> Sequence[NDArray[Any]]:
        """Gradients of all parameters, stored like the parameters."""
        return self._gradient.gradients

    def order(self, rng: np.random.Generator) -> SharedOrder:
        """Draw the order of an epoch's mini-batches."""
        seed = int(rng.integers(2**63)) if self._options.shuffle else None
        rows = []
        for share, part in zip(self._communicator.own, self._samples.parts, strict=True):
            of_share = None if seed is None else np.random.Generator(np.random.PCG64([seed, share]))
            rows.append(np.arange(len(part.y)) if of_share is None else of_share.permutation(len(part.y)))
        n_rows = self._options.rows_of_epoch(self._samples.n_rows)
        order = SharedOrder(n_rows, self._communicator.n_shares, seed, rows)
        if any(part.y.weights is not None for part in self._samples.parts):
            order.weights = self._weights_of(order)
        return order

    def whole(self, seeds: Seeds) -> OfBatch:
        """Compute the gradient of all samples."""
        of_parts = zip(self._samples.parts, self._bounds[self._own], strict=True)
        shares = (OfShare(in_order(blocks, y), len(y), first) for (blocks, y, _), first in of_parts)
        weight = self._samples.total_weight
        return OfBatch(*self._gradient.run(shares, weight, seeds), self._samples.n_rows, weight)

    def batch(self, order: Order, first: int, end: int, seeds: Seeds) -> OfBatch:
        """Compute the gradient of some samples of an order."""
        assert isinstance(order, SharedOrder)
        size = self._options.batch_size
        weight = float(order.weights[first // size]) if size and len(order.weights) else end - first
        shares = self._shares_of(order, first, end)
        return OfBatch(*self._gradient.run(shares, weight, seeds), end - first, weight)

    def _shares_of(self, order: SharedOrder, first: int, end: int) -> Iterator[OfShare]:
        """Yield the rows of a batch that each of this process's shares has."""
        begins, ends = self._division.taken(first), self._division.taken(end)
        counts = ends - begins
        places = np.cumsum(counts) - counts
        of_own = zip(*(numbers[self._own].tolist() for numbers in (begins, ends, places)), strict=True)
        for part, rows, (begin, stop, place) in zip(self._samples.parts, order.rows, of_own, strict=True):
            chosen = rows[begin:stop]
            yield OfShare(gathered(part.blocks, chosen, part.y.take(chosen)), len(chosen), place)

    def _weights_of(self, order: SharedOrder) -> NDArray[np.float64]:
        """Return the weight of each batch."""
        size = self._options.batch_size
        assert size is not None
        firsts = range(0, len(order), size)
        own = np.zeros((len(self._communicator.own), len(firsts)))
        for batch, first in enumerate(firsts):
            begins, ends = self._division.taken(first), self._division.taken(min(first + size, len(order)))
            spans = zip(begins[self._own], ends[self._own], strict=True)
            for i, (part, rows, (begin, end)) in enumerate(zip(self._samples.parts, order.rows, spans, strict=True)):
                own[i, batch] = part.y.take(rows[begin:end]).total_weight
        total = np.zeros(len(firsts))
        for of_share in self._samples.agreement.gather(own):
            total += of_share
        return total


def shared_loss_and_gradients(
    model: Model, X: NDArray[Any] | Csr, y: Targets, penalty: Penalty, input_format: str, agreement: Agreement
) -> tuple[float, list[Gradient]]:
    """Compute the loss over the checked samples of several processes, and its gradient."""
    check_held("", {"l2": penalty.weights, "l2_bias": penalty.bias}, model.dtype)
    check_alike(agreement, facts_of_model(model) | facts_of_samples((X, y)) | {"the penalty": repr(penalty)})
    samples = SharedSamples(agreement, X, y)
    plan = plan_gradient(model, samples.profile(model, in_order=False), input_format)
    prepared = SharedSet(model, samples, plan)
    options = Options(l2=penalty.weights, l2_bias=penalty.bias)
    loss = SharedBatches(model, prepared, options, plan).whole(None).loss
    return loss, [layer.gradient for layer in model.layers]
