"""The training loop: epochs, validation, callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from fastfnn._warnings import warn
from fastfnn.execution.options import Options
from fastfnn.execution.plan import ExecutionPlan
from fastfnn.history import History, Record
from fastfnn.model import Model
from fastfnn.optimizers import Optimizer
from fastfnn.schedules import scheduled_rate
from fastfnn.training.agreement import Agreement
from fastfnn.training.epochs import Epochs
from fastfnn.training.events import (
    Epoch,
    StopTraining,
    Training,
    finish_all,
    reads_record,
    start_all,
    tell,
    writes_files,
)
from fastfnn.training.interrupt import TERMINATED, Interrupt, postponed_interrupt
from fastfnn.training.prepared import Checked, PreparedSet, SharedSet, held_out, prepared
from fastfnn.training.start_check import check_start


def fit(
    model: Model,
    training: Checked,
    optimizer: Optimizer,
    options: Options,
    validation: Checked | None = None,
    history: History | None = None,
    agreement: Agreement | None = None,
) -> History:
    """Plan a training run, and train; the arguments are those of `fastfnn.Network.fit`, checked.

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
    history : History, optional
        History of a training run to resume; new records are appended to it.
    agreement : Agreement, optional
        Processes that train together.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the samples or the model, the optimizer holds the steps of another network, or
        the history does not fit; nothing is changed then.
    SystemExit
        If SIGTERM arrived, after the current step and all `finish`.
    """
    history = History() if history is None else history
    if not isinstance(history, History):
        raise TypeError(f"history must be a History, as returned by fit or load_checkpoint; got {history!r}")
    if agreement is not None:
        check_start(agreement, model, training, optimizer, options, history)
        if agreement.communicator.rank > 0:
            options = _without_files(options)
    plan, samples = prepared(model, training, optimizer, options, agreement)
    held = None if validation is None else held_out(model, *validation, options.input_format, agreement)
    run = _Run(model, samples, optimizer, options, plan, held, history, agreement)
    optimizer.claim(model.layers[0])
    X, y = training
    model.predicts_columns = y.are_columns
    if model.data_form is not None and model.data_form.is_bytes != (X.dtype == np.uint8):
        model.data_form = None  # that of another training run
    with postponed_interrupt() as interrupt, until_end(run.training, run.started, interrupt), _ending_all(agreement):
        run.train(interrupt)
    if interrupt.terminated:
        raise SystemExit(TERMINATED)
    if history.interrupted:
        how = "" if run.training.error is None else " at once, possibly in the middle of a step: resume a checkpoint"
        warn(f"training was interrupted{how}; history.interrupted is True: {history!r}")
    return history


def _without_files(options: Options) -> Options:
    """Leave out the callbacks that write files: the first process calls them."""
    callbacks = [each for each in options.callbacks if not writes_files(each)]
    step_callbacks = [each for each in options.step_callbacks if not writes_files(each)]
    return replace(options, callbacks=callbacks, step_callbacks=step_callbacks)


@contextmanager
def until_end(training: Training, started: Sequence[Callable[..., Any]], interrupt: Interrupt) -> Iterator[None]:
    """Call `finish` of callbacks at the end of the `with` block, and tell them what ended it.

    `StopTraining` and Ctrl-C end the block, and no more.
    """
    history = training.history
    try:
        yield
    except StopTraining:
        pass
    except KeyboardInterrupt as error:
        training.error = error
        interrupt.requested = True
    except BaseException as error:
        training.error = error
        raise
    finally:
        history.interrupted = interrupt.requested
        finish_all(started, training)
        if training.is_restored:
            history.unfinished = None  # the weights are no longer those of that place
        history.interrupted = interrupt.requested


@contextmanager
def _ending_all(agreement: Agreement | None) -> Iterator[None]:
    """End all processes where a second Ctrl-C ends one in the middle of a step; the others would wait for it."""
    try:
        yield
    except KeyboardInterrupt:
        if agreement is not None:
            agreement.communicator.abort("Ctrl-C ended a step")
        raise


@contextmanager
def _stopping_all(agreement: Agreement | None) -> Iterator[None]:
    """Raise `StopTraining` after the `with` block on all processes, if it was raised there on one of them."""
    if agreement is None:
        yield
        return
    stops = False
    try:
        yield
    except StopTraining:
        stops = True
    if agreement.any(stops)[0]:
        raise StopTraining


class _Run:
    """A training run on prepared samples; see `fit` for the other arguments.

    Attributes
    ----------
    training : Training
        The run, as callbacks see it.
    started : list
        Callbacks whose `start` was called, or that have none.
    """

    def __init__(
        self,
        model: Model,
        samples: PreparedSet | SharedSet,
        optimizer: Optimizer,
        options: Options,
        plan: ExecutionPlan,
        validation: PreparedSet | SharedSet | None,
        history: History,
        agreement: Agreement | None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._options = options
        self._samples = samples
        self._held_out = validation
        self._agreement = agreement
        self._epochs = Epochs(model, samples, optimizer, options, plan)
        self._unfinished = None if history.unfinished is None else self._epochs.continued(history.unfinished)
        if self._unfinished is not None and self._unfinished.epoch != len(history) + 1:
            raise ValueError(f"the history has {len(history)} epochs, and ended in epoch {self._unfinished.epoch}")
        self._callbacks = sorted(options.callbacks, key=reads_record)
        self.training = Training(model, optimizer, history, options.epochs)
        self.started: list[Callable[..., Any]] = []

    def train(self, interrupt: Interrupt) -> None:
        """Start the callbacks, and run epochs until one of them, Ctrl-C or the number of epochs ends training."""
        with _stopping_all(self._agreement):
            start_all((*self._options.callbacks, *self._options.step_callbacks), self.training, self.started)
        history = self.training.history
        begun = time.perf_counter() - history.seconds
        with self._optimizer.scheduled() if self._options.schedule else nullcontext():
            for number in range(len(history) + 1, self._options.epochs + 1):
                if self._epoch(number, begun, interrupt):
                    return

    def _epoch(self, number: int, begun: float, interrupt: Interrupt) -> bool:
        """Run one epoch, record it and call the callbacks; return whether training ends."""
        history, options, optimizer = self.training.history, self._options, self._optimizer
        if options.schedule is not None:
            model = self._model
            rate = scheduled_rate(options.schedule, number, history, model.dtype, model.rate_factors)
            optimizer.learning_rate = rate
        progress = self._unfinished or self._epochs.begin(number)
        self._unfinished = history.unfinished = None
        self._epochs.run(progress, interrupt)
        seconds = time.perf_counter() - begun
        if not progress.is_complete:
            history.unfinished = progress.unfinished(seconds)
            return True
        record = {"epoch": number, **progress.record(self._model.loss.counts_correct), "seconds": seconds}
        if options.schedule is not None:
            record["learning_rate"] = optimizer.learning_rate
        if self._held_out is not None:
            record |= evaluated(self._model, self._held_out)
        history.records.append(record)
        epoch = Epoch(number, options.epochs, record, self._model, optimizer, history, self._samples)
        self._epochs.stopped |= tell(self._callbacks, epoch)
        return self._epochs.ends(interrupt)


def evaluated(model: Model, samples: PreparedSet | SharedSet) -> Record:
    """Return the loss, and the accuracy if there is one, as parts of a record."""
    loss, accuracy = samples.evaluate(model)
    return {"validation_loss": loss} | ({"validation_accuracy": accuracy} if model.loss.counts_correct else {})
