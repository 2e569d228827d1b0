"""The plan of an execution: the one place that decides how a network is computed.

The `plan_*` functions are pure functions of a model, of facts about the data and of the user's options. They read the
thresholds of `execution.thresholds`, the obstacles of `execution.obstacles` and the capabilities of the backend. The
remaining files of this folder carry out a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from fastfnn.execution import obstacles, thresholds
from fastfnn.execution.communicator import Communicator
from fastfnn.execution.options import Options
from fastfnn.execution.shares import bounds_of
from fastfnn.inputs.density import DataProfile
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.parameters import FlatArrays


class Storage(Enum):
    """Form of the inputs."""

    DENSE = "dense"
    PACKED = "packed for each pass"
    PACKED_AND_KEPT = "packed once and kept"


class Propagation(Enum):
    """Division of a pass through the layers into kernels."""

    LAYERWISE = "one kernel a layer"
    LAYERWISE_WITH_OUTPUT_LAYER = "one kernel a layer, the output layer together with the loss"
    WHOLE_STACK = "one kernel for all layers"


class Steps(Enum):
    """Division of an epoch's steps into calls."""

    ONE_BY_ONE = "one call a step"
    BATCHES = "one call for many batches"
    SGD_BATCHES = "one call for many batches of SGD"
    SGD_SAMPLES = "one call for many samples of SGD"


class Update(Enum):
    """Division of an update into kernels."""

    FLAT = "one kernel for all parameters"
    PER_TENSOR = "one kernel a parameter"
    WITH_STEPS = "part of the kernel of the steps"


@dataclass(frozen=True)
class ExecutionPlan:
    """The way in which a training run or a prediction is computed, with a reason for each choice.

    Attributes
    ----------
    storage : Storage
        Form of the inputs.
    rows_of_block : int
        Largest number of rows that run through the layers together.
    n_blocks : int
        Row blocks of a pass over the samples; of a batch, for mini-batches.
    propagation : Propagation
        Kernels of a pass through the layers.
    steps : Steps or None
        Kernel calls of an epoch; None for predictions.
    update : Update or None
        Kernels of an update; None for predictions.
    skip_below : float
        Share of non-zeros below which a kernel that takes dense inputs skips their zeros.
    data : DataProfile
        Facts about the data that the plan depends on.
    because : tuple of str
        One sentence for each choice, with the number that decided it.
    """

    storage: Storage
    rows_of_block: int
    n_blocks: int
    propagation: Propagation
    steps: Steps | None
    update: Update | None
    skip_below: float
    data: DataProfile
    because: tuple[str, ...]

    @property
    def is_packed(self) -> bool:
        """Whether inputs are packed."""
        return self.storage is not Storage.DENSE

    @property
    def summary(self) -> str:
        """The plan in one line."""
        inputs = f"{'packed' if self.is_packed else 'dense'} inputs ({self.data.density:.0%} non-zero)"
        if self.steps in (Steps.SGD_BATCHES, Steps.SGD_SAMPLES):
            return f"{inputs}, many steps of SGD in a call"
        if self.steps is Steps.BATCHES:
            return f"{inputs}, many batches in a call"
        blocks = f"{self.n_blocks:,} row block{'s' if self.n_blocks > 1 else ''}"
        return f"{inputs}, {blocks}, {_SHORT[self.propagation]}"


_SHORT = {
    Propagation.LAYERWISE: "layer by layer",
    Propagation.LAYERWISE_WITH_OUTPUT_LAYER: "output layer fused",
    Propagation.WHOLE_STACK: "all layers in one call",
}


def plan_training(model: Model, data: DataProfile, options: Options, optimizer: Optimizer) -> ExecutionPlan:
    """Choose how a training run is computed.

    Parameters
    ----------
    model : Model
        Network to train.
    data : DataProfile
        Facts about the training set.
    options : Options
        Arguments of the training run.
    optimizer : Optimizer
        Optimizer of the training run.
    """
    storage, rows, why_storage = _inputs(model, data, options.input_format, keep=options.batch_size is None)
    propagation, why_propagation = _gradient(model, data, storage is not Storage.DENSE)
    steps, why_steps = _steps(model, data, options, optimizer, rows, storage is not Storage.DENSE)
    update, why_update = _update(model, optimizer)
    if steps is Steps.BATCHES:
        propagation, why_propagation = Propagation.WHOLE_STACK, "one kernel for all layers: it takes whole steps"
        update, why_update = Update.WITH_STEPS, "updates are part of the kernel of the steps"
    because: tuple[str, ...] = (why_storage, why_propagation, why_steps, why_update)
    n_blocks = -(-options.largest_batch(data.n_rows) // rows)
    if options.communicator is not None:
        n_blocks, why_shares = _shares(model, options.largest_batch(data.n_rows), rows, options.communicator)
        because = (*because, why_shares)
    return ExecutionPlan(storage, rows, n_blocks, propagation, steps, update, 0.0, data, because)


def plan_gradient(model: Model, data: DataProfile, input_format: str = "auto") -> ExecutionPlan:
    """Choose how one gradient of the loss is computed; the arguments are those of `plan_evaluation`."""
    storage, rows, why_storage = _inputs(model, data, input_format)
    propagation, why_propagation = _gradient(model, data, storage is not Storage.DENSE)
    because, n_blocks = (why_storage, why_propagation), -(-data.n_rows // rows)
    return ExecutionPlan(storage, rows, n_blocks, propagation, None, None, 0.0, data, because)


def plan_evaluation(model: Model, data: DataProfile, input_format: str = "auto") -> ExecutionPlan:
    """Choose how loss and accuracy are computed.

    Parameters
    ----------
    model : Model
        Network to evaluate.
    data : DataProfile
        Facts about the samples.
    input_format : {"auto", "dense", "sparse"}
        As in `fastfnn.Network.fit`.
    """
    storage, rows, why_storage = _inputs(model, data, input_format)
    propagation, why_propagation = _layerwise(model, data)
    because, n_blocks = (why_storage, why_propagation), -(-data.n_rows // rows)
    return ExecutionPlan(storage, rows, n_blocks, propagation, None, None, 0.0, data, because)


def plan_prediction(model: Model, data: DataProfile, input_format: str = "auto") -> ExecutionPlan:
    """Choose how outputs are computed; the arguments are those of `plan_evaluation`."""
    obstacle = obstacles.to_few_rows(model, data)
    if obstacle is None:
        return plan_few_rows(model, input_format)
    storage, rows, why_storage = _inputs(model, data, input_format)
    because, n_blocks = (why_storage, f"layer by layer: {obstacle}"), -(-data.n_rows // rows)
    return ExecutionPlan(storage, rows, n_blocks, Propagation.LAYERWISE, None, None, 0.0, data, because)


def plan_few_rows(model: Model, input_format: str = "auto") -> ExecutionPlan:
    """Choose how the outputs of a few rows of an array, up to `rows_of_block`, are computed.

    The plan does not depend on the rows, so it can be made once for many predictions. One kernel must be able to
    compute all layers, see `fastfnn.execution.obstacles.to_one_call`.
    """
    rows = obstacles.most_few_rows(model)
    worth = _density_worth_packing(model) if model.kernels.CAPABILITIES.skips_zeros else 0.0
    skip_below = {"auto": worth, "dense": 0.0, "sparse": 2.0}[input_format]  # densities are at most 1
    because = (
        f"one kernel for all layers: at most {rows} rows",
        f"the kernel skips zeros where less than {min(skip_below, 1):.0%} of the numbers are not zero",
    )
    whole, data = Propagation.WHOLE_STACK, DataProfile(rows)
    return ExecutionPlan(Storage.DENSE, rows, 1, whole, None, None, skip_below, data, because)


def possible_formats(model: Model, data: DataProfile, input_format: str = "auto") -> tuple[str, ...]:
    """Return the input formats that plans for such data may choose.

    A density is measured in a few rows. Near a threshold, one part of the data may be packed and another stay dense.
    """
    if input_format != "auto":
        return (input_format,)
    settled, _ = _settled_storage(model, data, input_format)
    if settled is not None:
        return ("sparse" if settled else "dense",)
    formats = ["sparse"] if data.density < thresholds.PACKED_DENSITY else []
    dense = data.density >= thresholds.SURELY_PACKED * _density_worth_packing(model)
    return (*formats, "dense") if dense else tuple(formats)


def _inputs(model: Model, data: DataProfile, input_format: str, keep: bool = True) -> tuple[Storage, int, str]:
    """Choose the form of the inputs, and the rows of a block; mini-batches are packed anew, not kept."""
    packed, why = _settled_storage(model, data, input_format)
    kept_bytes = data.packed_bytes if keep else None
    can_keep = kept_bytes is not None and kept_bytes <= thresholds.KEPT_BYTES
    if packed is None:
        worth = thresholds.PACKED_DENSITY if can_keep else _density_worth_packing(model)
        packed = data.density < worth
        why = f"{data.density:.0%} of the numbers are not zero, and packing pays below {worth:.0%}"
    rows = _rows_of_block(model, data, packed)
    if not packed:
        return Storage.DENSE, rows, f"dense inputs: {why}"
    if can_keep:
        return Storage.PACKED_AND_KEPT, rows, f"packed inputs, kept for all passes: {why}"
    if kept_bytes is not None:
        why += f"; not kept, because they take about {kept_bytes / 1e6:,.0f} MB"
    elif keep and data.is_mapped:
        why += "; not kept, because they are in a mapped file"
    return Storage.PACKED, rows, f"packed inputs: {why}"


def _rows_of_block(model: Model, data: DataProfile, packed: bool) -> int:
    """Choose the rows of a block; blocks of a sparse array that are written out in full must be small."""
    capabilities = model.kernels.CAPABILITIES
    large = capabilities.splits_long_sums and not packed
    rows = thresholds.ROWS_OF_LARGE_BLOCK if large else thresholds.ROWS_OF_BLOCK
    if not data.is_sparse or (packed and capabilities.skips_zeros):
        return rows
    row_bytes = max(model.n_inputs, model.widths[0]) * model.dtype.itemsize
    return max(1, min(rows, thresholds.WRITTEN_BYTES // row_bytes))


def _settled_storage(model: Model, data: DataProfile, input_format: str) -> tuple[bool | None, str]:
    """Return whether inputs are packed, or None if that depends on their density; and the reason."""
    first = model.layers[0]
    if input_format == "dense":
        return False, 'input_format is "dense"'
    if not first.takes_packed or first.has_own_backward:
        return False, f"the first layer, {obstacles.named(first)}, takes no packed inputs"
    if input_format == "sparse":
        return True, 'input_format is "sparse"'
    if data.is_sparse:
        return True, "X is a sparse array"
    if not model.kernels.CAPABILITIES.skips_zeros:
        return False, f"the {model.backend} backend writes packed inputs out in full"
    return None, ""


def _density_worth_packing(model: Model) -> float:
    """Return the share of non-zeros below which packing pays even for one pass.

    A packed product takes density / PACKED_DENSITY of the dense product's time, plus the time for packing.
    """
    return thresholds.PACKED_DENSITY * max(0.0, 1 - thresholds.PACKING_OUTPUTS / model.widths[0])


def _gradient(model: Model, data: DataProfile, packed: bool) -> tuple[Propagation, str]:
    """Choose the kernels of a gradient."""
    obstacle = obstacles.to_whole_stack(model, packed)
    if obstacle is None:
        n_bytes = obstacles.parameter_bytes(model)
        return Propagation.WHOLE_STACK, f"one kernel for all layers: the parameters take {n_bytes:,} bytes"
    propagation, why = _layerwise(model, data)
    return propagation, why if obstacle in why else f"{why}; not all layers in one kernel, because {obstacle}"


def _layerwise(model: Model, data: DataProfile) -> tuple[Propagation, str]:
    """Choose between the two layerwise propagations."""
    obstacle = obstacles.to_output_layer(model, data)
    if obstacle is None:
        n_bytes = model.layers[-1].parameters["weights"].nbytes
        why = f"output layer fused with the loss: its weights take {n_bytes:,} bytes"
        return Propagation.LAYERWISE_WITH_OUTPUT_LAYER, why
    return Propagation.LAYERWISE, f"layer by layer: {obstacle}"


def _steps(
    model: Model, data: DataProfile, options: Options, optimizer: Optimizer, rows_of_block: int, packed: bool
) -> tuple[Steps, str]:
    """Choose the kernel calls of an epoch."""
    obstacle = obstacles.to_sgd_kernels(model, data, options, optimizer, rows_of_block if packed else 0)
    if obstacle is not None:
        obstacle = obstacles.to_batches(model, data, options, optimizer, rows_of_block)
        if obstacle is None:
            size = options.batch_size
            return Steps.BATCHES, f"many batches in a call: {type(optimizer).__name__} in batches of {size:,}"
        return Steps.ONE_BY_ONE, f"one call a step: {obstacle}"
    if options.batch_size == 1:
        return Steps.SGD_SAMPLES, "many samples in a call, without their zeros: plain SGD in batches of one"
    return Steps.SGD_BATCHES, f"many batches in a call: plain SGD in packed batches of {options.batch_size:,}"


def _update(model: Model, optimizer: Optimizer) -> tuple[Update, str]:
    """Choose the kernels of an update."""
    if not isinstance(model.parameter_arrays, FlatArrays):
        return Update.PER_TENSOR, "one update a parameter: a layer of another class has arrays of its own"
    if not optimizer.updates_by_element:
        name = type(optimizer).__name__
        return Update.PER_TENSOR, f"one update a parameter: {name} does not treat each element by itself"
    if obstacles.has_rate_factors(model):
        return Update.PER_TENSOR, "one update a parameter: layers have learning rate factors"
    return Update.FLAT, "one update for all parameters: they are stored in one vector"


def _shares(model: Model, n_rows: int, rows_of_block: int, communicator: Communicator) -> tuple[int, str]:
    """Return the row blocks of all shares of a batch, and what their exchange costs."""
    n_shares, size = communicator.n_shares, communicator.size
    n_blocks = sum(-(-(end - first) // rows_of_block) for first, end in pairwise(bounds_of(n_rows, n_shares)))
    n_bytes = obstacles.parameter_bytes(model)
    why = f"gradients of {n_shares} shares are added in a fixed order"
    if size == 1:
        return n_blocks, f"{why}: {n_bytes:,} bytes each"
    exchanged = 2 * n_bytes * (size - 1) // size
    return n_blocks, f"{why}: each of {size} processes sends about {exchanged:,} bytes a step"


def log_plan(plan: ExecutionPlan) -> None:
    """Log a plan and its reasons at INFO, to the logger "fastfnn"."""
    import logging  # here, because `import fastfnn` does not need it

    log = logging.getLogger("fastfnn")
    if log.isEnabledFor(logging.INFO):
        for sentence in (plan.summary, *plan.because):
            log.info("%s", sentence)
