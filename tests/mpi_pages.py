"""A training on a mapped file that is larger than a process's part of it; run by mpiexec as a program.

usage: python tests/mpi_pages.py FILE

Each process prints its rank, the bytes of the file that it has read into memory, those of its own rows, and the bytes
by which its other memory grew at most.
"""

import re
import sys
from pathlib import Path

import numpy as np
from mpi_trainings import N_CLASSES

from fastfnn import SGD, Dense, Network
from fastfnn.distributed import mpi


def resident(path):
    """Return the resident bytes of mappings of a file."""
    counted, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counted = line.endswith(str(path))
        elif counted and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def peak_of_others():
    """Return the peak of resident memory that no file backs, as far as the system tells it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s*(\d+)", status)[1])


def main():
    path = Path(sys.argv[1])
    group = mpi()
    X = np.load(path, mmap_mode="r")
    rows = group.rows(len(X))
    y = np.arange(rows.start, rows.stop) % N_CLASSES
    net = Network([Dense(X.shape[1], 16, activation="relu"), Dense(16, N_CLASSES)], "numpy", seed=0)
    before = peak_of_others()
    for batch_size in (None, 2048):
        net.fit(X[rows], y, SGD(0.1), epochs=1, batch_size=batch_size, communicator=group)
    net.evaluate(X[rows], y, communicator=group)
    own = X[rows].nbytes
    sys.stdout.write(f"{group.rank} {resident(path)} {own} {peak_of_others() - before}\n")


if __name__ == "__main__":
    main()
