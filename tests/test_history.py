"""What a training leaves behind, whether it came to its end or Ctrl-C ended it after the current step."""

import math
import os
import signal
import sys
import threading

import numpy as np
import pandas
import pytest
from networks import bytes_of, each_backend, each_dtype, samples, small_network

import fastfnn
from fastfnn import SGD, Dense, History, Network


@each_backend
@each_dtype
def test_loss_and_accuracy_on_a_worked_example(backend, dtype):
    """The weights stand still; of the three samples the second is classified wrong."""
    net = Network([Dense(2, 2, use_bias=False)], backend, dtype)
    net.layers[0].weights[...] = np.eye(2)
    X, y = np.array([[1, 0], [0, 1], [1, 0]], dtype), np.array([0, 0, 0])
    history = net.fit(X, y, SGD(1e-30), epochs=2, l2=0.5)
    cross_entropy = (2 * math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 3
    assert history["loss"] == pytest.approx([cross_entropy + 0.5] * 2, rel=1e-6)
    assert history["accuracy"] == [2 / 3, 2 / 3]


@each_backend
def test_figures_are_those_before_the_update(backend):
    """One step of size 1 turns the wrong answer into the right one."""
    net = Network([Dense(1, 2, use_bias=False)], backend, "float64")
    net.layers[0].weights[...] = [[0.25, 0]]
    X, y = np.ones((1, 1)), np.array([1])
    history = net.fit(X, y, SGD(1.0), epochs=2, validation_data=(X, y))
    assert history["accuracy"] == [0, 1]
    assert history["validation_accuracy"] == [1, 1]
    assert history["loss"][0] == pytest.approx(math.log(1 + math.exp(0.25)), rel=1e-14)
    assert history["loss"][1] == pytest.approx(history["validation_loss"][0], rel=1e-14)


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("validated", [False, True])
def test_columns(backend, batch_size, validated):
    X, y = samples(20)
    history = small_network(backend).fit(
        X, y, SGD(0.1), epochs=3, batch_size=batch_size, validation_data=(X, y) if validated else None
    )
    columns = ["epoch", "loss", "accuracy", "seconds"] + validated * ["validation_loss", "validation_accuracy"]
    assert [list(record) for record in history] == [columns] * 3
    assert history["epoch"] == [1, 2, 3]
    assert all(type(value) in (int, float) for record in history for value in record.values())
    assert 0 <= history["seconds"][0] <= history["seconds"][1] <= history["seconds"][2]
    assert not history.interrupted


@each_backend
def test_each_training_has_a_history_of_its_own(backend):
    net, optimizer = small_network(backend), SGD(0.1)
    first = net.fit(*samples(20), optimizer, epochs=2)
    second = net.fit(*samples(20), optimizer, epochs=1)
    assert (first["epoch"], second["epoch"]) == ([1, 2], [1])


@each_backend
def test_a_callback_may_add_to_the_record(backend):
    def note(epoch):
        assert epoch.record["epoch"] == epoch.number
        if epoch.number != 2:
            epoch.record["rate"] = epoch.optimizer.learning_rate / epoch.number

    history = small_network(backend).fit(*samples(20), SGD(1.0), epochs=4, callbacks=[note])
    assert history["rate"] == [1, 1 / 3, 1 / 4]


def test_an_unknown_column_is_refused_with_those_there_are():
    history = small_network().fit(*samples(20), SGD(0.1))
    with pytest.raises(KeyError, match="'val_loss' is not recorded; there are accuracy, epoch, loss, seconds"):
        history["val_loss"]


def test_a_history_of_no_epochs():
    history = History()
    assert len(history) == 0
    assert list(history) == []
    assert history["loss"] == []
    assert repr(history) == "History(no epochs)"


def test_repr_shows_the_last_epoch():
    history = History()
    history.records += [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 0.123456789}]
    assert repr(history) == "History(2 epochs; last: epoch=2, loss=0.123457)"


def test_history_is_what_fit_returns():
    assert type(small_network().fit(*samples(5), SGD(0.1))) is fastfnn.History


X, Y = samples(20)
each_batch_size = pytest.mark.parametrize("batch_size", [None, 20, 6])
each_signal = pytest.mark.parametrize(
    "interrupt",
    [lambda: signal.raise_signal(signal.SIGINT), lambda: os.kill(os.getpid(), signal.SIGINT)],
    ids=["raise_signal", "os.kill"],
)


@pytest.fixture(autouse=True)
def the_default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class InterruptedSGD(SGD):
    """Between the first parameter's update and the second's, the user presses Ctrl-C."""

    def __init__(self, interrupt, at_step):
        super().__init__(0.1)
        self.interrupt = interrupt
        self.at_step = at_step

    def _update(self, kernels, index, parameter, gradient):
        super()._update(kernels, index, parameter, gradient)
        if self.n_steps == self.at_step and index == 0:
            self.interrupt()


def interrupted():
    return pytest.warns(fastfnn.TrainingWarning, match="training was interrupted.*; history.interrupted is True")


def assert_usable(net):
    history = net.fit(X, Y, SGD(0.1), epochs=2)
    assert history["epoch"] == [1, 2]
    assert not history.interrupted


@each_backend
@each_signal
@pytest.mark.parametrize("batch_size", [None, 20])
def test_a_signal_during_a_step_waits_for_its_end(backend, interrupt, batch_size):
    net, same = small_network(backend), small_network(backend)
    with interrupted():
        history = net.fit(X, Y, InterruptedSGD(interrupt, at_step=3), epochs=9, batch_size=batch_size)
    same.fit(X, Y, InterruptedSGD(interrupt, at_step=99), epochs=3, batch_size=batch_size)
    assert history["epoch"] == [1, 2, 3]
    assert history.interrupted
    assert bytes_of(net) == bytes_of(same)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_usable(net)


@each_backend
@each_signal
def test_a_signal_during_a_mini_batch_ends_the_training_after_it(backend, interrupt):
    optimizer = InterruptedSGD(interrupt, at_step=6)
    net = small_network(backend)
    with interrupted():
        history = net.fit(X, Y, optimizer, epochs=9, batch_size=6)
    assert optimizer.n_steps == 6
    assert history.interrupted
    assert history["epoch"] == [1]
    assert (history.unfinished.epoch, history.unfinished.n_samples) == (2, 12)
    assert_usable(net)


@each_backend
def test_figures_of_an_interrupted_epoch_are_those_of_the_samples_seen(backend):
    """Zero weights answer class 0 at a cost of log 2; of three batches the first is gone through."""
    net = Network([Dense(7, 2, use_bias=False, initializer=fastfnn.initializers.zeros)], backend, "float64", 1)
    optimizer = InterruptedSGD(lambda: signal.raise_signal(signal.SIGINT), at_step=1)
    with interrupted():
        history = net.fit(np.eye(7), np.zeros(7, int), optimizer, batch_size=3)
    assert len(history) == 0
    assert history.unfinished.total.mean_loss == pytest.approx(math.log(2), rel=1e-14)
    assert (history.unfinished.total.n_correct, history.unfinished.n_samples) == (3, 3)


@each_backend
@each_batch_size
def test_a_callback_that_is_interrupted_ends_the_training(backend, batch_size):
    def press(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    net, same = small_network(backend), small_network(backend)
    with interrupted():
        history = net.fit(X, Y, SGD(0.1), epochs=9, batch_size=batch_size, callbacks=[press])
    same.fit(X, Y, SGD(0.1), epochs=2, batch_size=batch_size)
    assert history["epoch"] == [1, 2]
    assert history.interrupted
    assert bytes_of(net) == bytes_of(same)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_backend
@each_signal
def test_a_signal_during_a_callback_ends_the_training(backend, interrupt):
    net = small_network(backend)
    with interrupted():
        history = net.fit(X, Y, SGD(0.1), epochs=9, callbacks=[lambda epoch: interrupt()])
    assert history["epoch"] == [1]
    assert history.interrupted


@each_backend
@each_signal
def test_a_second_signal_does_not_wait(backend, interrupt):
    reached = []

    def twice():
        interrupt()
        interrupt()
        reached.append("the end of the step")

    with interrupted():
        history = small_network(backend).fit(X, Y, InterruptedSGD(twice, at_step=2), epochs=9)
    assert history["epoch"] == [1]
    assert history.interrupted
    assert not reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_backend
def test_an_interruption_of_the_first_step_gives_an_empty_history(backend):
    def interrupt():
        raise KeyboardInterrupt

    with interrupted():
        history = small_network(backend).fit(X, Y, InterruptedSGD(interrupt, at_step=1), epochs=9)
    assert len(history) == 0
    assert history.interrupted


@each_backend
def test_validation_figures_are_there_for_the_interrupted_epoch_too(backend):
    optimizer = InterruptedSGD(lambda: signal.raise_signal(signal.SIGINT), at_step=2)
    with interrupted():
        history = small_network(backend).fit(X, Y, optimizer, epochs=9, validation_data=(X, Y))
    assert len(history["validation_loss"]) == 2


@each_backend
def test_the_default_handler_is_back_after_an_error(backend):
    def fail(epoch):
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        small_network(backend).fit(X, Y, SGD(0.1), callbacks=[fail])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_backend
def test_the_default_handler_is_back_after_a_whole_training(backend):
    small_network(backend).fit(X, Y, SGD(0.1))
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@each_backend
def test_a_handler_of_the_users_own_stays_in_charge(backend):
    received = []

    def own(number, frame):
        received.append(number)

    signal.signal(signal.SIGINT, own)
    optimizer = InterruptedSGD(lambda: signal.raise_signal(signal.SIGINT), at_step=2)
    history = small_network(backend).fit(X, Y, optimizer, epochs=4)
    assert received == [signal.SIGINT]
    assert history["epoch"] == [1, 2, 3, 4]
    assert not history.interrupted
    assert signal.getsignal(signal.SIGINT) is own


@each_backend
def test_another_thread_leaves_the_handler_alone(backend):
    seen = []
    net = small_network(backend)
    thread = threading.Thread(
        target=net.fit,
        args=(X, Y, SGD(0.1)),
        kwargs={"callbacks": [lambda epoch: seen.append(signal.getsignal(signal.SIGINT))]},
    )
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_as_a_table():
    history = small_network().fit(*samples(20), SGD(0.1), epochs=3, validation_data=samples(8, seed=1))
    table = history.to_pandas()
    assert table.reset_index().to_dict("records") == history.records
    assert (table.index.name, list(table.index), table.index.dtype) == ("epoch", [1, 2, 3], "int64")
    assert list(table.columns) == ["loss", "accuracy", "seconds", "validation_loss", "validation_accuracy"]
    assert (table.dtypes == "float64").all()


def test_a_table_of_epochs_with_different_figures():
    history = History()
    history.records += [
        {"epoch": 4, "loss": 2.0},
        {"epoch": 5, "loss": 1.0, "f1": 0.5},
        {"epoch": 6, "loss": math.nan},
    ]
    expected = pandas.DataFrame(
        {"loss": [2, 1, math.nan], "f1": [math.nan, 0.5, math.nan]}, index=pandas.Index([4, 5, 6], name="epoch")
    )
    pandas.testing.assert_frame_equal(history.to_pandas(), expected)


def test_a_table_of_no_epochs():
    table = History().to_pandas()
    assert (table.shape, table.index.name, table.index.dtype) == ((0, 0), "epoch", "int64")


def test_a_table_is_a_copy():
    history = History()
    history.records.append({"epoch": 1, "loss": 2.0})
    table = history.to_pandas()
    table.loc[1, "loss"] = 3.0
    assert history["loss"] == [2.0]


def test_without_pandas_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "fastfnn\[pandas\]"'):
        History().to_pandas()
