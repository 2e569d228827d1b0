"""One training, from its settings to its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from fastfnn_kernels.runtime import threads
from rich.console import Console

from fastfnn import plots, runs
from fastfnn.backends import get_backend
from fastfnn.datasets import Dataset
from fastfnn.history import History
from fastfnn.kernel_watch import KernelWatch, watched_kernels
from fastfnn.network import Network
from fastfnn.optimizers import Optimizer
from fastfnn.progress import progress_display, say
from fastfnn.recipes import get_recipe
from fastfnn.reports import Report, Reporter
from fastfnn.settings import Settings, make_optimizer, write_config
from fastfnn.task import Task, load_task
from fastfnn.warmup import warm_up


def run(settings: Settings, out: Path) -> bool:
    """Train as `settings` say, print how it goes, and write the files into the folder `out`.

    Returns
    -------
    bool
        Whether the training came to its end. False when Ctrl-C ended it: everything is written as far as it
        got.

    Raises
    ------
    ValueError, TypeError, OSError, ImportError
        If settings, data or folder do not fit; nothing was computed then. ValueError also if the loss becomes
        infinite or NaN; no model was written then.
    """
    recipe = get_recipe(settings.recipe)
    get_backend(settings.backend)
    runs.make_folder(out)
    with nullcontext() if settings.threads is None else threads(settings.threads):
        experiment = Experiment(settings, recipe, load_task(recipe, settings))
        return experiment.run(out)


@dataclass(frozen=True, eq=False)
class Experiment:
    """A training whose settings, recipe and samples are known."""

    settings: Settings
    recipe: ModuleType
    task: Task

    def run(self, out: Path) -> bool:
        """Train, test and write; see `run`."""
        say(self.summary())
        network = self.build_network()
        if self.settings.backend == "numba":
            self._warm_up()
        self._draw_samples(out)
        history, reports = self._train(network)
        self._write(network, history, reports, out)
        if self.task.test is not None:
            self._test(self.task.test, network, out)
        say(f"the files are in {out}")
        if history.interrupted:
            say(f"interrupted after iteration {len(history):,} of {self.settings.iterations:,}")
        return not history.interrupted

    def summary(self) -> str:
        """Say what is about to be trained."""
        settings, task = self.settings, self.task
        n_test = 0 if task.test is None else len(task.test.X)
        widths = "-".join(str(width) for width in (task.n_inputs, *settings.hidden, task.n_classes))
        batch = "full batch" if settings.batch_size is None else f"batches of {settings.batch_size:,}"
        return (
            f"{settings.recipe}: {len(task.X):,} samples to train, {n_test:,} to test\n"
            f"network {widths}, {settings.backend}, {settings.dtype}\n"
            f"{settings.optimizer}, learning rate {settings.learning_rate:g}, l2 {settings.l2:g}, {batch}"
        )

    def build_network(self) -> Network:
        """Build the network as it is before training."""
        task = self.task
        network: Network = self.recipe.build_network(self.settings, task.n_inputs, task.n_classes, task.input_scale)
        return network

    def build_optimizer(self) -> Optimizer:
        """Build the optimizer as it is before training."""
        return make_optimizer(self.settings, self.recipe.OPTIMIZERS)

    def _warm_up(self) -> None:
        task, settings = self.task, self.settings
        with _shown("preparing the kernels") as watch:
            warm_up(
                self.build_network(),
                self.build_optimizer(),
                task.X,
                task.y,
                settings.batch_size,
                settings.l2,
                settings.input_format,
            )
        say(watch.summary())

    def _draw_samples(self, out: Path) -> None:
        if plots.can_draw():
            runs.write_figure(out / runs.SAMPLES, plots.samples(self.task.X, self.task.y, self.settings.seed))
        else:
            say('no pictures without Matplotlib: pip install "fastfnn[plot]" brings them')

    def _train(self, network: Network) -> tuple[History, list[Report]]:
        task, settings = self.task, self.settings
        display = progress_display(Console(), settings.iterations, len(task.X))
        reporter = Reporter(self.recipe.report, settings.report_every, display)
        optimizer = self.build_optimizer()
        # Where numbers overflow, the reporter says so in one line.
        with display, np.errstate(over="ignore", invalid="ignore"):
            history = network.fit(
                task.X,
                task.y,
                optimizer,
                epochs=settings.iterations,
                batch_size=settings.batch_size,
                l2=settings.l2,
                callbacks=[reporter],
                input_format=settings.input_format,
            )
            if not reporter.reports:
                raise KeyboardInterrupt
            reporter.report_last()
        seconds = history["seconds"][-1]
        speed = len(history) * len(task.X) / seconds
        say(f"training took {seconds:.1f} s, {speed:,.0f} samples/s")
        return history, reporter.reports

    def _write(self, network: Network, history: History, reports: list[Report], out: Path) -> None:
        network.save(out / runs.MODEL)
        runs.write_history(out / runs.HISTORY, reports)
        write_config(out / runs.CONFIG, self.settings)
        if plots.can_draw():
            runs.write_figure(out / runs.CURVES, plots.curves(history, reports))

    def _test(self, test: Dataset, network: Network, out: Path) -> None:
        with _shown("testing"):
            predicted = network.predict(test.X, self.settings.input_format)
        if test.y is None:
            runs.write_submission(out / runs.SUBMISSION, predicted)
            say(f"predicted {len(predicted):,} samples without labels: {out / runs.SUBMISSION}")
            return
        with _shown("testing"):
            loss, accuracy = network.evaluate(test.X, test.y, self.settings.input_format)
        say(f"test loss {loss:.9g}, accuracy {accuracy:.4%}")
        if plots.can_draw():
            runs.write_figure(out / runs.CONFUSION, plots.confusion(test.y, predicted, self.task.n_classes))


@contextmanager
def _shown(what: str) -> Iterator[KernelWatch]:
    """Show what takes a while, and which kernel is prepared for it."""
    status = Console().status(what)
    with status, watched_kernels(lambda kernel: status.update(f"{what}: {kernel}")) as watch:
        yield watch
