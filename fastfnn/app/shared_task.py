"""The samples of a run that several processes train.

Each process maps its own rows of a file that can be mapped. The first one reads other files, such as CSV, and sends
each process its rows.
"""

from __future__ import annotations

import json
from typing import Any

from fastfnn.app.data import Task, load_task
from fastfnn.data_form import from_entry, to_entry
from fastfnn.datasets import Labelled
from fastfnn.datasets.mapped import read_rows
from fastfnn.distributed.alone import Alone, alone
from fastfnn.distributed.mpi import Mpi, mpi
from fastfnn.recipes.recipe import Recipe, hold_nothing_out, watch_test
from fastfnn.recipes.settings import Settings
from fastfnn.training.agreement import Agreement

# What --distributed may name, and the number of shares unless --shares says otherwise.
DISTRIBUTED = ("mpi",)
USUAL_SHARES = 16


def group_of(by_mpi: bool, shares: int | None, timeout: float | None) -> Alone | Mpi | None:
    """Return the processes that train together; None without shares.

    Raises
    ------
    ValueError
        If an argument does not fit.
    ImportError
        If MPI is not installed.
    """
    if by_mpi:
        return mpi(shares=USUAL_SHARES if shares is None else shares, timeout=timeout)
    if timeout is not None:
        raise ValueError("timeout is for the processes of --distributed: leave it out")
    return None if shares is None else alone(shares)


def shared_task(recipe: Recipe, settings: Settings, group: Mpi, agreement: Agreement) -> Task:
    """Load this process's rows of the samples; the first process has all test samples too.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    settings : Settings
        Settings of the run.
    group : Mpi
        The processes.
    agreement : Agreement
        Their agreement: if loading fails on one of them, all raise the error.
    """
    mapped = _mapped_rows(recipe, settings, group)
    own = None if agreement.any(mapped is None)[0] else mapped
    task = load_task(recipe, settings, None if own is None else own[0]) if group.rank == 0 else None
    facts = json.loads(agreement.gather_texts("" if task is None else json.dumps(_facts_of(task)))[0])
    test, pair = (None, None) if task is None else (task.test, task.held_out)
    if own is None:
        X, y = group.scatter(None if task is None else task.X), group.scatter(None if task is None else task.y)
        n_classes, n_samples = facts["n_classes"], facts["n_samples"]
    else:
        (X, y), n_samples = own
        largest = max(map(int, agreement.gather_texts(str(y.max()))))
        n_classes = max(facts["n_classes"], 1 + largest)
    held_out = None
    if facts["is_held_out"]:
        held_out = Labelled(*(group.scatter(None if pair is None else array) for array in pair or (None, None)))
    form = from_entry(facts["form"], X.shape[1])
    assert form is not None
    return Task(X, y, test, form, n_classes, n_samples, held_out)


def _mapped_rows(recipe: Recipe, settings: Settings, group: Mpi) -> tuple[Labelled, int] | None:
    """Read this process's rows of the training file, and the number of all; None if another way has to be taken."""
    if settings.data is None or recipe.hold_out not in (hold_nothing_out, watch_test):
        return None
    found = read_rows(settings.data, group.rows)
    if found is None:
        return None
    rows, n_samples = found
    return None if rows.y is None else (Labelled(rows.X, rows.y), n_samples)


def _facts_of(task: Task) -> dict[str, Any]:
    """Describe a task, apart from its rows."""
    return {
        "form": to_entry(task.form),
        "n_classes": task.n_classes,
        "n_samples": task.n_samples,
        "is_held_out": task.held_out is not None,
    }
