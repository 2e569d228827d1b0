"""Prepared samples: those of a training run or a validation, of one process or divided into shares."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from fastfnn_kernels.workspace import Workspace
from numpy.typing import NDArray

from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan, Propagation, log_plan, plan_evaluation, plan_training
from fastfnn.execution.prediction import evaluate, loss_and_correct, means_of
from fastfnn.execution.preparation import check_training, plan_checked, prepare, profile_repeated
from fastfnn.execution.shares import bounds_of
from fastfnn.inputs.csr import Csr, rows_of_csr
from fastfnn.inputs.density import DataProfile
from fastfnn.inputs.row_blocks import RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.training.agreement import Agreement, rows_of_all

# Samples and targets, checked.
Checked = tuple[NDArray[Any] | Csr, Targets]


class PreparedSet(NamedTuple):
    """Prepared samples, and the way to evaluate a network on them."""

    blocks: RowBlocks
    y: Targets
    propagation: Propagation

    def evaluate(self, model: Model) -> tuple[float, float]:
        """Return the mean loss without penalty, and the accuracy; see `fastfnn.Network.evaluate`."""
        return evaluate(model, *self)


class SharedSamples:
    """Checked samples of one process, as shares of those of all processes.

    Parameters
    ----------
    agreement : Agreement
        The processes.
    X, y : Checked
        Checked samples of this process.

    Attributes
    ----------
    n_rows : int
        Number of samples on all processes.
    parts : list of (samples, targets)
        Those of each of this process's shares.

    Raises
    ------
    ValueError
        If a process does not have its rows: the same text on all processes.
    """

    def __init__(self, agreement: Agreement, X: NDArray[Any] | Csr, y: Targets) -> None:
        self.agreement = agreement
        self.n_rows = rows_of_all(agreement, len(y))
        communicator = agreement.communicator
        own, bounds = communicator.own, bounds_of(self.n_rows, communicator.n_shares)
        starts = [bound - bounds[own.start] for bound in bounds[own.start : own.stop + 1]]
        rows = [slice(first, end) for first, end in pairwise(starts)]
        self.parts = [(_rows_of(X, part), y.take(part)) for part in rows]

    def profile(self, model: Model, in_order: bool) -> DataProfile:
        """Measure the samples of all processes, each share by itself; see `profile_repeated`."""
        facts = np.zeros((len(self.parts), len(DataProfile._fields)))
        for i, (X, y) in enumerate(self.parts):
            if len(y):
                of_share = profile_repeated(model, X, in_order, y.weights is not None)
                facts[i] = [math.nan if fact is None else fact for fact in of_share]
        n_rows, densities, n_bytes, *flags = self.agreement.gather(facts).T
        packed_bytes = float(sum(n_bytes.tolist()))
        density = sum((n_rows * densities).tolist()) / self.n_rows
        kept = None if math.isnan(packed_bytes) else int(packed_bytes)
        return DataProfile(self.n_rows, density, kept, *(bool(flag.any()) for flag in flags))


class SharedSet:
    """Prepared samples of the shares of one process, and the way to evaluate a network on those of all.

    Parameters
    ----------
    model : Model
        Network that takes the samples.
    samples : SharedSamples
        Checked samples.
    plan : ExecutionPlan
        Plan of the training run or evaluation, from the profile of all shares.

    Attributes
    ----------
    agreement : Agreement
        The processes.
    n_rows : int
        Number of samples on all processes.
    total_weight : float
        Weight of all samples of all processes.
    parts : list of PreparedSet
        Samples of each of this process's shares.
    """

    def __init__(self, model: Model, samples: SharedSamples, plan: ExecutionPlan) -> None:
        self.agreement, self.n_rows = samples.agreement, samples.n_rows
        propagation, workspace = plan_evaluation(model, plan.data).propagation, Workspace()
        self.parts = [PreparedSet(prepare(model, X, plan, workspace), y, propagation) for X, y in samples.parts]
        weights = np.array([[part.y.total_weight] for part in self.parts], np.float64)
        self.total_weight = float(sum(self.agreement.gather(weights)[:, 0].tolist()))

    def evaluate(self, model: Model) -> tuple[float, float]:
        """Return the mean loss without penalty, and the accuracy, of all processes' samples."""
        results = np.array([loss_and_correct(model, *part, self.total_weight) for part in self.parts])
        loss, n_correct = map(sum, self.agreement.exchange(results).T.tolist())
        return means_of(model, loss, int(n_correct), self.n_rows)


def plan_shared(model: Model, samples: SharedSamples, options: Options, optimizer: Optimizer) -> ExecutionPlan:
    """Check the arguments of a training run on checked samples of several processes, and plan it."""
    check_training(model, samples.n_rows, options, optimizer)
    return plan_training(model, samples.profile(model, options.batch_size is None), options, optimizer)


def prepared(
    model: Model, training: Checked, optimizer: Optimizer, options: Options, agreement: Agreement | None
) -> tuple[ExecutionPlan, PreparedSet | SharedSet]:
    """Check the arguments of a training run, plan it and prepare its samples.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    if agreement is not None:
        samples = SharedSamples(agreement, *training)
        plan = plan_shared(model, samples, options, optimizer)
        log_plan(plan)
        return plan, SharedSet(model, samples, plan)
    X, y = training
    plan = plan_checked(model, X, y, options, optimizer)
    log_plan(plan)
    return plan, PreparedSet(prepare(model, X, plan), y, plan_evaluation(model, plan.data).propagation)


def held_out(
    model: Model, X: NDArray[Any] | Csr, y: Targets, input_format: str, agreement: Agreement | None = None
) -> PreparedSet | SharedSet:
    """Plan and prepare samples that are evaluated after each epoch."""
    if agreement is not None:
        samples = SharedSamples(agreement, X, y)
        return SharedSet(model, samples, plan_evaluation(model, samples.profile(model, in_order=True), input_format))
    data = profile_repeated(model, X, in_order=True, is_weighted=y.weights is not None)
    plan = plan_evaluation(model, data, input_format)
    return PreparedSet(prepare(model, X, plan), y, plan.propagation)


def _rows_of(X: NDArray[Any] | Csr, rows: slice) -> NDArray[Any] | Csr:
    return rows_of_csr(X, rows) if isinstance(X, Csr) else X[rows]


def evaluate_shared(
    model: Model, X: NDArray[Any] | Csr, y: Targets, input_format: str, agreement: Agreement
) -> tuple[float, float]:
    """Evaluate a network on the checked samples of several processes; see `fastfnn.Network.evaluate`."""
    samples = SharedSamples(agreement, X, y)
    plan = plan_evaluation(model, samples.profile(model, in_order=False), input_format)
    return SharedSet(model, samples, plan).evaluate(model)
