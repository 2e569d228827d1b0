"""What `fit` can be told beyond samples and optimizer: order, last batch, penalties, rates of single layers."""

import numpy as np
import pytest
from networks import (
    ROUNDING,
    assert_close,
    assert_gradients_are,
    bytes_of,
    each_backend,
    each_dtype,
    loss_of,
    numeric_gradient,
    samples,
    small_network,
    sparse_samples,
)

import fastfnn
from fastfnn import SGD, Adam, Dense, Network, RMSprop

each_batch_size = pytest.mark.parametrize("batch_size", [1, 7])
each_kind = pytest.mark.parametrize("kind", ["dense", "sparse"])


def some_samples(kind, n_rows):
    return samples(n_rows) if kind == "dense" else sparse_samples(n_rows, 4, 3, "float64")


@each_backend
@each_kind
@each_batch_size
def test_without_shuffling_batches_come_in_the_order_of_the_samples(backend, kind, batch_size):
    X, y = some_samples(kind, 20)
    net, by_hand = small_network(backend), small_network(backend)
    net.fit(X, y, SGD(0.1), epochs=2, batch_size=batch_size, shuffle=False, input_format=kind)
    for _ in range(2):
        for first in range(0, 20, batch_size):
            rows = slice(first, first + batch_size)
            by_hand.fit(X[rows], y[rows], SGD(0.1), input_format=kind)
    for name, parameter in net.parameters.items():
        assert_close(parameter, by_hand.parameters[name], 1e-12)


@each_backend
@each_kind
def test_the_last_small_batch_is_dropped(backend, kind):
    X, y = some_samples(kind, 20)
    net, other = small_network(backend), small_network(backend)
    optimizer = SGD(0.1)
    dropped = net.fit(X, y, optimizer, batch_size=7, shuffle=False, drop_last=True, input_format=kind)
    whole = other.fit(X[:14], y[:14], SGD(0.1), batch_size=7, shuffle=False, input_format=kind)
    assert bytes_of(net) == bytes_of(other)
    assert (dropped["loss"], dropped["accuracy"]) == (whole["loss"], whole["accuracy"])
    assert optimizer.n_steps == 2


@each_backend
def test_shuffling_drops_other_samples_each_time(backend):
    X, y = samples(20)
    net = small_network(backend)
    histories = [net.fit(X, y, SGD(1e-300), batch_size=7, drop_last=True)["loss"] for _ in range(3)]
    assert len({loss for (loss,) in histories}) == 3


def test_no_whole_batch():
    X, y = samples(6)
    net = small_network()
    before = bytes_of(net)
    with pytest.raises(ValueError, match="drop_last leaves no batch: batch_size is 7, and there are 6 samples"):
        net.fit(X, y, SGD(0.1), batch_size=7, drop_last=True)
    assert bytes_of(net) == before
    net.fit(X, y, SGD(0.1), drop_last=True)
    optimizer = SGD(0.1)
    net.fit(X, y, optimizer, batch_size=6, drop_last=True)
    assert optimizer.n_steps == 1


@each_backend
def test_the_penalty_on_biases_is_part_of_loss_and_gradient(backend):
    X, y = samples(20)
    net = small_network(backend)

    def penalised():
        return loss_of(net.layers, X, y, 0.1) + 0.3 / 2 * (net.layers[0].bias ** 2).sum()

    expected = [(numeric_gradient(penalised, layer.weights), None) for layer in net.layers]
    expected[0] = (expected[0][0], numeric_gradient(penalised, net.layers[0].bias))
    loss, gradients = net.loss_and_gradients(X, y, l2=0.1, l2_bias=0.3)
    assert loss == pytest.approx(penalised(), rel=1e-12)
    assert_gradients_are(gradients, expected, 1e-8)
    assert net.fit(X, y, SGD(0.1), l2=0.1, l2_bias=0.3)["loss"] == [pytest.approx(loss, rel=1e-12)]


@each_backend
@each_batch_size
def test_a_penalised_bias_is_a_penalised_weight_on_a_constant(backend, batch_size):
    X, y = samples(20)
    with_bias = Network([Dense(4, 3)], backend, "float64", seed=0)
    with_constant = Network([Dense(5, 3, use_bias=False)], backend, "float64", seed=0)
    with_bias.layers[0].bias[...] = [0.5, -1, 0.25]
    with_constant.layers[0].weights[...] = np.vstack([with_bias.layers[0].weights, with_bias.layers[0].bias])
    options = {"epochs": 3, "batch_size": batch_size, "l2": 0.1, "shuffle": False}
    with_bias.fit(X, y, SGD(0.5), l2_bias=0.1, **options)
    with_constant.fit(np.column_stack([X, np.ones(20)]), y, SGD(0.5), **options)
    assert_close(np.vstack(list(with_bias.parameters.values())), with_constant.layers[0].weights, 1e-12)


@pytest.mark.parametrize("name", ["callbacks", "step_callbacks"])
def test_callbacks_may_come_from_an_iterator(name):
    calls = []
    small_network().fit(*samples(6), SGD(0.1), epochs=3, **{name: (call for call in [calls.append, calls.append])})
    assert len(calls) == 6


def test_options_after_the_batch_size_are_named():
    net, (X, y) = small_network(), samples(6)
    before = bytes_of(net)
    with pytest.raises(TypeError, match="positional argument"):
        net.fit(X, y, SGD(0.1), 1, None, 0.1)
    with pytest.raises(TypeError, match="positional argument"):
        net.plan(X, y, SGD(0.1), 1)
    assert bytes_of(net) == before


@pytest.mark.parametrize("name", ["l2", "l2_bias"])
@pytest.mark.parametrize("value", [-1, np.inf, np.nan])
def test_penalties_out_of_range(name, value):
    X, y = samples(6)
    for call in (
        lambda **l2: small_network().fit(X, y, SGD(0.1), **l2),
        lambda **l2: small_network().loss_and_gradients(X, y, **l2),
    ):
        with pytest.raises(ValueError, match=f"{name} must be a finite number from 0 up; got"):
            call(**{name: value})


OPTIMIZERS = {
    "sgd": lambda rate: SGD(rate),
    "momentum": lambda rate: SGD(rate, momentum=0.9),
    "rmsprop": lambda rate: RMSprop(rate),
    "rmsprop-tensor": lambda rate: RMSprop(rate, granularity="tensor"),
    "adam": lambda rate: Adam(rate),
    "adamw": lambda rate: fastfnn.AdamW(rate, weight_decay=0.5),
}


def with_factors(factors, backend, dtype):
    layers = [
        Dense(4, 5, activation="relu", learning_rate_factor=factors[0]),
        Dense(5, 3, learning_rate_factor=factors[1]),
    ]
    return Network(layers, backend, dtype, seed=3)


@each_backend
@each_dtype
@each_batch_size
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_may_have_a_learning_rate_of_its_own(backend, dtype, batch_size, name):
    X, y = samples(7, dtype=dtype)
    halved = with_factors((0.5, 1), backend, dtype)
    halved.fit(X, y, OPTIMIZERS[name](0.02), batch_size=7)
    first_as_if, second_as_if = (with_factors((1, 1), backend, dtype) for _ in range(2))
    first_as_if.fit(X, y, OPTIMIZERS[name](0.01), batch_size=7)
    second_as_if.fit(X, y, OPTIMIZERS[name](0.02), batch_size=7)
    assert_close(halved.layers[0].weights, first_as_if.layers[0].weights, ROUNDING[dtype])
    assert_close(halved.layers[0].bias, first_as_if.layers[0].bias, ROUNDING[dtype])
    assert_close(halved.layers[1].weights, second_as_if.layers[1].weights, ROUNDING[dtype])


@each_backend
@each_batch_size
def test_a_factor_of_0_keeps_a_layer_as_it_is(backend, batch_size):
    X, y = sparse_samples(20, 4, 3, "float64")
    net = with_factors((0, 1), backend, "float64")
    before = bytes_of(net)
    net.fit(X, y, SGD(0.1), batch_size=batch_size, input_format="sparse")
    changed = {name for name, content in bytes_of(net).items() if content != before[name]}
    assert changed == {"1.weights", "1.bias"}


@pytest.mark.parametrize("factor", [-0.1, np.inf, np.nan])
def test_factors_out_of_range(factor):
    with pytest.raises(ValueError, match="learning_rate_factor must be a finite number from 0 up"):
        Dense(2, 3, learning_rate_factor=factor)


def test_factors_are_kept_in_model_files(tmp_path):
    with_factors((0, 0.5), "numpy", "float32").save(tmp_path / "model.safetensors")
    loaded = Network.load(tmp_path / "model.safetensors", "numpy")
    assert [layer.learning_rate_factor for layer in loaded.layers] == [0, 0.5]


@each_backend
def test_a_network_can_be_reset(backend):
    X, y = samples(20)
    net = Network([Dense(4, 5, activation="relu"), fastfnn.Tanh(), Dense(5, 3)], backend, seed=3)
    before, arrays, optimizer = bytes_of(net), list(net.parameters.values()), Adam(0.1)
    first = net.fit(X, y, optimizer, epochs=3, batch_size=7)
    trained = bytes_of(net)
    net.reset(seed=3)
    optimizer.reset()
    assert bytes_of(net) == before
    assert all(one is other for one, other in zip(net.parameters.values(), arrays, strict=True))
    assert net.fit(X, y, optimizer, epochs=3, batch_size=7)["loss"] == first["loss"]
    assert bytes_of(net) == trained
    net.reset()
    assert bytes_of(net) not in (before, trained)
    assert not net.layers[0].bias.any()
