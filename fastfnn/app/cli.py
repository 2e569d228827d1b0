"""The command line: train, predict, recipes, warmup, info."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from fastfnn._checks import FLOAT_DTYPES, check_choice
from fastfnn.app import run_folder
from fastfnn.app.compile_progress import watched_kernels
from fastfnn.app.config_file import read_config
from fastfnn.app.data import read_like
from fastfnn.app.divergence import DivergenceError
from fastfnn.app.experiment import run
from fastfnn.app.info import describe_installation
from fastfnn.app.progress import StageDisplay, say
from fastfnn.app.shared_task import DISTRIBUTED, USUAL_SHARES, group_of
from fastfnn.app.terminal import prepare_streams, require_written
from fastfnn.app.warmup import usual_work
from fastfnn.backends import compiled_beside, get_backend
from fastfnn.datasets.by_path import files_of
from fastfnn.files.described import in_brief, reason_of
from fastfnn.inputs.validation import INPUT_FORMATS, check_input_format, check_inputs
from fastfnn.network import Network
from fastfnn.recipes import RECIPES, get_recipe, kaggle_rmsprop
from fastfnn.recipes.settings import LABEL, Settings, parse_hidden, settle
from fastfnn.training.agreement import ProcessFailedError

DIVERGED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

# Characters of the longest message. The middle of a longer one, which quotes a file, is left out.
LONGEST_MESSAGE: Final = 2000

# Settings that do not change what a training run has done so far.
RESUMABLE: Final = ("iterations", "threads", "checkpoint_every")

DEFAULT_RECIPE: Final = kaggle_rmsprop.DEFAULTS.recipe

P = ParamSpec("P")

app = typer.Typer(
    help="Train feed-forward networks on the CPU.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    prepare_streams()
    app()


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Report bad input to a command in one line; a bug in the program keeps its traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            require_written()
        except (ValueError, TypeError, OSError, ImportError, MemoryError, ProcessFailedError) as error:
            print(f"error: {_reason(error)}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from error
        except DivergenceError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(DIVERGED) from error
        except KeyboardInterrupt as error:
            print("interrupted: nothing more is written", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from error

    return guarded


def _reason(error: Exception) -> str:
    """Return the message of an error on one line, or else its class."""
    return in_brief(reason_of(error), LONGEST_MESSAGE) or type(error).__name__


@app.command()
@one_line_errors
def train(
    recipe: Annotated[
        str | None, typer.Option(help=f"Published training to start from: {', '.join(RECIPES)}.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="File or folder to train on, instead of the recipe's own data: .csv, .csv.gz, .npz, IDX. "
            "Bytes are treated as pixels and divided by 255; other numbers are not scaled."
        ),
    ] = None,
    test_data: Annotated[
        Path | None,
        typer.Option(help="File or folder to test on; without labels, predictions are written instead."),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="numba or numpy.")] = None,
    dtype: Annotated[str | None, typer.Option(help=f"{' or '.join(FLOAT_DTYPES)}.")] = None,
    input_format: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(INPUT_FORMATS)}: sparse skips zeros; auto (default) decides by their share."),
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Number of passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Number of samples per update.")] = None,
    shuffle: Annotated[bool | None, typer.Option(help="Shuffle the samples for mini-batches in each pass.")] = None,
    drop_last: Annotated[
        bool | None, typer.Option(help="Skip a last mini-batch that is smaller than the others.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of a CSV file with the labels; by default label.")] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Column of a CSV file to leave out; can be repeated.")
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(help="CSV files begin with the names of their columns; without, these are called 1, 2, ..."),
    ] = None,
    input_scale: Annotated[
        float | None, typer.Option(help="Factor of byte inputs; 1/255 unless the recipe has another.")
    ] = None,
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers, such as 256,128.")] = None,
    optimizer: Annotated[str | None, typer.Option(help=f"{', '.join(kaggle_rmsprop.OPTIMIZERS)}.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate; by default the recipe's, or that of a named --optimizer.")
    ] = None,
    optimizer_option: Annotated[
        list[str] | None,
        typer.Option(help="Another argument of the optimizer, such as rho=0.95; can be repeated."),
    ] = None,
    l2: Annotated[float | None, typer.Option(help="Weight of the penalty on squared weights.")] = None,
    l2_bias: Annotated[float | None, typer.Option(help="Weight of the penalty on squared biases.")] = None,
    l2_per_sample: Annotated[
        bool | None, typer.Option(help="Divide both penalties by the number of training samples.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initial weights and the batch order.")] = None,
    threads: Annotated[int | None, typer.Option(help="Number of threads; by default all.")] = None,
    report_every: Annotated[int | None, typer.Option(help="Iterations between reports.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the model, history, settings and pictures; by default runs/RECIPE."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="config.toml of an earlier run; other options given here override it.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Iterations between checkpoints; by default none are written.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a run with checkpoints: continue from the last one, with its settings. Only "
            "--iterations, --threads and --checkpoint-every can be changed."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that the folder holds.")] = False,
    distributed: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(DISTRIBUTED)}: train by all processes that mpiexec or srun has started."),
    ] = None,
    shares: Annotated[
        int | None,
        typer.Option(
            help="Shares whose gradients are added in a fixed order: results do not depend on the number of "
            f"processes; a power of two, by default {USUAL_SHARES} with --distributed."
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a process ends that waits for another one.")
    ] = None,
) -> None:
    """Train a network, and write model, history, settings and pictures into a folder.

    Options left out take the recipe's values.
    """
    options = {
        "recipe": recipe,
        "data": None if data is None else str(data.absolute()),
        "test_data": None if test_data is None else str(test_data.absolute()),
        "label": label,
        "drop": tuple(drop) if drop else None,
        "header": header,
        "backend": backend,
        "dtype": dtype,
        "input_format": input_format,
        "iterations": iterations,
        "batch_size": batch_size,
        "shuffle": shuffle,
        "drop_last": drop_last,
        "input_scale": input_scale,
        "hidden": None if hidden is None else parse_hidden(hidden),
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "optimizer_options": tuple(optimizer_option) if optimizer_option else None,
        "l2": l2,
        "l2_bias": l2_bias,
        "l2_per_sample": l2_per_sample,
        "seed": seed,
        "threads": threads,
        "report_every": report_every,
        "checkpoint_every": checkpoint_every,
        "shares": shares,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if resume is not None:
        others = {"out": out, "config": config, "overwrite": overwrite}
        changes = [name for name in given if name not in RESUMABLE]
        _check_resumed(resume, [*changes, *(name for name, value in others.items() if value)])
        config, out = resume / run_folder.CONFIG, resume
    of_config = {} if config is None else _settings_in(config, given)
    if distributed is not None:
        check_choice("distributed", distributed, DISTRIBUTED)
        given = {"shares": of_config.get("shares", USUAL_SHARES)} | given
    settings = _settings(of_config, given)
    group = group_of(distributed is not None, settings.shares, timeout)
    folder = out or Path("runs") / settings.recipe
    if not run(settings, folder, of_config | given, resume is not None, overwrite, group):
        raise typer.Exit(INTERRUPTED)


@app.command()
@one_line_errors
def predict(
    model: Annotated[Path, typer.Option(help="model.safetensors of a training.")],
    data: Annotated[Path, typer.Option(help="File or folder of samples: .csv, .csv.gz, .npz, IDX.")],
    out: Annotated[Path, typer.Option(help="CSV file to write: ImageId,Label.")],
    backend: Annotated[str, typer.Option(help="numba or numpy.")] = "numba",
    input_format: Annotated[str, typer.Option(help=f"{', '.join(INPUT_FORMATS)}, as for train.")] = "auto",
    label: Annotated[str, typer.Option(help="Column of a CSV file with the labels.")] = LABEL,
    drop: Annotated[
        list[str] | None, typer.Option(help="Column of a CSV file to leave out; can be repeated.")
    ] = None,
    header: Annotated[bool, typer.Option(help="A CSV file begins with the names of its columns.")] = True,
) -> None:
    """Write the predicted label of each sample as CSV; if the samples have labels, print the accuracy.

    Columns are matched by the names that the model keeps, and numbers are treated as in its training.
    """
    check_input_format(input_format)
    run_folder.require_no_input(out, [model, *files_of(data)])
    run_folder.require_writable(out)
    network = Network.load(model, backend)
    samples = read_like(network.data_form, data, {"label": label, "drop": drop or (), "header": header})
    check_inputs(samples.X, network.n_inputs, f"{data}: X")
    predicted = network.predict(samples.X, input_format)
    if network.predicts_columns:
        predicted = predicted[:, 0]
    if predicted.ndim != 1:
        raise ValueError(f"{model} gives {network.n_outputs} numbers a sample, not one label: use Network.predict")
    run_folder.write_submission(out, predicted)
    say(f"predicted {len(predicted):,} samples: {out}")
    if samples.y is not None and network.loss.counts_correct:
        say(f"accuracy {np.mean(predicted == samples.y):.4%}")


@app.command()
@one_line_errors
def recipes() -> None:
    """List the recipes, one per line."""
    _print_columns({name: recipe.summary for name, recipe in RECIPES.items()})


@app.command()
@one_line_errors
def warmup(
    dtype: Annotated[str, typer.Option(help=f"{' or '.join(FLOAT_DTYPES)}.")] = FLOAT_DTYPES[0],
) -> None:
    """Compile the kernels that most training runs and predictions need, and cache them for later programs."""
    check_choice("dtype", dtype, FLOAT_DTYPES)
    get_backend("numba")
    stages = usual_work(dtype)
    display = StageDisplay(Console(), len(stages))
    with compiled_beside(np.dtype(dtype)), display, watched_kernels(display.show) as watch:
        for name, run_stage in stages.items():
            display.begin(name)
            run_stage()
    say(watch.summary())


@app.command()
@one_line_errors
def info() -> None:
    """Show the CPU, threads, backends, kernel cache and versions."""
    facts = describe_installation()
    console = Console()
    if console.is_terminal:
        console.print(_table(facts))
        return
    _print_columns(facts)


def _check_resumed(folder: Path, given: list[str]) -> None:
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(
            f"a resumed training keeps its settings, except iterations, threads and checkpoint-every: "
            f"leave out {names}"
        )
    for name in (run_folder.CONFIG, run_folder.CHECKPOINT, run_folder.HISTORY):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}: resume the folder of a run with --checkpoint-every")


def _settings_in(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Read a config.toml; what is wrong in it is reported with its name."""
    config = read_config(path)
    try:
        _settings(config, {name: value for name, value in given.items() if name == "recipe"})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return config


def _settings(config: dict[str, Any], given: dict[str, Any]) -> Settings:
    recipe = get_recipe(given.get("recipe", config.get("recipe", DEFAULT_RECIPE)))
    return settle(recipe.defaults, recipe.optimizers, config, given)


def _print_columns(facts: dict[str, str]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def _table(facts: dict[str, str]) -> Table:
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    return table
