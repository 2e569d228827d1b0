"""Memory of trainings and predictions on wide sparse arrays, whatever the first layer is, in a process of their own.

An array of 2,000 x 40,000 float32 numbers takes 320 MB written out in full, and outputs and gradients as much each.
"""

import json
import os
import subprocess
import sys

import pytest

MEGABYTE = 2**20

SCRIPT = """
import json

import numpy as np
from scipy import sparse

import fastfnn
from fastfnn import Dense, Dropout, Network, SGD, Tanh


class Own(fastfnn.Layer):
    def n_outputs_for(self, n_inputs):
        return n_inputs

    def forward(self, x, out=None):
        return np.multiply(x, 2, out=out)

    def backward(self, x, y, grad_y):
        return 2 * grad_y

    def config(self):
        return {{}}


def memory(name):
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(name + ":"))


def work(n_rows, n_inputs):
    X = sparse.random_array((n_rows, n_inputs), density=1e-4, rng=np.random.default_rng(1), dtype="f4", format="csr")
    y = np.arange(n_rows) % 3
    net = Network([*{first}, Dense(n_inputs, 4, "relu"), Dense(4, 3)], {backend!r}, seed=1)
    net.fit(X, y, SGD(0.1), **{options})
    net.evaluate(X, y, **{form})
    net.predict(X, **{form})
    return net


work(300, 50)
before = memory("VmRSS")
work(2_000, 40_000)
print(json.dumps(memory("VmHWM") - before))
"""

FIRST_LAYERS = {
    "dropout": "[Dropout(0.5)]",
    "an activation": "[Tanh()]",
    "two without parameters": "[Dropout(0.5), Tanh()]",
    "an own layer": "[Own()]",
    "dense": "[]",
}


def grown(first, backend, form="{}", options="{}"):
    """Return the growth of the resident set by the end of the work."""
    script = SCRIPT.format(first=first, backend=backend, form=form, options=f"({options} | {form})")
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", script]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("name", FIRST_LAYERS)
def test_no_first_layer_makes_a_sparse_array_dense(name):
    assert grown(FIRST_LAYERS[name], "numba") < 250 * MEGABYTE


@pytest.mark.parametrize("name", ["dropout", "dense"])
def test_neither_does_numpy(name):
    """Its dropout has intermediate results of 64 bits."""
    assert grown(FIRST_LAYERS[name], "numpy") < 450 * MEGABYTE


def test_neither_do_large_batches_nor_the_dense_format():
    assert grown(FIRST_LAYERS["dropout"], "numba", options="{'batch_size': 1_500}") < 250 * MEGABYTE
    assert grown(FIRST_LAYERS["dense"], "numpy", options="{'batch_size': 900}") < 250 * MEGABYTE
    assert grown(FIRST_LAYERS["dense"], "numba", form="{'input_format': 'dense'}") < 250 * MEGABYTE
