"""Small trainings by several processes, whose digests tests compare; run by mpiexec as a program.

usage: python tests/mpi_trainings.py alone|mpi FOLDER CASE...
"""

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import sparse

from fastfnn import SGD, Adam, Dense, Dropout, Network, RMSprop
from fastfnn.distributed import alone, mpi

N_ROWS, N_INPUTS, N_CLASSES, SHARES = 501, 40, 5, 16


def inputs(form):
    """Return rows of one form, and their labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, N_INPUTS)).astype(np.float32)
    if form in ("packed", "csr"):
        X[rng.random(X.shape) > 0.15] = 0
    y = rng.integers(0, N_CLASSES, N_ROWS)
    return X, y


def network(backend, dtype, hidden=(96, 48)):
    """Build a network that is too large for the gradient in one call, unless `hidden` is small."""
    widths = [N_INPUTS, *hidden]
    layers = []
    for n_inputs, n_outputs in pairwise(widths):
        layers += [Dense(n_inputs, n_outputs, activation="relu")]
    if len(hidden) > 1:
        layers.append(Dropout(0.3))
    return Network([*layers, Dense(widths[-1], N_CLASSES)], backend, dtype, seed=3)


# Optimizers, and options of `fit` that go with them.
CASE_OPTIMIZERS = {
    "adam": (lambda: Adam(0.01), {"clip_norm": 0.5}),
    "rmsprop": (lambda: RMSprop(0.01, granularity="tensor"), {"l2": 0.01}),
    "momentum": (lambda: SGD(0.05, momentum=0.9), {"l2_bias": 0.1}),
    "weighted": (lambda: Adam(0.01), {}),
    "small": (lambda: Adam(0.01), {}),
}


def digest(network, history, more):
    """Digest parameters, predictions' inputs and the history, apart from times."""
    sha = hashlib.sha256()
    for array in network.parameters.values():
        sha.update(array.tobytes())
    records = [{name: value for name, value in record.items() if name != "seconds"} for record in history]
    sha.update(json.dumps([records, more], sort_keys=True).encode())
    return sha.hexdigest()[:16]


def _own_rows(X, rows, form, folder):
    """Return rows of X in one form; a mapped file is written by each process for itself."""
    if form == "csr":
        return sparse.csr_array(X)[rows]
    if form != "memmap":
        return X[rows]
    path = folder / f"{rows.start}.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")[rows]


def train(group, folder, backend, form, batches, optimizer, dtype="float32"):
    """Train, evaluate and compute a gradient; return the digest of everything."""
    X, y = inputs(form)
    rows = group.rows(N_ROWS)
    own = _own_rows(X, rows, form, folder)
    rng = np.random.default_rng(1)
    weights = rng.random(N_ROWS)
    make_optimizer, options = CASE_OPTIMIZERS[optimizer]
    options = options | ({"sample_weight": weights[rows]} if optimizer == "weighted" else {})
    net = network(backend, dtype, (12,) if optimizer == "small" else (96, 48))
    held_out = (own, y[rows])
    history = net.fit(
        own,
        y[rows],
        make_optimizer(),
        epochs=2,
        batch_size=None if batches == "full" else 128,
        validation_data=held_out,
        input_format={"packed": "sparse", "csr": "sparse"}.get(form, "auto"),
        communicator=group,
        **options,
    )
    loss, gradients = net.loss_and_gradients(own, y[rows], 0.1, communicator=group)
    more = [loss, *net.evaluate(own, y[rows], communicator=group)]
    more.append(hashlib.sha256(net.predict_proba(X[:50]).tobytes()).hexdigest())
    for gradient in gradients:
        arrays = [array for array in (gradient.weights, gradient.bias) if array is not None]
        more += [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
    return digest(net, history, more)


def main():
    kind, folder, *cases = sys.argv[1:]
    group = alone(SHARES) if kind == "alone" else mpi(shares=SHARES)
    for case in cases:
        found = train(group, Path(folder), *case.split(","))
        if group.rank == 0:
            print(case, found, flush=True)


if __name__ == "__main__":
    main()
