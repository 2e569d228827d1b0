"""Peak memory of a full-batch training, in a process of its own.

The kernels are compiled by a small training in a process before, so that the compiler's memory is not counted, and
loaded from the cache by the same training in the process that is measured. The C library is told to give freed memory
back at once: what the small training leaves behind would hide as much of the large one.
"""

import json
import os
import subprocess
import sys

import pytest

import fastfnn

MEGABYTE = 2**20

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

TRAIN = """
import json
import threading

import numpy as np

import fastfnn
from fastfnn.execution.thresholds import ROWS_OF_LARGE_BLOCK


def memory(name):
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(name + ":"))


def fit(X, y, epochs):
    net = fastfnn.Network(
        [fastfnn.Dense(784, 256, "relu"), fastfnn.Dense(256, 10, use_bias=False)], seed=1, input_scale=1 / 255
    )
    return net.fit(X, y, fastfnn.RMSprop(0.5, 0.99, 1e-3, "tensor", 1.0, 500), epochs=epochs, l2=1e-6)


rng = np.random.default_rng(1)
for density in (0.1, 1.0):  # packed inputs, and dense ones
    few = (255 * (rng.random((2 * ROWS_OF_LARGE_BLOCK + 1, 784)) < density)).astype(np.uint8)
    fit(few, rng.integers(0, 10, 2 * ROWS_OF_LARGE_BLOCK + 1), epochs=1)
del few
"""

EMBEDDED = """
before = memory("VmRSS")
train, test = fastfnn.datasets.load_mnist()
loaded = sum(array.nbytes for split in (train, test) for array in (split.X, split.y))
history = fit(train.X, train.y, epochs=3)
peak = memory("VmHWM")
print(json.dumps({"loaded": loaded, "grown": peak - before, "n_epochs": len(history)}))
"""

MAPPED = """
class Watch(threading.Thread):
    peak, done = 0, False

    def run(self):
        while not self.done:
            self.peak = max(self.peak, memory("RssAnon"))
            threading.Event().wait(0.001)


X = np.memmap({path!r}, np.uint8, "r", shape=({n_rows}, 784))
y = np.arange({n_rows}) % 10
watch, before = Watch(), memory("RssAnon")
watch.start()
fit(X, y, epochs=1)
watch.done = True
watch.join()
print(json.dumps({{"grown": watch.peak - before}}))
"""


@pytest.fixture(scope="module", autouse=True)
def compiled():
    run("")


def measured(script):
    return json.loads(run(script))


def run(script):
    command, environment = [sys.executable, "-c", TRAIN + script], os.environ | GIVE_BACK
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_training_on_the_embedded_data_stays_under_the_data_and_300_mb():
    """The peak of the resident set by the end of three epochs, above its size just before the data is loaded."""
    result = measured(EMBEDDED)
    assert result["n_epochs"] == 3
    assert result["grown"] > result["loaded"] / 2
    assert result["grown"] < result["loaded"] + 300 * MEGABYTE


def test_ten_times_the_rows_in_a_memmap_take_no_more_memory(tmp_path):
    """Anonymous memory alone, sampled during the training: mapped pages of the file are cache."""
    rows = fastfnn.datasets.load_mnist()[0].X
    path = tmp_path / "X"
    with path.open("wb") as file:
        for _ in range(10):
            rows.tofile(file)
    once = measured(MAPPED.format(path=str(path), n_rows=len(rows)))
    ten_times = measured(MAPPED.format(path=str(path), n_rows=10 * len(rows)))
    path.unlink()
    assert 0 < once["grown"] < 50 * MEGABYTE
    assert 0 < ten_times["grown"] < once["grown"] + 10 * MEGABYTE
