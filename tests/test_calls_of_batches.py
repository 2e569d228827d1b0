"""Calls that take many mini-batches: how many, what keeps a training from them, and what ends one."""

import math
import signal

import numpy as np
import pytest
from batch_trainings import SOME, built, left_by, of_ones_own, trained
from networks import bytes_of, each_backend, samples, small_network
from processes import finish, start

from fastfnn import Adam, Dense, Network, TrainingWarning
from fastfnn.execution import thresholds
from fastfnn.execution.fused_batches import FusedBatches, batches_of_call
from fastfnn.execution.plan import Steps
from fastfnn.losses import SoftmaxCrossEntropy


@pytest.fixture
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def calls(monkeypatch):
    """How many rows each call of a kernel was given."""
    given, take = [], FusedBatches.take

    def spy(self, rows, seeds):
        given.append(len(rows))
        return take(self, rows, seeds)

    monkeypatch.setattr(FusedBatches, "take", spy)
    return given


@each_backend
def test_ctrl_c_is_seen_between_calls(usual_handler, monkeypatch, calls, backend):
    """Of the six steps of an epoch, a call takes two."""
    case = SOME | {"backend": backend}
    net, optimizer, data, options = built(case)
    monkeypatch.setattr(thresholds, "OPERATIONS_OF_CALL", 2 * operations_of_batch(net, 4, 1.0))
    begin = Adam.start_steps

    def press_in_the_second_call(self, parameters, n_steps):
        if self.n_steps == 2:
            signal.raise_signal(signal.SIGINT)
        return begin(self, parameters, n_steps)

    monkeypatch.setattr(Adam, "start_steps", press_in_the_second_call)
    with pytest.warns(TrainingWarning, match="training was interrupted"):
        history = net.fit(*data, optimizer, **options)
    monkeypatch.setattr(Adam, "start_steps", begin)
    assert calls == [8, 8]
    assert (len(history), history.unfinished.n_samples, optimizer.n_steps) == (0, 16, 4)
    net.fit(*data, optimizer, **options, history=history)
    assert calls == [8, 8, 7, *[8, 8, 7] * 2]
    assert left_by(net, optimizer, history) == left_by(*trained(case))


def operations_of_batch(net, batch_size, used):
    """Return the work of a batch, of whose first layer's products a share is `used`."""
    first, *others = [array.size for array in net.parameters.values()]
    products = 6 * batch_size * (used * first + sum(others))
    return products + thresholds.OPERATIONS_OF_UPDATE * (first + sum(others))


@pytest.mark.parametrize(("kind", "density"), [("floats", 1.0), ("mostly zeros", 0.3)])
def test_the_work_of_a_call_is_bounded(monkeypatch, kind, density):
    net, optimizer, data, options = built(SOME | {"backend": "numba", "inputs": kind})
    plan = net.plan(*data, optimizer, **options)
    used = min(1.0, thresholds.GROUP_DENSITY * plan.data.density) if plan.is_packed else 1.0
    assert plan.data.density == pytest.approx(density, abs=0.1)
    of_batch = operations_of_batch(net, 4, used)
    for operations, n_batches in (
        (0, 1),
        (of_batch - 1, 1),
        (2 * of_batch - 1, 1),
        (math.ceil(2 * of_batch), 2),
        (math.ceil(5.5 * of_batch), 5),
        (10**12, plan.rows_of_block // 4 if plan.is_packed else thresholds.BYTES_OF_CALL // (8 * 6) // 4),
    ):
        monkeypatch.setattr(thresholds, "OPERATIONS_OF_CALL", operations)
        assert batches_of_call(net, 4, plan) == n_batches


def test_a_large_batch_is_a_call_of_its_own(monkeypatch):
    net, optimizer, data, options = built(SOME)
    plan = net.plan(*data, optimizer, **options)
    monkeypatch.setattr(thresholds, "BYTES_OF_CALL", 8 * 6 * plan.rows_of_block)
    for n_rows in (plan.rows_of_block // 2 + 1, plan.rows_of_block, 10 * plan.rows_of_block):
        assert batches_of_call(net, n_rows, plan) == 1


def test_a_reset_of_means_begins_a_call(calls):
    """They are reset after the steps 1, 5, 9, 13 and 17."""
    trained(SOME | {"optimizer": "rmsprop of tensors", "operations_of_call": 4 * 10**9})
    assert calls == [4, 16, 3, 12, 11, 4, 16, 3]


class OwnDense(Dense):
    """A layer of a user's own."""


class OwnLoss(SoftmaxCrossEntropy):
    """A loss of a user's own."""

    def loss_and_gradient(self, *arguments):
        return super().loss_and_gradient(*arguments)


# Networks, optimizers and batch sizes that no kernel of many batches takes, and why.
OBSTACLES = {
    "a layer of a user's own": (
        lambda backend: Network([OwnDense(4, 3)], backend), Adam, 4, "OwnDense is not among the layers of one kernel",
    ),
    "an activation that is not fused": (
        lambda backend: Network([Dense(4, 5, "softplus"), Dense(5, 3)], backend), Adam, 4,
        "Dense(4, 5, activation='softplus', use_bias=True) is not among the layers of one kernel",
    ),
    "a loss of a user's own": (
        lambda backend: Network([Dense(4, 3)], backend, loss=OwnLoss()), Adam, 4,
        "the loss is OwnLoss(label_smoothing=0.0, class_weight=None)",
    ),
    "an optimizer of a user's own": (
        small_network, lambda: of_ones_own(Adam()), 4, "the optimizer, OwnAdam, is a class of its own",
    ),
    "a full batch": (small_network, Adam, None, "a full batch has one step an epoch"),
    "a batch of many rows": (small_network, Adam, 18, "batches have more than 17 rows"),
}  # fmt: skip


@each_backend
@pytest.mark.parametrize("name", OBSTACLES)
def test_other_trainings_name_their_obstacle_and_go_through_the_layers(monkeypatch, calls, backend, name):
    for rows in ("ROWS_OF_BLOCK", "ROWS_OF_LARGE_BLOCK"):
        monkeypatch.setattr(thresholds, rows, 17)
    build, optimizer, batch_size, obstacle = OBSTACLES[name]
    net = build(backend)
    plan = net.plan(*samples(20), optimizer(), batch_size=batch_size)
    assert plan.steps is Steps.ONE_BY_ONE
    assert f"one call a step: {obstacle}" in plan.because
    net.fit(*samples(20), optimizer(), batch_size=batch_size)
    assert calls == []
    assert all(np.any(layer.gradient.weights) for layer in net.layers)


@each_backend
def test_a_batch_may_have_as_many_rows_as_a_block(monkeypatch, calls, backend):
    for rows in ("ROWS_OF_BLOCK", "ROWS_OF_LARGE_BLOCK"):
        monkeypatch.setattr(thresholds, rows, 17)
    monkeypatch.setattr(thresholds, "BYTES_OF_CALL", 0)
    small_network(backend).fit(*samples(20), Adam(), batch_size=17)
    assert calls == [17, 3]


@each_backend
def test_an_optimizer_of_another_network_is_refused(backend):
    optimizer = Adam(0.1)
    Network([Dense(4, 2)], backend).fit(samples(5)[0], np.zeros(5, int), optimizer, batch_size=2)
    net = small_network(backend)
    before = bytes_of(net)
    with pytest.raises(ValueError, match="holds the state of 3 steps of another network"):
        net.fit(*samples(5), optimizer, batch_size=2)
    assert bytes_of(net) == before


@each_backend
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_error_in_a_call_counts_none_of_its_steps(monkeypatch, backend, error):
    """Network and optimizer can be used again: the next training is that of new ones."""
    case = SOME | {"backend": backend, "drop_rate": 0.0}
    net, optimizer, data, options = built(case)

    def fail(*arguments):
        raise error

    ended = pytest.warns(TrainingWarning) if error is KeyboardInterrupt else pytest.raises(MemoryError)
    before = bytes_of(net)
    with monkeypatch.context() as patch, ended:
        patch.setattr(net.kernels, "train_batches", fail)
        net.fit(*data, optimizer, **options)
    assert (optimizer.n_steps, bytes_of(net)) == (0, before)
    net.rng.bit_generator.state = built(case)[0].rng.bit_generator.state
    history = net.fit(*data, optimizer, **options)
    assert left_by(net, optimizer, history) == left_by(*trained(case))


WHILE_COMPILING = """
    import logging, os, signal, threading, warnings
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background processes without
    import numpy as np
    import fastfnn

    warnings.filterwarnings("ignore", "training was interrupted", fastfnn.TrainingWarning)
    begun = []

    class Press(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("preparing"):
                begun.append(record.getMessage())
                if "train" in begun[-1] and len([name for name in begun if "train" in name]) == 1:
                    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    log = logging.getLogger("fastfnn_kernels.runtime.compiling")
    log.addHandler(Press())
    log.setLevel("INFO")
    X = np.random.default_rng(0).random((30, 5), dtype=np.float32)
    y = X.argmax(axis=1)

    def network():
        return fastfnn.Network([fastfnn.Dense(5, 6, "relu"), fastfnn.Dense(6, 5)], seed=0)

    net, optimizer = network(), fastfnn.Adam(0.01)
    before = net.rng.bit_generator.state
    assert net.fit(X, y, optimizer, epochs=3, batch_size=4).interrupted
    assert any("train" in name for name in begun), begun
    assert optimizer.n_steps == 0
    net.rng.bit_generator.state = before
    net.fit(X, y, optimizer, epochs=3, batch_size=4)
    other, another = network(), fastfnn.Adam(0.01)
    other.fit(X, y, another, epochs=3, batch_size=4)
    assert optimizer.n_steps == another.n_steps == 24
    for name, array in net.parameters.items():
        assert (array == other.parameters[name]).all()
    print("interrupted")
"""


def test_ctrl_c_while_the_kernel_is_compiled_leaves_network_and_optimizer_as_they_were(tmp_path):
    environment = {"FASTFNN_CACHE_DIR": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path)}
    assert finish(start(WHILE_COMPILING, environment)).split() == ["interrupted"]
