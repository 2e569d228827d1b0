"""Plans of training runs whose arguments are checked, and row blocks of samples in the form that a plan specifies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from fastfnn_kernels.workspace import Workspace
from numpy.typing import NDArray

from fastfnn.execution import thresholds
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan, Storage, plan_training
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.density import DataProfile, profile
from fastfnn.inputs.row_blocks import DenseBlocks, PackedBlocks, RowBlock, RowBlocks
from fastfnn.inputs.targets import Targets
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer

# Row blocks of one batch, with their targets.
Batch = Iterable[tuple[RowBlock, Targets]]


def profile_repeated(model: Model, X: NDArray[Any] | Csr, in_order: bool, is_weighted: bool) -> DataProfile:
    """Measure samples that many passes will take, all of them `in_order` or in other orders each time.

    Packed rows are first estimated in their own order. Blocks group rows by similarity, which takes less memory: one
    of them is packed where that may decide whether they can be kept.
    """
    data = profile(X, model.dtype, True, in_order, is_weighted)
    if data.packed_bytes is None or data.packed_bytes <= thresholds.KEPT_BYTES:
        return data
    n_rows = min(data.n_rows, thresholds.ROWS_OF_BLOCK)
    block = model.samples(X).packed_alike(slice(0, n_rows))
    return data._replace(packed_bytes=block.nbytes * data.n_rows // n_rows)


def plan_checked(
    model: Model, X: NDArray[Any] | Csr, y: Targets, options: Options, optimizer: Optimizer
) -> ExecutionPlan:
    """Check the arguments of a training run on checked samples, and plan it; see `check_training`."""
    check_training(model, len(y), options, optimizer)
    data = profile_repeated(model, X, options.batch_size is None, y.weights is not None)
    return plan_training(model, data, options, optimizer)


def check_training(model: Model, n_rows: int, options: Options, optimizer: Optimizer) -> None:
    """Check the arguments of a training run that depend on its samples and on the model.

    Parameters
    ----------
    model : Model
        Network to train, whose parameters are stored in one vector again.
    n_rows : int
        Number of samples.
    options : Options
        Arguments of the training run.
    optimizer : Optimizer
        Optimizer of the training run.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an instance such as fastfnn.SGD(0.1); got {optimizer!r}")
    if not callable(options.shuffle):
        options.check_batches(n_rows)
    options.check_numbers(model.dtype)
    optimizer.check_numbers(model.dtype, model.rate_factors)
    model.store_parameters()


def prepare(
    model: Model, X: NDArray[Any] | Csr, plan: ExecutionPlan, workspace: Workspace | None = None
) -> RowBlocks:
    """Divide checked samples into row blocks; blocks to be kept are packed now.

    Parameters
    ----------
    model : Model
        Network that takes the samples.
    X : ndarray or Csr, shape (n_samples, n_inputs)
        Samples from `fastfnn.inputs.validation.check_inputs`.
    plan : ExecutionPlan
        Plan of the training run, evaluation or prediction.
    workspace : Workspace, optional
        Memory for rows that are converted, which other samples use too; when None, these samples have their own.
    """
    samples = model.samples(X, workspace)
    if plan.storage is Storage.DENSE:
        return DenseBlocks(samples, plan.rows_of_block, keep=workspace is None)
    return PackedBlocks(samples, plan.rows_of_block, keep=plan.storage is Storage.PACKED_AND_KEPT)


def in_order(blocks: RowBlocks, y: Targets) -> Iterator[tuple[RowBlock, Targets]]:
    """Yield all samples, block by block, with their targets."""
    if blocks.n_rows <= blocks.rows_of_block:
        yield blocks.block(0, blocks.n_rows), y
        return
    for first in range(0, blocks.n_rows, blocks.rows_of_block):
        targets = y.take(slice(first, first + blocks.rows_of_block))
        yield blocks.block(first, first + len(targets)), targets


def gathered(blocks: RowBlocks, rows: NDArray[np.int64], y: Targets) -> Iterator[tuple[RowBlock, Targets]]:
    """Yield the given rows in order, block by block; y holds the targets of these rows only."""
    if len(rows) <= blocks.rows_of_block:
        yield blocks.gather(rows), y
        return
    for first in range(0, len(rows), blocks.rows_of_block):
        part = slice(first, first + blocks.rows_of_block)
        yield blocks.gather(rows[part]), y.take(part)
