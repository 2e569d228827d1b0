"""A complete training run, from its settings to its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fastfnn_kernels.runtime import threads
from rich.console import Console

from fastfnn import plots
from fastfnn.app import run_folder
from fastfnn.app.compile_progress import KernelWatch, watched_kernels
from fastfnn.app.config_file import write_config
from fastfnn.app.data import Task, input_files, load_task
from fastfnn.app.divergence import Divergence
from fastfnn.app.progress import NoProgress, progress_display, say
from fastfnn.app.reporting import Report, Reporter, SavedReports, describe_trial, is_due, shown_warnings
from fastfnn.app.shared_task import shared_task
from fastfnn.app.terminal import spinner
from fastfnn.app.termination import raised_termination, told_termination
from fastfnn.app.warmup import warm_up
from fastfnn.backends import get_backend
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.datasets import Dataset, Labelled
from fastfnn.distributed.alone import Alone
from fastfnn.distributed.mpi import Mpi
from fastfnn.execution.plan import ExecutionPlan
from fastfnn.grid_search import best_trial, grid_search
from fastfnn.history import History
from fastfnn.network import Network
from fastfnn.optimizers import Optimizer
from fastfnn.recipes import get_recipe
from fastfnn.recipes.recipe import Recipe
from fastfnn.recipes.settings import Settings, make_optimizer
from fastfnn.training.agreement import Agreement, agreement_of, together
from fastfnn.training.events import Callback


def run(
    settings: Settings,
    out: Path,
    given: Collection[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    group: Alone | Mpi | None = None,
) -> bool:
    """Train as `settings` say, print the progress, and write the files into the folder `out`.

    Parameters
    ----------
    settings : Settings
        Settings of the training run.
    out : Path
        The folder.
    given : collection of str
        Names of settings that the user chose: a recipe's grid does not vary them.
    resume : bool
        Whether to continue from the checkpoint in the folder.
    overwrite : bool
        Whether the folder may hold another run, which is replaced.
    group : Alone or Mpi, optional
        Processes that train together; the first one prints and writes.

    Returns
    -------
    bool
        Whether training was completed. False when Ctrl-C ended it; the files then hold its state so far.

    Raises
    ------
    ValueError, TypeError, OSError, ImportError
        If settings, data or folder do not fit; nothing is computed then. OSError also if a file cannot be written,
        after the others have been.
    DivergenceError
        If the loss became infinite or NaN; the files hold the last good state.
    SystemExit
        If SIGTERM ended it; a checkpoint then holds its state so far, if there is to be one.
    """
    recipe, leads, agreement = get_recipe(settings.recipe), group is None or group.rank == 0, agreement_of(group)
    limited = nullcontext() if settings.threads is None else threads(settings.threads)
    with told_termination(out) if leads else nullcontext(), together(agreement), limited, shown_warnings():
        get_backend(settings.backend)
        grid = {name: values for name, values in recipe.grid.items() if name not in given}
        if leads:
            run_folder.require_free(out, input_files(settings), overwrite or resume)
        if grid and group is not None:
            raise ValueError(f"{recipe.name} tries values of {', '.join(grid)} on one process: choose them yourself")
        with run_folder.made_folder(out) if leads else nullcontext():
            with raised_termination():
                task = _loaded(recipe, settings, group, agreement)
            return Experiment(settings, recipe, task, group).run(out, grid, resume)


def _loaded(recipe: Recipe, settings: Settings, group: Alone | Mpi | None, agreement: Agreement | None) -> Task:
    """Load all samples, or this process's rows of them."""
    if agreement is None or not isinstance(group, Mpi) or group.size == 1:
        return load_task(recipe, settings)
    return shared_task(recipe, settings, group, agreement)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network after its training."""

    network: Network
    history: History
    reports: list[Report]
    divergence: Divergence


@dataclass(frozen=True, eq=False)
class Experiment:
    """A training run with its settings, recipe and samples."""

    settings: Settings
    recipe: Recipe
    task: Task
    group: Alone | Mpi | None = None

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes."""
        return self.group is None or self.group.rank == 0

    def _say(self, text: str) -> None:
        if self.leads:
            say(text)

    def run(self, out: Path, grid: Mapping[str, Sequence[Any]], resume: bool = False) -> bool:
        """Choose settings from the grid, train, test and write the files; see `run`."""
        self._say(self.summary())
        if self.settings.backend == "numba":
            with nullcontext() if self.group is None else self.group.first_on_host():
                self._warm_up()
        chosen, network = self, self.build_network()
        plan = self._plan(network)  # finds mistakes before an old run is removed
        if not resume and self.leads:
            self._begin(out)
        if grid and self.task.held_out is not None:
            chosen = self._choose(grid, self.task.held_out, out)
            network = chosen.build_network()
            plan = chosen._plan(network)
        self._say(plan.summary)
        if self.leads:
            chosen._draw_samples(out)
        trained = chosen._train(network, out, resume)
        trained.divergence.require_good()
        if self.leads:
            chosen._write(trained, out)
        if self.task.test is not None:
            chosen._test(self.task.test, trained.network, out)
        self._say(f"the files are in {out}")
        trained.divergence.require_none()
        if trained.history.interrupted:
            self._say(f"interrupted after iteration {len(trained.history):,} of {self.settings.iterations:,}")
        return not trained.history.interrupted

    def summary(self) -> str:
        """Describe the training run to come."""
        settings, task = self.settings, self.task
        n_test = 0 if task.test is None else len(task.test.X)
        widths = "-".join(str(width) for width in (task.n_inputs, *settings.hidden, task.n_classes))
        batch = "full batch" if settings.batch_size is None else f"batches of {settings.batch_size:,}"
        return (
            f"{settings.recipe}: {task.n_samples:,} samples to train, {n_test:,} to test\n"
            f"network {widths}, {settings.backend}, {settings.dtype}\n"
            f"{settings.optimizer}, learning rate {settings.learning_rate:g}, l2 {settings.l2:g}, {batch}"
        )

    def build_network(self) -> Network:
        """Build the untrained network."""
        settings, task = self.settings, self.task
        network = self.recipe.build_network(settings, task.n_inputs, task.n_classes, task.input_scale(settings))
        network.data_form = task.form
        return network

    def build_optimizer(self) -> Optimizer:
        """Build the optimizer, before its first step."""
        return make_optimizer(self.settings, self.recipe.optimizers)

    def fit(self, network: Network, optimizer: Optimizer, watched: bool = True, **options: Any) -> History:
        """Train as the settings say; `watched` evaluates on the held-out samples after each epoch."""
        task = self.task
        held_out = task.held_out if watched else None
        return network.fit(task.X, task.y, optimizer, validation_data=held_out, **self._options(), **options)

    def _plan(self, network: Network) -> ExecutionPlan:
        return network.plan(self.task.X, self.task.y, self.build_optimizer(), **self._options())

    def _begin(self, out: Path) -> None:
        """Remove an old run's files, and replace its settings, which this run may have been started with."""
        run_folder.remove_old(out)
        if (out / run_folder.CONFIG).exists():
            write_config(out / run_folder.CONFIG, self.settings)

    def _options(self) -> dict[str, Any]:
        """Return the arguments of `Network.fit` that the settings name."""
        settings = self.settings
        n_shared = self.task.n_samples if settings.l2_per_sample else 1
        return {
            "epochs": settings.iterations,
            "batch_size": settings.batch_size,
            "shuffle": settings.shuffle,
            "drop_last": settings.drop_last,
            "l2": settings.l2 / n_shared,
            "l2_bias": settings.l2_bias / n_shared,
            "input_format": settings.input_format,
            "communicator": self.group,
        }

    def _warm_up(self) -> None:
        task, settings = self.task, self.settings
        with raised_termination(), _shown("preparing the kernels", self.leads) as watch:
            warm_up(
                self.build_network(),
                self.build_optimizer(),
                task.X,
                task.y,
                settings.batch_size,
                settings.l2,
                settings.input_format,
            )
        self._say(watch.summary())

    def _choose(self, grid: Mapping[str, Sequence[Any]], held_out: Labelled, out: Path) -> Experiment:
        """Train each combination of the grid, and return the one that is best on the held-out samples."""

        def accuracy(**changes: Any) -> float:
            changed = dataclasses.replace(self, settings=dataclasses.replace(self.settings, **changes))
            network = changed.build_network()
            changed.fit(network, changed.build_optimizer(), watched=False)
            return network.evaluate(held_out.X, held_out.y, self.settings.input_format)[1]

        say(f"choosing {' and '.join(grid)} by the accuracy on {len(held_out.X):,} samples held out")
        trials = grid_search(grid, accuracy, lambda trial: say(describe_trial(trial)))
        if plots.can_draw():
            run_folder.write_figure(out / run_folder.GRID, plots.trials(trials))
        best = best_trial(trials)
        say(f"chosen: {describe_trial(best)}")
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, **best.settings))

    def _draw_samples(self, out: Path) -> None:
        if not plots.can_draw():
            say('no pictures without Matplotlib: pip install "fastfnn[plot]" brings them')
        elif self.task.n_inputs > 2:
            run_folder.write_figure(
                out / run_folder.SAMPLES, plots.samples(self.task.X, self.task.y, self.settings.seed)
            )

    def _resume(self, network: Network, optimizer: Optimizer, out: Path) -> tuple[History, list[Report]]:
        """Restore the state of the checkpoint; return the history, and the reports up to it.

        Raises
        ------
        ValueError
            If training is to have fewer iterations than it had.
        """
        history = load_checkpoint(out / run_folder.CHECKPOINT, network, optimizer)
        if self.settings.iterations < len(history):
            raise ValueError(
                f"{out} holds {len(history):,} iterations; got --iterations {self.settings.iterations:,}"
            )
        reports = [
            report
            for report in run_folder.read_history(out / run_folder.HISTORY)
            if report["iteration"] <= len(history)
            and is_due(report["iteration"], self.settings.report_every, self.settings.iterations)
        ]
        within = (
            "" if history.unfinished is None else f", and {history.unfinished.n_samples:,} samples of the next one"
        )
        self._say(f"resumed after iteration {len(history):,}{within}")
        return history, reports

    def _train(self, network: Network, out: Path, resume: bool) -> Trained:
        """Train the network, from the checkpoint if asked to.

        Raises
        ------
        KeyboardInterrupt
            If training was interrupted before the first report.
        """
        task, settings = self.task, self.settings
        display = progress_display(Console(), settings.iterations, task.n_samples) if self.leads else NoProgress()
        optimizer, divergence = self.build_optimizer(), Divergence()
        history, before = self._resume(network, optimizer, out) if resume else (History(), [])
        reporter = Reporter(self.recipe.report, settings.report_every, display, divergence, before)
        callbacks: list[Callback] = [divergence, reporter]
        if settings.checkpoint_every is not None:
            checkpoint = Checkpoint(out / run_folder.CHECKPOINT, settings.checkpoint_every)
            if self.leads:
                write_config(out / run_folder.CONFIG, settings)  # needed to resume training
            # The reports first: a resumed run drops those after the checkpoint and makes them again.
            callbacks += [SavedReports(out / run_folder.HISTORY, reporter, checkpoint), checkpoint]
        with display, np.errstate(over="ignore", invalid="ignore"):
            self.fit(network, optimizer, callbacks=callbacks, history=history)
            if history.interrupted:
                if not reporter.reports:
                    raise KeyboardInterrupt
                reporter.report_last(history)
        speed = len(history) * task.n_samples / history.seconds
        self._say(f"training took {history.seconds:.1f} s, {speed:,.0f} samples/s")
        return Trained(network, history, reporter.reports, divergence)

    def _write(self, trained: Trained, out: Path) -> None:
        """Write the files of a training run: all that can be written.

        Raises
        ------
        OSError
            If some could not be written.
        """
        network, history, reports = trained.network, trained.history, trained.reports
        writes: list[Callable[[], object]] = [
            lambda: network.save(out / run_folder.MODEL),
            lambda: run_folder.write_history(out / run_folder.HISTORY, reports),
            lambda: write_config(out / run_folder.CONFIG, self.settings),
        ]
        if plots.can_draw():
            figures = {run_folder.CURVES: plots.curves(history, reports)}
            figures |= self.recipe.draw(network, Labelled(self.task.X, self.task.y))
            writes += [partial(run_folder.write_figure, out / name, figure) for name, figure in figures.items()]
        run_folder.write_all(writes)

    def _test(self, test: Dataset, network: Network, out: Path) -> None:
        with _shown("testing"):
            predicted = network.predict(test.X, self.settings.input_format)
        if test.y is None:
            run_folder.write_submission(out / run_folder.SUBMISSION, predicted)
            say(f"predicted {len(predicted):,} samples without labels: {out / run_folder.SUBMISSION}")
            return
        with _shown("testing"):
            loss, accuracy = network.evaluate(test.X, test.y, self.settings.input_format)
        say(f"test loss {loss:.9g}, accuracy {accuracy:.4%}")
        if plots.can_draw():
            run_folder.write_figure(
                out / run_folder.CONFUSION, plots.confusion(test.y, predicted, self.task.n_classes)
            )


@contextmanager
def _shown(what: str, visible: bool = True) -> Iterator[KernelWatch]:
    """Show the name of a long task, and of the kernel that is being prepared for it."""
    status = spinner(what, visible)
    with status, watched_kernels(lambda kernel: status.update(f"{what}: {kernel}")) as watch:
        yield watch
