"""The same bits on up to 33 threads, more than the CPU has: threads that wait for a core finish in any order."""

import processes

COUNTS = [1, 2, 3, 7, 16, 33]

# Shapes that no number of threads divides evenly, and inputs whose columns differ in their number of zeros.
PROGRAM = """
import hashlib, itertools
import numpy as np
from fastfnn_kernels import jitted
from fastfnn_kernels.batches import RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.packing import pack_columns
from fastfnn_kernels.runtime import set_num_threads

rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
N, INPUTS, OUTPUTS = 1150, 331, 300
x, w, b, g, labels = draw(N, INPUTS), draw(INPUTS, OUTPUTS), draw(OUTPUTS), draw(N, OUTPUTS), rng.integers(0, 9, N)
sparse = np.where(rng.random(x.shape) < np.linspace(0, 0.7, INPUTS), x, np.float32(0))
rows = jitted.pack_rows(sparse, x.dtype)
by_columns = rows._replace(by_columns=pack_columns(jitted.pack_rows, sparse, x.dtype, 1.0, np.arange(INPUTS)))
few = jitted.pack_rows(sparse[:200], x.dtype)
wide = draw(N, 512)
stack = [draw(INPUTS, OUTPUTS) / 16, draw(OUTPUTS, 9) / 16], [draw(OUTPUTS), draw(9)], ["relu", "identity"]
network = draw(INPUTS * 40 + 40 + 40 * 9 + 9) / 8, (40, 9), ("tanh", "identity"), (True, True)
layers = (StackLayer(INPUTS, drop_rate=0.25), StackLayer(OUTPUTS, "relu", 0), StackLayer(9, "tanh", INPUTS * OUTPUTS))
goals, backwards = RowLosses("softmax_cross_entropy", labels), np.arange(N)[::-1].copy()
numbers = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3, "weight_decay": 0.01, "epsilon_hat": False}
batches = [jitted.pack_batches(sparse, x.dtype, size) for size in (128, 700)]


def results():
    yield jitted.dense_forward(x, w, b, "relu")
    yield from jitted.dense_weight_gradient(x, g)
    yield jitted.dense_input_gradient(g, w, x, "tanh")
    yield jitted.sparse_forward(rows, w, b, "sigmoid")
    yield jitted.sparse_forward(few, w, b, "relu")
    yield from jitted.pack_rows(sparse, x.dtype)[:4]
    for packed in (rows, by_columns):
        yield from jitted.sparse_weight_gradient(packed, g)
        yield from jitted.sparse_weight_gradient(packed, wide)
        yield from jitted.sparse_weight_gradient(packed, g, w.copy(), b.copy(), accumulate=True)
    yield from jitted.dense_cross_entropy(g, draw(OUTPUTS, 9), draw(9), labels, None, "relu")
    yield from jitted.stack_gradient(x, *network, goals)
    yield from jitted.softmax_cross_entropy(g, labels)
    for stored in batches:
        weights, biases = ([array.copy() for array in arrays] for arrays in stack[:2])
        yield from jitted.sgd_batches(stored, labels, weights, biases, stack[2], 0.05)
        yield from weights + biases
    kinds = ((layers, False), (layers[1:], False), (layers[1:], True))  # packed inputs are not dropped
    for clip_norm, (used, packed) in itertools.product((np.inf, 0.1), kinds):
        vectors = [draw(INPUTS * OUTPUTS + OUTPUTS * 9) / 16, *np.zeros((3, INPUTS * OUTPUTS + OUTPUTS * 9), x.dtype)]
        training = *vectors[:2], Rule("adamw", 0.01, numbers, tuple(vectors[2:]), 0)
        seeds = np.arange(5 * len(used)).reshape(5, len(used))
        options = StepOptions(230, 1e-3, clip_norm=clip_norm, seeds=seeds)
        inputs = (jitted.pack_batches(sparse, x.dtype, 230), None) if packed else (x, backwards)
        yield from jitted.train_batches(*inputs, goals, Stack(INPUTS, used), *training, options)
        yield from vectors
    state = [x.copy(), x[::-1].copy(), np.zeros_like(x), np.zeros_like(x)]
    jitted.adam(*state, 1, 0.1, 0.9, 0.99, 1e-6)
    yield from state


for n_threads in {counts}:
    set_num_threads(n_threads)
    rng = np.random.default_rng(1)
    print(n_threads, *(hashlib.sha256(np.asarray(result).tobytes()).hexdigest()[:16] for result in results()))
"""


def test_results_do_not_depend_on_the_number_of_threads():
    environment = {"NUMBA_NUM_THREADS": str(max(COUNTS)), "OMP_WAIT_POLICY": "PASSIVE"}
    output = processes.output_of(PROGRAM.replace("{counts}", str(COUNTS)), environment)
    (one, *digests), *others = (line.split() for line in output.splitlines())
    assert one == "1"
    assert [n_threads for n_threads, *_ in others] == [str(count) for count in COUNTS[1:]]
    assert all(other == digests for _, *other in others)
