"""Training with the solvers adam and sgd, as scikit-learn's multilayer perceptrons train."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastfnn.execution.options import Options
from fastfnn.execution.plan import log_plan, plan_evaluation, plan_training
from fastfnn.execution.preparation import prepare, profile_repeated
from fastfnn.history import History, Record
from fastfnn.network import Network
from fastfnn.sklearn.samples import HeldOut, Samples, inputs_of
from fastfnn.training.epochs import Epochs
from fastfnn.training.events import Epoch, Training, reads_record, start_all, tell
from fastfnn.training.interrupt import Interrupt, postponed_interrupt
from fastfnn.training.loop import evaluated, until_end
from fastfnn.training.prepared import PreparedSet, held_out

# Rate at which the adaptive schedule ends training, and the divisor by which it gets there.
SMALLEST_RATE, RATE_DIVISOR = 1e-6, 5.0


class RateSchedule(NamedTuple):
    """The schedule of a learning rate that an optimizer was made with."""

    kind: str
    initial: float
    power: float


class CumulativeOrder:
    """An order of samples, shuffled anew at each call, with the numbers that `sklearn.utils.shuffle` draws."""

    def __init__(self, n_samples: int, random_state: np.random.RandomState) -> None:
        self._rows = np.arange(n_samples)
        self._random_state = random_state

    def __call__(self, n_samples: int) -> NDArray[np.int64]:
        """Return the rows in their next order."""
        drawn = np.arange(n_samples)
        self._random_state.shuffle(drawn)
        self._rows = self._rows[drawn]
        return self._rows


class StochasticFit:
    """A training run of an estimator, epoch by epoch.

    The estimator's `_optimizer`, attributes and parameters are changed.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        The estimator, initialised.
    network : Network
        Network on the estimator's arrays, stored in one vector.
    training : Samples
        Samples to train on.
    validation : HeldOut or None
        Samples to evaluate after each epoch.
    callbacks : sequence of callables
        As in `MLPClassifier.fit`.
    """

    def __init__(
        self,
        estimator: Any,
        network: Network,
        training: Samples,
        validation: HeldOut | None,
        callbacks: Sequence[Callable[..., Any]],
    ) -> None:
        self._estimator = estimator
        self._network = network
        self._validation = validation
        self._n_samples = n_samples = training.X.shape[0]
        self._order = CumulativeOrder(n_samples, estimator._random_state)
        size = _batch_size(estimator.batch_size, n_samples)
        options = Options(
            epochs=estimator.max_iter,
            batch_size=None if size == n_samples else size,
            shuffle=self._order if estimator.shuffle else False,
            l2=estimator.alpha,
            l2_added_to="sum",
            average_by="rows",
            callbacks=callbacks,
        )
        self._draws_in_vain = size == n_samples and estimator.shuffle
        X, y = inputs_of(training.X), self._targets(training)
        data = profile_repeated(network, X, options.batch_size is None, y.weights is not None)
        plan = plan_training(network, data, options, estimator._optimizer)
        log_plan(plan)
        propagation = plan_evaluation(network, data).propagation
        self._samples = PreparedSet(prepare(network, X, plan), y, propagation)
        self._held_out = None
        if validation is not None:
            samples = validation.samples
            self._held_out = held_out(network, inputs_of(samples.X), self._targets(samples), "auto")
        self._epochs = Epochs(network, self._samples, estimator._optimizer, options, plan)
        self._options, self._callbacks = options, sorted(options.callbacks, key=reads_record)
        self._training = Training(network, estimator._optimizer, History(), options.epochs)

    def run(self, once: bool) -> bool:
        """Train for one epoch, or until training has converged or the estimator's `max_iter` is reached.

        Returns
        -------
        bool
            Whether SIGTERM arrived; training then ended after the current step.
        """
        self._estimator.n_iter_ = 0
        started: list[Callable[..., Any]] = []
        begun = time.perf_counter()
        with postponed_interrupt() as interrupt, until_end(self._training, started, interrupt):
            start_all(self._options.callbacks, self._training, started)
            for number in range(1, 2 if once else self._training.n_epochs + 1):
                if self._epoch(number, begun, interrupt):
                    break
            else:
                if not once:
                    _warn_of_no_convergence(self._training.n_epochs)
        if interrupt.requested:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        return interrupt.terminated

    def _targets(self, samples: Samples) -> Any:
        return samples.targets(self._estimator.out_activation_ == "softmax", self._network.dtype)

    def _epoch(self, number: int, begun: float, interrupt: Interrupt) -> bool:
        """Run one epoch; return whether training ends."""
        estimator, history = self._estimator, self._training.history
        if self._draws_in_vain:
            self._order(self._n_samples)
        progress = self._epochs.begin(number)
        self._epochs.run(progress, interrupt)
        if not progress.is_complete:
            return True
        record = {"epoch": number, **progress.record(counts_correct=False)}
        self._note(number, record)
        self._score(record)
        schedule = estimator._schedule
        if schedule.kind == "invscaling":
            estimator._optimizer.learning_rate = schedule.initial / (estimator.t_ + 1) ** schedule.power
        history.records.append(record | {"seconds": time.perf_counter() - begun})
        is_over = self._is_over(number)
        return self._tell(number) or interrupt.requested or is_over

    def _note(self, number: int, record: Record) -> None:
        """Write an epoch into the estimator's attributes."""
        estimator, loss = self._estimator, record["loss"]
        estimator.n_iter_, estimator.loss_ = number, loss
        estimator.t_ += self._n_samples
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {number}, loss = {loss:.8f}")

    def _score(self, record: Record) -> None:
        """Evaluate the samples that are held out, and count the epochs without improvement."""
        estimator, validation = self._estimator, self._validation
        if self._held_out is not None:
            record["validation_loss"] = evaluated(self._network, self._held_out)["validation_loss"]
            estimator.validation_loss_curve_.append(record["validation_loss"])
        scored = (
            (None, None, None)
            if validation is None
            else (validation.samples.X, validation.y, validation.samples.weight)
        )
        estimator._update_no_improvement_count(estimator.early_stopping, *scored)
        if estimator.early_stopping:
            record["validation_score"] = estimator.validation_scores_[-1]

    def _is_over(self, number: int) -> bool:
        """Tell whether training has converged; lower an adaptive rate instead while that is possible."""
        estimator, optimizer = self._estimator, self._estimator._optimizer
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        what = "Validation score" if estimator.early_stopping else "Training loss"
        ending = "Stopping."
        is_adaptive = estimator._schedule.kind == "adaptive"
        is_over = not is_adaptive or optimizer.learning_rate <= SMALLEST_RATE
        if is_adaptive and is_over:
            ending = "Learning rate too small. Stopping."
        elif is_adaptive:
            optimizer.learning_rate /= RATE_DIVISOR
            ending = f"Setting learning rate to {optimizer.learning_rate:f}"
            estimator._no_improvement_count = 0
        if estimator.verbose:
            tol, epochs = estimator.tol, estimator.n_iter_no_change
            print(f"{what} did not improve more than tol={tol:f} for {epochs:d} consecutive epochs. {ending}")
        return is_over

    def _tell(self, number: int) -> bool:
        """Call the callbacks; return whether one of them ends training."""
        training = self._training
        history, optimizer, record = training.history, training.optimizer, training.history.records[-1]
        epoch = Epoch(number, training.n_epochs, record, self._network, optimizer, history, self._samples)
        return tell(self._callbacks, epoch)


def _warn_of_no_convergence(max_iter: int) -> None:
    """Warn that all epochs were trained, as scikit-learn does."""
    warnings.warn(
        f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the optimization hasn't converged yet.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _batch_size(batch_size: Any, n_samples: int) -> int:
    """Return the number of samples in a batch; warn if there are fewer."""
    if batch_size == "auto":
        return min(200, n_samples)
    if batch_size > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
        )
    return min(int(batch_size), n_samples)
