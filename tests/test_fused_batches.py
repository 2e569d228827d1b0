"""Mini-batches of any optimizer: one call of a kernel for many steps, and the bits of the same steps one by one."""

import contextlib
import signal

import numpy as np
import pytest
from batch_trainings import SOME, built, cases, left_by, of_ones_own, trained
from hypothesis import given, settings
from networks import assert_close, bytes_of, each_backend
from processes import output_of, under_layer

from fastfnn import Gradient, StopTraining, TrainingWarning
from fastfnn.execution.plan import Steps


@settings(max_examples=300)
@given(cases())
def test_callbacks_change_no_bit(case):
    """With them, each step is a call of its own."""
    numbers = []
    many = trained(case)
    one_by_one = trained(case, step_callbacks=[lambda step: numbers.append(step.number)])
    assert left_by(*many) == left_by(*one_by_one)
    assert numbers == list(range(1, many[1].n_steps + 1))


@settings(max_examples=100)
@given(cases(dtypes=["float64"]))
def test_layers_and_optimizer_compute_the_same(case):
    net, optimizer, history = trained(case)
    other, own, expected = trained(case, of_ones_own, Steps.ONE_BY_ONE)
    assert own.n_steps == optimizer.n_steps
    assert net.rng.bit_generator.state == other.rng.bit_generator.state
    for step, same in zip(getattr(optimizer, "last_steps", ()), getattr(own, "last_steps", ()), strict=True):
        assert step == pytest.approx(same, rel=1e-7, abs=1e-9)
    for name, array in net.parameters.items():
        assert_close(array, other.parameters[name], 1e-9)
    for layer, same in zip(net.layers, other.layers, strict=True):
        assert_close(layer.gradient.weights, same.gradient.weights, 1e-7)
        assert_close(layer.gradient.bias, same.gradient.bias, 1e-7)
    for column in ("loss", "accuracy") if net.loss.counts_correct else ("loss",):
        assert history[column] == pytest.approx(expected[column], rel=1e-9, abs=1e-12, nan_ok=True)


RESUMED = {
    "adam and dropout": SOME,
    "rmsprop of tensors": SOME | {"optimizer": "rmsprop of tensors", "drop_rate": 0.0},
    "rmsprop, packed": SOME | {"optimizer": "rmsprop", "inputs": "mostly zeros", "loss": "binary"},
    "momentum, bytes": SOME | {"optimizer": "momentum", "inputs": "bytes", "loss": "huber", "factor": 0.0},
}


@pytest.fixture
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@each_backend
@pytest.mark.parametrize("way", ["StopTraining", "SIGINT"])
@pytest.mark.parametrize("name", RESUMED)
def test_an_epoch_that_was_ended_is_continued_to_the_same_bits(usual_handler, backend, name, way):
    """After any step, in whatever call it was."""
    case = RESUMED[name] | {"backend": backend, "operations_of_call": 4 * 10**9}
    net, optimizer, expected = trained(case)
    for last in (1, 3, 6, 8, 11, 17):

        def end(step, last=last):
            if step.number == last:
                if way == "StopTraining":
                    raise StopTraining
                signal.raise_signal(signal.SIGINT)

        resumed, its, data, options = built(case)
        with (
            contextlib.nullcontext() if way == "StopTraining" else pytest.warns(TrainingWarning, match="interrupted")
        ):
            history = resumed.fit(*data, its, **options, step_callbacks=[end])
        assert its.n_steps == last
        assert (history.unfinished is None) == (last % 6 == 0)
        resumed.fit(*data, its, **options, history=history)
        assert left_by(resumed, its, history) == left_by(net, optimizer, expected)


@each_backend
@pytest.mark.parametrize("kind", ["floats", "bytes", "columns in order", "packed floats", "sparse array"])
def test_the_training_set_may_be_evaluated_between_epochs(backend, kind):
    """Its rows are converted in the memory that batches use, which must not pass for the set's own."""
    case = SOME | {"backend": backend, "inputs": kind, "operations_of_call": 4 * 10**9}
    plain = trained(case)
    _, _, data, _ = built(case)
    seen = []

    def look(epoch):
        loss, accuracy = epoch.network.evaluate(*data)
        seen.append(loss)
        assert epoch.record["validation_loss"] == pytest.approx(loss, rel=1e-12)
        assert epoch.record["validation_accuracy"] == accuracy
        assert epoch.evaluate_training_set() == (pytest.approx(loss, rel=1e-12), accuracy)

    evaluated = trained(case, validation_data=data, callbacks=[look])
    assert len(seen) == 3
    assert bytes_of(evaluated[0]) == bytes_of(plain[0])
    assert evaluated[2]["loss"] == plain[2]["loss"]


@each_backend
def test_each_call_gives_the_layers_their_gradients(backend):
    """A callback may have replaced them."""
    case = SOME | {"backend": backend}

    def replace(event):
        for layer in event.network.layers:
            layer.gradient = Gradient()

    def read(step):
        assert all(np.any(layer.gradient.weights) for layer in step.network.layers if layer.parameters)

    plain = trained(case)
    for callbacks in ({"callbacks": [replace]}, {"step_callbacks": [read, replace]}):
        replaced = trained(case, **callbacks)
        assert all(layer.gradient == Gradient() for layer in replaced[0].layers)
        assert bytes_of(replaced[0]) == bytes_of(plain[0])
    again = trained(case, callbacks=[lambda epoch: epoch.number < 3 and replace(epoch)])
    assert left_by(*again) == left_by(*plain)


@each_backend
@pytest.mark.parametrize("name", ["momentum", "rmsprop", "adam"])
def test_a_state_of_separate_arrays_is_continued(backend, name):
    """Such a state is left by steps that a program takes by itself."""
    results = []
    for make in (lambda optimizer: optimizer, of_ones_own):
        net, optimizer, data, options = built(SOME | {"backend": backend, "optimizer": name})
        parameters, its = list(net.parameters.values()), make(optimizer)
        its.step(net.kernels, parameters, [np.cos(array) for array in parameters])
        net.fit(*data, its, **options)
        assert its.n_steps == 1 + 18
        results.append(np.concatenate([array.ravel() for array in net.parameters.values()]))
    assert_close(*results, 1e-9)


ON_THREADS = """
import hashlib
import numpy as np, fastfnn

OPTIMIZERS = (
    lambda: fastfnn.Adam(0.01), lambda: fastfnn.SGD(0.1, 0.9, nesterov=True),
    lambda: fastfnn.RMSprop(0.01, 0.9, 1e-3, "tensor", reset_every=3),
)

def digest_of_results():
    rng = np.random.default_rng(0)
    digest = hashlib.sha256()
    X = rng.random((1100, 60))
    y = rng.integers(0, 10, 1100)
    for inputs, dtype in ((X, "float32"), (X * (rng.random(X.shape) < 0.2), "float64")):
        for optimizer in OPTIMIZERS:
            layers = [fastfnn.Dense(60, 150, "relu"), fastfnn.Dropout(0.1), fastfnn.Dense(150, 40, "tanh")]
            net = fastfnn.Network([*layers, fastfnn.Dense(40, 10)], "numba", dtype, seed=1)
            options = {{"l2": 0.01, "l2_bias": 0.01, "clip_norm": 0.5, "sample_weight": np.linspace(0, 1, 1100)}}
            history = net.fit(inputs, y, optimizer(), epochs=1, batch_size=400, **options)
            gradients = [layer.gradient.weights for layer in net.layers if layer.parameters]
            for array in (*net.parameters.values(), *gradients, np.array(history["loss"])):
                digest.update(array.tobytes())
    return digest.hexdigest()

for n_threads in {counts}:
    fastfnn.set_num_threads(n_threads)
    print(n_threads, digest_of_results())
"""


def test_the_same_bits_on_any_number_of_threads():
    counts = [1, 2, 3, 7]
    output = output_of(ON_THREADS.format(counts=counts), under_layer("default", max(counts)), timeout=300)
    n_threads, digests = zip(*(line.split() for line in output.splitlines()), strict=True)
    assert [int(number) for number in n_threads] == counts
    assert len(set(digests)) == 1
