"""A training or an exchange by one or several processes: a program that `bench_distributed.py` starts.

usage: python bench/distributed_job.py step|epoch none|alone|mpi SHARES THREADS DATA
       python bench/distributed_job.py exchange tree|allreduce SIZE

The first process prints the least seconds of a step, of an epoch of mini-batches, or of an exchange.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from fastfnn_kernels.runtime import get_num_threads, set_num_threads
from main_job import mnist, random_dense

import fastfnn
from fastfnn.distributed import alone, mpi
from fastfnn.distributed.exchange import Exchange
from fastfnn.distributed.library import mpi_library
from fastfnn.execution.shares import nodes_of, shares_of

# The first epochs compile kernels and warm caches.
FIRST_EPOCHS = 3
EPOCHS = {"step": 20, "epoch": 8}
BATCH_SIZE = 4096

FIRST_EXCHANGES, EXCHANGES, SHARES = 5, 40, 16


def least_epoch(kind: str, group_name: str, shares: int, n_threads: int, data: str) -> tuple[int, float]:
    """Train, and return this process's rank and the least seconds of an epoch."""
    groups: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "alone": lambda: alone(shares),
        "mpi": lambda: mpi(shares=shares),
    }
    group = groups[group_name]()
    set_num_threads(min(n_threads, get_num_threads()))
    samples = mnist() if data == "mnist" else random_dense()
    rows = slice(None) if group is None else group.rows(len(samples.y))
    layers = [fastfnn.Dense(784, 256, activation="relu"), fastfnn.Dense(256, 10, use_bias=False)]
    network = fastfnn.Network(layers, seed=0, input_scale=1 / 255)
    times: list[float] = []
    network.fit(
        samples.X[rows],
        samples.y[rows],
        fastfnn.SGD(0.1),
        FIRST_EPOCHS + EPOCHS[kind],
        None if kind == "step" else BATCH_SIZE,
        callbacks=[lambda epoch: times.append(time.perf_counter())],
        communicator=group,
    )
    return 0 if group is None else group.rank, float(np.diff(times[FIRST_EPOCHS - 1 :]).min())


def least_exchange(kind: str, size: int) -> tuple[int, float]:
    """Add up vectors of all processes; return this process's rank and the least seconds of it."""
    library = mpi_library()
    comm = library.COMM_WORLD.Dup()
    exchange = Exchange(comm, SHARES)
    nodes = nodes_of(shares_of(comm.rank, comm.size, SHARES))
    vectors = [np.ones(size, np.float32) for _ in nodes]
    times = []
    for _ in range(FIRST_EXCHANGES + EXCHANGES):
        comm.Barrier()
        start = time.perf_counter()
        if kind == "tree":
            exchange.add(list(zip(nodes, vectors, strict=True)))
        else:
            comm.Allreduce(library.IN_PLACE, vectors[0])
        times.append(time.perf_counter() - start)
        for vector in vectors:
            vector[:] = 1
    return comm.rank, min(times[FIRST_EXCHANGES:])


def main() -> None:
    """Run the program."""
    job, *args = sys.argv[1:]
    if job == "exchange":
        rank, seconds = least_exchange(args[0], int(args[1]))
    else:
        rank, seconds = least_epoch(job, args[0], int(args[1]), int(args[2]), args[3])
    if rank == 0:
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
