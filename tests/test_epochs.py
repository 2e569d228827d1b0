"""What is called after each update."""

import numpy as np
import pytest
from networks import bytes_of, each_backend, samples, small_network

import fastfnn
from fastfnn import SGD


@each_backend
@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [10]), (4, [4, 4, 2]), (1, [1] * 10)])
def test_callbacks_see_every_step(backend, batch_size, sizes):
    net, (X, y) = small_network(backend), samples(10)
    seen, epochs = [], []
    history = net.fit(
        X, y, SGD(0.1), epochs=3, batch_size=batch_size, callbacks=[epochs.append], step_callbacks=[seen.append]
    )
    assert [step.number for step in seen] == list(range(1, 3 * len(sizes) + 1))
    weights = np.array(sizes) / 10
    for epoch in range(3):
        steps = seen[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        assert history["loss"][epoch] == pytest.approx(weights @ [step.loss for step in steps])
        assert history["accuracy"][epoch] == pytest.approx(weights @ [step.accuracy for step in steps])


@each_backend
def test_the_gradient_of_a_step_can_be_read(backend):
    net, (X, y) = small_network(backend), samples(10)
    before = {name: array.copy() for name, array in net.parameters.items()}

    def look(step):
        for i, layer in enumerate(step.network.layers):
            for name, array in layer.parameters.items():
                expected = before[f"{i}.{name}"] - 0.5 * getattr(layer.gradient, name)
                assert array == pytest.approx(expected, rel=1e-12)
                before[f"{i}.{name}"] = array.copy()

    net.fit(X, y, SGD(0.5), epochs=2, batch_size=5, step_callbacks=[look])


@each_backend
def test_a_callback_ends_the_training_after_its_step(backend):
    net, (X, y) = small_network(backend), samples(10)
    seen = []

    def stop_at_the_fifth(step):
        seen.append(bytes_of(net))
        if step.number == 5:
            raise fastfnn.StopTraining

    history = net.fit(X, y, SGD(0.1), epochs=9, batch_size=3, step_callbacks=[stop_at_the_fifth])
    assert len(seen) == 5
    assert len(history) == 2
    assert not history.interrupted
    assert bytes_of(net) == seen[-1]


@each_backend
@pytest.mark.parametrize("batch_size", [None, 3, 1])
def test_looking_changes_nothing(backend, batch_size):
    X, y = samples(10, dtype="float32")
    trained = []
    for callbacks in ([], [lambda step: None]):
        net = small_network(backend, "float32")
        net.fit(X, y, SGD(0.1), epochs=3, batch_size=batch_size, step_callbacks=callbacks)
        trained.append(net.parameters)
    for name, array in trained[0].items():
        assert trained[1][name] == pytest.approx(array, rel=1e-4, abs=1e-6)


def test_errors_of_callbacks_come_through():
    net, (X, y) = small_network(), samples(10)
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, SGD(0.1), step_callbacks=[lambda step: 1 / 0])
