"""A training that is ended between two steps and resumed has the bits and the history of one that never was.

Each kind of training is ended after each of its steps: by Ctrl-C, by SIGTERM, or by a callback. It is resumed by the
history in the same process, or from the checkpoint by a network with other weights.
"""

import contextlib
import signal

import numpy as np
import pytest
from networks import bytes_of, each_backend, samples, small_network, sparse_samples

import fastfnn
from fastfnn import SGD, Adam, Dense, Dropout, Network, RMSprop, StopTraining, TrainingWarning, schedules
from fastfnn.callbacks import EarlyStopping
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.execution import thresholds
from fastfnn.execution.plan import Steps
from fastfnn.files.container import read_model, write_model

X, Y = samples(20)
SPARSE_X, SPARSE_Y = sparse_samples(20, 4, 3, "float64")


def with_dropout(backend, seed=3):
    return Network([Dense(4, 8, "relu"), Dropout(0.5), Dense(8, 3)], backend, "float64", seed)


def by_layers(backend, seed=3):
    """Return a network with an activation that keeps its steps out of kernels of many batches."""
    return Network([Dense(4, 8, "elu"), Dropout(0.5), Dense(8, 3)], backend, "float64", seed)


def small(backend, seed=3):
    return small_network(backend, seed=seed)


def watched(step):
    """Read the gradients, which the kernels of SGD do not store."""


watched.reads_gradients = True

# By name: network, data, optimizer, further arguments of `fit`, and the steps of its three epochs.
TRAININGS = {
    "full batch": (small, (X, Y), lambda: Adam(0.05), {}, 3),
    "mini-batches": (small, (X, Y), lambda: Adam(0.05), {"batch_size": 6}, 12),
    "mini-batches, layer by layer": (by_layers, (X, Y), lambda: Adam(0.05), {"batch_size": 6}, 12),
    "a scheduled rate and validation": (
        small,
        (X, Y),
        lambda: RMSprop(0.05),
        {
            "batch_size": 9,
            "schedule": schedules.on_plateau(0.05, 0.5, 1, "accuracy"),
            "validation_data": (X[:5], Y[:5]),
        },
        9,
    ),
    "dropout, the last batch dropped": (
        with_dropout,
        (X, Y),
        lambda: SGD(0.1, 0.9),
        {"batch_size": 6, "drop_last": True},
        9,
    ),
    "in order, with weights": (
        small,
        (X, Y),
        lambda: SGD(0.1),
        {"batch_size": 6, "shuffle": False, "sample_weight": np.linspace(0, 1, 20)},
        12,
    ),
    "SGD in batches": (
        small,
        (SPARSE_X, SPARSE_Y),
        lambda: SGD(0.1),
        {"batch_size": 3, "input_format": "sparse"},
        21,
    ),
    "SGD by samples": (small, (SPARSE_X, SPARSE_Y), lambda: SGD(0.1), {"batch_size": 1}, 60),
}
CASES = [(name, step) for name, (*_, n_steps) in TRAININGS.items() for step in range(1, n_steps, 1 + n_steps // 13)]


@pytest.fixture(autouse=True)
def usual_handlers():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Plain SGD takes up to seven samples in a call: a training may end in the midst of one."""
    monkeypatch.setattr(thresholds, "SGD_SAMPLES_OF_CALL", 7)


def end_after(step, way):
    """Return a step callback that ends training after a step, and what `fit` is expected to do then."""

    def end(event):
        if event.number != step:
            return
        if way == "StopTraining":
            raise StopTraining
        signal.raise_signal(getattr(signal, way))

    outcome = {
        "SIGINT": lambda: pytest.warns(TrainingWarning, match="training was interrupted"),
        "SIGTERM": lambda: pytest.raises(SystemExit, match="143"),
        "StopTraining": contextlib.nullcontext,
    }
    return end, outcome[way]()


def without_seconds(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def never_stopped(backend, name):
    build, data, optimizer, options, n_steps = TRAININGS[name]
    net, its = build(backend), optimizer()
    history = net.fit(*data, its, epochs=3, **options)
    assert its.n_steps == n_steps
    return net, its, history


@each_backend
@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM", "StopTraining"])
@pytest.mark.parametrize(("name", "step"), CASES)
def test_resumed_from_a_checkpoint(tmp_path, backend, name, step, way):
    build, data, optimizer, options, _ = TRAININGS[name]
    whole, _, expected = never_stopped(backend, name)
    end, outcome = end_after(step, way)
    net, its = build(backend), optimizer()
    with outcome:
        net.fit(
            *data, its, epochs=3, **options, step_callbacks=[end], callbacks=[Checkpoint(tmp_path / "c", every=9)]
        )
    assert its.n_steps == step
    resumed, again = build(backend, seed=77), optimizer()
    history = load_checkpoint(tmp_path / "c", resumed, again)
    assert again.n_steps == step
    history = resumed.fit(*data, again, epochs=3, **options, history=history)
    assert bytes_of(resumed) == bytes_of(whole)
    assert without_seconds(history) == without_seconds(expected)
    assert history.unfinished is None
    seconds = [record["seconds"] for record in history]
    assert seconds == sorted(seconds)
    assert again.learning_rate == its.learning_rate == optimizer().learning_rate


@each_backend
@pytest.mark.parametrize("way", ["SIGINT", "StopTraining"])
@pytest.mark.parametrize("name", TRAININGS)
def test_resumed_again_and_again_by_its_history(backend, name, way):
    """It ends after every second step."""
    build, data, optimizer, options, n_steps = TRAININGS[name]
    whole, _, expected = never_stopped(backend, name)
    net, its, history = build(backend), optimizer(), fastfnn.History()
    while its.n_steps < n_steps:
        end, outcome = end_after(min(its.n_steps + 2, n_steps), way)
        with outcome:
            net.fit(*data, its, epochs=3, **options, step_callbacks=[end], history=history)
        assert history.interrupted == (way == "SIGINT")
    assert bytes_of(net) == bytes_of(whole)
    assert without_seconds(history) == without_seconds(expected)


@each_backend
@pytest.mark.parametrize(("name", "step"), [("SGD in batches", 4), ("SGD by samples", 5)])
def test_the_rest_may_be_computed_in_another_way(backend, name, step):
    """The kernels of SGD began a call, and the kernel of batches takes the other steps: all samples count once."""
    build, data, optimizer, options, _ = TRAININGS[name]
    end, outcome = end_after(step, "StopTraining")
    net, its = build(backend), optimizer()
    with outcome:
        history = net.fit(*data, its, epochs=2, **options, step_callbacks=[end])
    assert net.plan(*data, its, **options, step_callbacks=[watched]).steps is Steps.BATCHES
    net.fit(*data, its, epochs=2, **options, history=history, step_callbacks=[watched])
    whole = build(backend)
    expected = whole.fit(*data, optimizer(), epochs=2, **options)
    for column in ("loss", "accuracy"):
        assert history[column] == pytest.approx(expected[column], rel=1e-12)


@pytest.mark.parametrize("first", ["EarlyStopping", "Checkpoint"])
def test_a_checkpoint_holds_the_training_not_the_restored_weights(tmp_path, first):
    def callbacks(**options):
        both = [EarlyStopping(30, "validation_loss", **options), Checkpoint(tmp_path / "c", every=5)]
        return both if first == "EarlyStopping" else both[::-1]

    options = {"batch_size": 6, "validation_data": (X[::-1][:9], Y[:9])}
    net, whole, resumed, again = small("numpy"), small("numpy"), small("numpy", 5), Adam(0.5)
    history = net.fit(X, Y, Adam(0.5), epochs=12, **options, callbacks=callbacks())
    assert min(history["validation_loss"]) < history["validation_loss"][-1]
    assert net.evaluate(*options["validation_data"])[0] == min(history["validation_loss"])
    history = load_checkpoint(tmp_path / "c", resumed, again)
    assert len(history) == 12  # the last epoch is written whatever `every` says
    resumed.fit(X, Y, again, epochs=16, **options, history=history, callbacks=callbacks(restore_best=False))
    whole.fit(X, Y, Adam(0.5), epochs=16, **options)
    assert bytes_of(resumed) == bytes_of(whole)


@pytest.mark.parametrize(
    "changed",
    [
        {"batch_size": 5},
        {"batch_size": None},
        {"shuffle": False},
        {"drop_last": True},
        {"data": (X[:19], Y[:19])},
    ],
)
def test_an_epoch_is_continued_with_its_own_batches_alone(changed):
    end, outcome = end_after(5, "StopTraining")
    net, its = small("numpy"), Adam(0.05)
    with outcome:
        history = net.fit(X, Y, its, epochs=3, batch_size=6, step_callbacks=[end])
    before = bytes_of(net), its.n_steps, net.rng.bit_generator.state, repr(history)
    options = {"batch_size": 6} | changed
    data = options.pop("data", (X, Y))
    with pytest.raises(ValueError, match="the history ended in epoch 2, in batches of 6: continue with the same"):
        net.fit(*data, its, epochs=3, **options, history=history)
    assert (bytes_of(net), its.n_steps, net.rng.bit_generator.state, repr(history)) == before
    history.unfinished = None
    assert len(net.fit(*data, its, epochs=3, **options, history=history)) == 3


def test_a_history_tells_where_it_ended():
    end, outcome = end_after(6, "SIGINT")
    net = small("numpy")
    with outcome:
        history = net.fit(X, Y, Adam(0.05), epochs=3, batch_size=6, step_callbacks=[end])
    assert history.interrupted
    assert (history.unfinished.epoch, history.unfinished.n_samples) == (2, 12)
    assert repr(history).endswith("; epoch 2 ended after 12 samples)")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 10**30),
        ("batch_size", 2**63),
        ("batch_size", True),
        ("batch_size", 0),
        ("epoch", 10**30),
        ("epoch", 3),
        ("seconds", -1.0),
        ("order", None),
    ],
)
def test_an_unfinished_epoch_that_cannot_be_is_refused(tmp_path, name, value):
    path, net = tmp_path / "c", small("numpy")
    end, outcome = end_after(6, "StopTraining")
    with outcome:
        net.fit(X, Y, Adam(0.05), epochs=3, batch_size=6, step_callbacks=[end], callbacks=[Checkpoint(path)])
    described, tensors = read_model(path)
    described["unfinished"][name] = value
    write_model(path, described, tensors)
    before = bytes_of(net)
    with pytest.raises(ValueError, match="describes no training run that can be resumed: ") as caught:
        load_checkpoint(path, net, Adam(0.05))
    assert len(str(caught.value)) < 1000
    assert bytes_of(net) == before


@pytest.mark.parametrize(
    ("optimizer", "other"),
    [
        (lambda: Adam(0.1), lambda: Adam(0.1, beta1=0.8)),
        (lambda: Adam(0.1), lambda: Adam(0.1, epsilon=1e-6)),
        (lambda: SGD(0.1, 0.9), lambda: SGD(0.1, 0.9, nesterov=True)),
        (lambda: RMSprop(0.1), lambda: RMSprop(0.1, reset_every=9)),
    ],
)
def test_an_optimizer_with_other_options_is_refused(tmp_path, optimizer, other):
    net = small("numpy")
    net.fit(X, Y, optimizer(), epochs=2, callbacks=[Checkpoint(tmp_path / "c")])
    resumed, wrong = small("numpy", 5), other()
    before = bytes_of(resumed)
    with pytest.raises(ValueError, match=r"the state of .* with .*; got .*: construct it with the same options"):
        load_checkpoint(tmp_path / "c", resumed, wrong)
    assert (bytes_of(resumed), wrong.n_steps) == (before, 0)
    rate = optimizer()
    rate.learning_rate = 123.0
    load_checkpoint(tmp_path / "c", resumed, rate)
    assert rate.learning_rate == 0.1


@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM"])
def test_a_signal_while_callbacks_run_waits_for_them(tmp_path, way):
    calls = []

    def press(epoch):
        signal.raise_signal(getattr(signal, way))
        calls.append("after the signal")

    _, outcome = end_after(1, way)
    with outcome:
        small("numpy").fit(
            X,
            Y,
            SGD(0.1),
            epochs=5,
            callbacks=[press, lambda epoch: calls.append("next"), Checkpoint(tmp_path / "c")],
        )
    assert calls == ["after the signal", "next"]
    assert len(load_checkpoint(tmp_path / "c", small("numpy"), SGD(0.1))) == 1


def test_a_handler_of_sigterm_of_the_users_own_stays_in_charge():
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        history = small("numpy").fit(
            X, Y, SGD(0.1), epochs=3, callbacks=[lambda epoch: signal.raise_signal(signal.SIGTERM)]
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM] * 3
    assert (len(history), history.interrupted) == (3, False)
