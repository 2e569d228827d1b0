"""What a network holds after training: nothing of the samples, without the garbage collector's help."""

import gc
import weakref

import numpy as np
import pytest
from networks import each_backend, samples, small_network

from fastfnn import SGD, Adam, RMSprop
from fastfnn.objective import Objective

X, Y = samples(20)


@pytest.fixture(autouse=True)
def no_collector():
    gc.disable()
    yield
    gc.enable()


class Watching:
    """A callback for epochs and steps."""

    def __call__(self, event):
        event.network.evaluate(X, Y)


def are_freed(watched):
    return all(each() is None for each in watched)


@each_backend
@pytest.mark.parametrize("make_optimizer", [SGD, RMSprop, Adam])
@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("shuffle", [True, False, np.arange])
@pytest.mark.parametrize("order", ["C", "F"])
def test_samples_are_freed_after_a_training(order, shuffle, batch_size, make_optimizer, backend):
    arrays = [np.array(X, order=order), Y.copy(), np.ones(20), np.array(X, order=order), Y.copy()]
    net, optimizer, callback = small_network(backend), make_optimizer(0.1), Watching()
    watched = [weakref.ref(each) for each in (*arrays, callback)]
    history = net.fit(
        *arrays[:2],
        optimizer,
        epochs=2,
        batch_size=batch_size,
        shuffle=shuffle,
        sample_weight=arrays[2],
        validation_data=tuple(arrays[3:]),
        callbacks=[callback],
        step_callbacks=[callback],
    )
    del arrays, callback
    assert are_freed(watched)
    watched = [weakref.ref(net), weakref.ref(optimizer)]
    del net, optimizer
    assert are_freed(watched)
    assert len(history) == 2


@each_backend
def test_samples_are_freed_with_their_objective(backend):
    net, x = small_network(backend), X.copy()
    objective = Objective(net, x, Y)
    objective(objective.vector)
    watched = [weakref.ref(x), weakref.ref(objective)]
    del objective, x
    assert are_freed(watched)
    watched = weakref.ref(net)
    del net
    assert watched() is None
