"""Dropout in networks: the same mask wherever and however often a step is computed."""

import numpy as np
import pytest
from networks import assert_close, bytes_of, each_backend, numeric_gradient, samples

import fastfnn
from fastfnn import SGD, Adam, Dense, Dropout, Network
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.execution.gradient import loss_gradient
from fastfnn.execution.options import Penalty
from fastfnn.execution.plan import plan_gradient
from fastfnn.execution.preparation import in_order, prepare
from fastfnn.execution.thresholds import ROWS_OF_LARGE_BLOCK
from fastfnn.inputs.density import profile
from fastfnn.inputs.targets import Targets


def network(backend, dtype="float64", rate=0.5):
    layers = [Dropout(0.25), Dense(4, 6, "tanh"), Dropout(rate), Dense(6, 5), Dropout(rate), Dense(5, 3)]
    return Network(layers, backend, dtype, seed=3)


@each_backend
def test_gradients_are_those_of_the_masked_network(backend):
    net, (X, y) = network(backend), samples(30)
    plan = plan_gradient(net, profile(X, net.dtype))
    blocks, gradient_of_loss = prepare(net, X, plan), loss_gradient(net, 30, Penalty(), plan)
    seeds = [11, 12, 13, 14, 15, 16]

    def loss():
        return gradient_of_loss.run(in_order(blocks, Targets(y)), 30, seeds)[0]

    loss()
    gradients = [gradient.copy() for gradient in gradient_of_loss.gradients]
    for gradient, array in zip(gradients, net.parameters.values(), strict=True):
        assert_close(gradient, numeric_gradient(loss, array), 1e-8)


def test_both_backends_drop_the_same():
    X, y = samples(50)
    trained = []
    for backend in ("numpy", "numba"):
        net = network(backend)
        net.fit(X, y, SGD(0.2), epochs=4, batch_size=20)
        trained.append(net.parameters)
    for name, array in trained[0].items():
        assert trained[1][name] == pytest.approx(array, rel=1e-9)


@each_backend
def test_a_seed_gives_the_same_training_and_another_one_another(backend):
    X, y = samples(50)
    nets = [network(backend) for _ in range(3)]
    nets[2].rng = np.random.default_rng(99)
    for net in nets:
        net.fit(X, y, SGD(0.2), epochs=3)
    assert bytes_of(nets[0]) == bytes_of(nets[1])
    assert bytes_of(nets[0]) != bytes_of(nets[2])


def test_the_mask_does_not_depend_on_the_threads():
    X, y = samples(ROWS_OF_LARGE_BLOCK + 100, dtype="float32")
    trained = []
    for n_threads in (1, 2):
        net = network("numba", "float32")
        with fastfnn.threads(n_threads):
            net.fit(X, y, SGD(0.2), epochs=3)
        trained.append(bytes_of(net))
    assert trained[0] == trained[1]


@each_backend
def test_predictions_and_evaluations_drop_nothing(backend):
    net, (X, y) = network(backend, rate=0.9), samples(50)
    net.fit(X, y, SGD(1e-30), epochs=2)
    without = [layer for layer in net.layers if isinstance(layer, Dense)]
    z = X
    for layer in without:
        z = layer.forward(z)
    assert np.array_equal(net.predict(X), z.argmax(axis=1))
    assert net.predict_proba(X) == pytest.approx(net.kernels.softmax(z), rel=1e-12)
    assert net.evaluate(X, y)[0] == pytest.approx(net.loss_and_gradients(X, y)[0], rel=1e-12)
    assert net.evaluate(X, y) == net.evaluate(X, y)


@each_backend
def test_without_a_rate_nothing_changes(backend):
    X, y = samples(30)
    plain = Network([Dense(4, 6, "tanh"), Dense(6, 3)], backend, "float64", seed=3)
    dropping = Network([Dense(4, 6, "tanh"), Dropout(0.0), Dense(6, 3)], backend, "float64", seed=3)
    for net in (plain, dropping):
        net.fit(X, y, SGD(0.2), epochs=3)
    for ours, theirs in zip(dropping.parameters.values(), plain.parameters.values(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


@each_backend
def test_a_resumed_training_drops_the_same(backend, tmp_path):
    X, y = samples(50)

    def start():
        return network(backend), Adam()

    whole, optimizer = start()
    whole.fit(X, y, optimizer, epochs=6, batch_size=20)
    first, optimizer = start()
    first.fit(X, y, optimizer, epochs=3, batch_size=20, callbacks=[Checkpoint(tmp_path / "checkpoint")])
    second, optimizer = start()
    history = load_checkpoint(tmp_path / "checkpoint", second, optimizer)
    second.fit(X, y, optimizer, epochs=6, batch_size=20, history=history)
    assert bytes_of(second) == bytes_of(whole)


@each_backend
def test_backward_drops_what_the_training_dropped(backend):
    layer = Network([Dropout(0.5), Dense(4, 3)], backend, "float64", seed=1).layers[0]
    x = np.ones((20, 4))
    y = layer.training_forward(x, seed=5)
    assert np.array_equal(layer.backward(x, y, x), y)
    assert layer.training_forward(x) is x
    assert np.array_equal(layer.backward(x, x, x), x)


@each_backend
def test_predicting_leaves_the_mask_of_a_training_step(backend):
    """Another Python thread may predict in the middle of a step."""
    net, (X, _) = network(backend), samples(200)
    layer = net.layers[0]
    dropped = layer.training_forward(X, seed=5)
    net.predict(X)
    assert np.array_equal(layer.backward(X, dropped, X), dropped)


@each_backend
def test_model_files_keep_the_rate(backend, tmp_path):
    net, (X, _) = network(backend, rate=0.125), samples(9)
    net.save(tmp_path / "model.safetensors")
    loaded = Network.load(tmp_path / "model.safetensors", backend)
    assert repr(loaded.layers) == repr(net.layers)
    assert np.array_equal(loaded.predict(X), net.predict(X))


@pytest.mark.parametrize("rate", [1, -0.1, float("nan")])
def test_rates_out_of_range(rate):
    with pytest.raises(ValueError, match="rate must lie from 0 to below 1; got"):
        Dropout(rate)
