"""Ctrl-C ends a training after the current step, with the history so far."""

import os
import signal
import threading

import pytest
from networks import bytes_of, each_backend, samples, small_network

from fastfnn import SGD

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


def assert_usable(net):
    history = net.fit(X, Y, SGD(0.1), epochs=2)
    assert history["epoch"] == [1, 2]
    assert not history.interrupted


@each_backend
@each_signal
@pytest.mark.parametrize("batch_size", [None, 20])
def test_a_signal_during_a_step_waits_for_its_end(backend, interrupt, batch_size):
    net, same = small_network(backend), small_network(backend)
    history = net.fit(X, Y, InterruptedSGD(interrupt, at_step=3), epochs=9, batch_size=batch_size)
    same.fit(X, Y, SGD(0.1), epochs=3, batch_size=batch_size)
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
    history = net.fit(X, Y, optimizer, epochs=9, batch_size=6)
    assert optimizer.n_steps == 6
    assert history.interrupted
    assert history["epoch"] == [1, 2]
    assert_usable(net)


@each_backend
@each_batch_size
def test_a_callback_that_is_interrupted_ends_the_training(backend, batch_size):
    def interrupted(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    net, same = small_network(backend), small_network(backend)
    history = net.fit(X, Y, SGD(0.1), epochs=9, batch_size=batch_size, callbacks=[interrupted])
    same.fit(X, Y, SGD(0.1), epochs=2, batch_size=batch_size)
    assert history["epoch"] == [1, 2]
    assert history.interrupted
    assert bytes_of(net) == bytes_of(same)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_backend
@each_signal
def test_a_signal_during_a_callback_ends_the_training(backend, interrupt):
    net = small_network(backend)
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

    history = small_network(backend).fit(X, Y, InterruptedSGD(twice, at_step=2), epochs=9)
    assert history["epoch"] == [1]
    assert history.interrupted
    assert not reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_backend
def test_an_interruption_of_the_first_step_gives_an_empty_history(backend):
    def interrupt():
        raise KeyboardInterrupt

    history = small_network(backend).fit(X, Y, InterruptedSGD(interrupt, at_step=1), epochs=9)
    assert len(history) == 0
    assert history.interrupted


@each_backend
def test_validation_figures_are_there_for_the_interrupted_epoch_too(backend):
    optimizer = InterruptedSGD(lambda: signal.raise_signal(signal.SIGINT), at_step=2)
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
