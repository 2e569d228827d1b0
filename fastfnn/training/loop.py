"""The training loop: epochs, validation, callbacks."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan, plan_evaluation
from fastfnn.execution.prediction import evaluate
from fastfnn.execution.preparation import prepare, profile_repeated
from fastfnn.history import History, Record
from fastfnn.inputs.csr import Csr
from fastfnn.inputs.targets import Targets
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.schedules import scheduled_rate
from fastfnn.training.epochs import Epochs
from fastfnn.training.events import Epoch, PreparedSet, StopTraining
from fastfnn.training.interrupt import postponed_interrupt

# Samples and targets, checked.
Checked = tuple[NDArray[Any] | Csr, Targets]


def fit(
    model: Model,
    training: Checked,
    optimizer: Optimizer,
    options: Options,
    plan: ExecutionPlan,
    validation: Checked | None = None,
    history: History | None = None,
) -> History:
    """Train a network as planned; the arguments are those of `fastfnn.Network.fit`, checked.

    Parameters
    ----------
    model : Model
        Network; its parameters are changed.
    training, validation : (samples, Targets)
        Checked samples to train on, and samples to evaluate after each epoch.
    optimizer : Optimizer
        Optimizer of the parameters.
    options : Options
        Epochs, batches, penalty, clipping, schedule and callbacks.
    plan : ExecutionPlan
        Plan for these arguments.
    history : History, optional
        History of a training run to resume; new records are appended to it.
    """
    X, y = training
    training_set = PreparedSet(prepare(model, X, plan), y, plan_evaluation(model, plan.data).propagation)
    held_out = None if validation is None else _held_out(model, *validation, options.input_format)
    history = History() if history is None else history
    start = time.perf_counter() - (history.records[-1]["seconds"] if history.records else 0)
    with postponed_interrupt() as interrupt:
        try:
            epochs = Epochs(model, training_set.blocks, y, optimizer, options, plan)
            for number in range(len(history) + 1, options.epochs + 1):
                if options.schedule is not None:
                    optimizer.learning_rate = scheduled_rate(
                        options.schedule, number, history, model.dtype, model.rate_factors
                    )
                record = {"epoch": number, **epochs.run(interrupt), "seconds": time.perf_counter() - start}
                if options.schedule is not None:
                    record["learning_rate"] = optimizer.learning_rate
                if held_out is not None:
                    record |= _evaluated(model, held_out)
                history.records.append(record)
                epoch = Epoch(number, options.epochs, record, model, optimizer, history, training_set)
                for callback in options.callbacks:
                    callback(epoch)
                if interrupt.requested or epochs.stopped:
                    break
        except StopTraining:
            pass
        except KeyboardInterrupt:
            interrupt.requested = True
    history.interrupted = interrupt.requested
    return history


def _held_out(model: Model, X: NDArray[Any] | Csr, y: Targets, input_format: str) -> PreparedSet:
    """Prepare samples that are evaluated after each epoch."""
    data = profile_repeated(model, X, in_order=True, is_weighted=y.weights is not None)
    plan = plan_evaluation(model, data, input_format)
    return PreparedSet(prepare(model, X, plan), y, plan.propagation)


def _evaluated(model: Model, held_out: PreparedSet) -> Record:
    loss, accuracy = evaluate(model, held_out.blocks, held_out.y, held_out.propagation)
    return {"validation_loss": loss} | ({"validation_accuracy": accuracy} if model.loss.counts_correct else {})
