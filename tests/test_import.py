"""What is imported when: `import fastfnn` brings little more than NumPy, and each thing comes when it is needed."""

import json

import pytest
from processes import output_of

import fastfnn
from fastfnn.datasets import load_mnist

HEAVY = (
    "numba", "llvmlite", "rich", "typer", "matplotlib", "sklearn", "safetensors", "threadpoolctl", "onnx", "pandas",
    "tensorboardX",
)  # fmt: skip

LOADED = """
    import json, sys
    {program}
    print(json.dumps([name for name in {heavy} if name in sys.modules]))
"""

TRAIN = """
    import fastfnn, numpy as np
    net = fastfnn.Network([fastfnn.Dense(4, 3)], backend="{backend}")
    net.fit(np.eye(4), [0, 1, 2, 0], fastfnn.SGD(), epochs=2)
"""


def loaded_by(program):
    return set(json.loads(output_of(LOADED.format(program=program, heavy=HEAVY))))


def test_the_package():
    assert loaded_by("import fastfnn") == set()


@pytest.mark.parametrize("name", ["reference", "runtime", "runtime.caches", "checks"])
def test_kernels_that_need_no_numba(name):
    assert loaded_by(f"import fastfnn_kernels.{name}") == set()


def test_training_with_numpy():
    assert loaded_by(TRAIN.format(backend="numpy")) == {"threadpoolctl"}


def test_training_with_numba():
    assert loaded_by(TRAIN.format(backend="numba")) == {"numba", "llvmlite"}


def test_the_readers_of_data_come_when_they_are_asked_for():
    assert fastfnn.datasets.load_mnist is load_mnist
    with pytest.raises(AttributeError, match="module 'fastfnn' has no attribute 'nothing'"):
        _ = fastfnn.nothing


def test_the_command_line_as_a_module():
    assert output_of("import runpy, sys; sys.argv[1:] = ['info']; runpy.run_module('fastfnn')").startswith("CPU")
