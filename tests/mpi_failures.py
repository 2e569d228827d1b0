"""Trainings by several processes in which something happens on one of them; run by mpiexec as a program.

usage: python tests/mpi_failures.py FOLDER SITUATION...
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mpi_trainings import N_ROWS, inputs, network

from fastfnn import Adam, StopTraining
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.distributed import mpi

EPOCHS, BATCH_SIZE = 6, 64


def on_rank(rank, group, action):
    """Return a callback that does something on one rank only."""

    def callback(event):
        if group.rank == rank:
            action(event)

    return callback


def fail(event):
    if event.number == 3:
        raise MemoryError("no memory for the picture")


def stop(event):
    if event.number == 3:
        raise StopTraining


def interrupt(event):
    if event.number == 3:
        os.kill(os.getpid(), signal.SIGINT)


def kill_at(seed):
    """Return a step callback that kills its process at a step that the seed chooses, after the first epoch."""
    steps = -(-N_ROWS // BATCH_SIZE)
    chosen = int(np.random.default_rng(seed).integers(steps + 1, (EPOCHS - 1) * steps))

    def kill(step):
        if step.number == chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def hang(event):
    if event.number == 3:
        time.sleep(600)


def train(group, folder, X, y, **options):
    """Train on this process's rows with a checkpoint after each epoch; return network and history."""
    net, optimizer, path = network("numpy", "float32"), Adam(0.01), folder / "checkpoint.safetensors"
    folder.mkdir(exist_ok=True)
    history = load_checkpoint(path, net, optimizer) if path.exists() else None
    options = {"rows": group.rows(N_ROWS), "callbacks": [], **options, "history": history, "communicator": group}
    rows, options["callbacks"] = options.pop("rows"), [*options["callbacks"], Checkpoint(path)]
    history = net.fit(X[rows], y[rows], optimizer, EPOCHS, BATCH_SIZE, **options)
    return net, history


def situation(name, group, folder):
    """Train while something happens; return what this rank saw."""
    X, y = inputs("dense")
    rank = min(1, group.size - 1)
    callbacks = {"fails": fail, "stops": stop, "interrupted": interrupt, "hangs": hang}
    options = {}
    if name in callbacks:
        options["callbacks"] = [on_rank(rank, group, callbacks[name])]
    elif name == "stops_in_epoch":
        options["step_callbacks"] = [on_rank(rank, group, stop)]
    elif name.startswith("killed"):
        options["step_callbacks"] = [on_rank(rank, group, kill_at(int(name.removeprefix("killed"))))]
    elif name == "other_rate" and group.rank == rank:
        options["clip_norm"] = 1.0
    elif name == "other_rows" and group.rank == rank:
        rows = group.rows(N_ROWS)
        options["rows"] = slice(rows.start, rows.stop - 10)
    elif name == "nan" and group.rank == rank:
        X[group.rows(N_ROWS).start, 3] = np.nan
    elif name == "wrong_everywhere" or (name == "wrong" and group.rank == rank):
        options["clip_norm"] = -1.0
    net, history = train(group, folder, X, y, **options)
    return f"{len(history)} epochs, {history.interrupted}, {net.layers[0].weights.sum():.9f}"


def main():
    folder, *names = sys.argv[1:]
    group = mpi(timeout=3.0 if "hangs" in names else None)
    for name in names:
        try:
            seen = situation(name, group, Path(folder))
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        sys.stdout.write(f"{name} {group.rank} {seen}\n")


if __name__ == "__main__":
    main()
