"""What `fit` can be told beyond samples and optimizer: order, last batch, penalties, rates of single layers."""

from decimal import Decimal
from fractions import Fraction

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
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.execution.options import OPTION_NAMES, Clipping, Options, Penalty

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
    with pytest.raises(ValueError, match="drop_last leaves no batch: batch_size is 7, and an epoch has 6 samples"):
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
        net.plan(X, y, SGD(0.1), 1, None, 0.1)
    assert net.plan(X, y, Adam(), 2, 3) == net.plan(X, y, Adam(), epochs=2, batch_size=3)
    assert net.plan(X, y, Adam(), 2, 3) != net.plan(X, y, Adam(), 2)
    assert bytes_of(net) == before


def test_options_keep_the_numbers_that_their_checks_return():
    options = Options(
        epochs=np.int16(3),
        batch_size=np.uint8(50),
        shuffle=np.False_,
        drop_last=np.True_,
        l2=np.float32(0.1),
        l2_bias=Fraction(1, 4),
        clip_value=Decimal("0.5"),
        clip_norm=np.int64(2),
        callbacks=[print],
        step_callbacks=iter([print]),
    )
    assert (options.epochs, options.batch_size, options.shuffle, options.drop_last) == (3, 50, False, True)
    assert options.penalty == Penalty(float(np.float32(0.1)), 0.25)
    assert options.clipping == Clipping(0.5, 2.0)
    assert options.callbacks == options.step_callbacks == (print,)
    checked = (options.epochs, options.batch_size, options.shuffle, options.drop_last)
    assert [type(value) for value in checked] == [int, int, bool, bool]
    numbers = (options.penalty.weights, options.penalty.bias, options.clipping.value, options.clipping.norm)
    assert [type(number) for number in numbers] == [float] * 4
    plain = Options()
    assert not plain.penalty
    assert not plain.clipping
    assert "penalty" not in OPTION_NAMES


# Numbers of other types, and the same numbers as Python has them.
NUMBERS = {
    "np.float32": (np.float32(0.1), float(np.float32(0.1))),
    "np.float16": (np.float16(0.1), float(np.float16(0.1))),
    "np.float64": (np.float64(0.1), 0.1),
    "Decimal": (Decimal("0.1"), 0.1),
    "Fraction": (Fraction(1, 10), 0.1),
    "np.int64": (np.int64(1), 1.0),
}


@each_backend
@each_dtype
@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_type_train_alike_and_are_stored(tmp_path, backend, dtype, batch_size, kind):
    X, y = samples(20, dtype=dtype)
    number, plain = NUMBERS[kind]
    nets, histories = [], []
    for value in (number, plain):
        net, optimizer = small_network(backend, dtype), Adam(0.1)
        callback = Checkpoint(tmp_path / type(value).__name__)
        names = ("l2", "l2_bias", "clip_value", "clip_norm")
        history = net.fit(X, y, optimizer, 3, batch_size, callbacks=[callback], **dict.fromkeys(names, value))
        nets.append(net)
        histories.append(history)
        assert all(type(loss) is float for loss in history["loss"])
        resumed = small_network(backend, dtype, seed=5)
        stored = load_checkpoint(tmp_path / type(value).__name__, resumed, Adam(0.1))
        assert stored.records == history.records
        assert bytes_of(resumed) == bytes_of(net)
    assert histories[0]["loss"] == histories[1]["loss"]
    assert bytes_of(nets[0]) == bytes_of(nets[1])
    results = [nets[0].loss_and_gradients(X, y, l2=value, l2_bias=value)[0] for value in (number, plain)]
    assert results[0] == results[1]
    assert type(results[0]) is float


@each_backend
@each_kind
@pytest.mark.parametrize(
    ("batch_size", "drop_last", "n_steps"),
    [
        (np.uint8(50), False, 6),
        (np.uint8(50), True, 6),
        (np.int8(127), False, 3),
        (np.int8(127), True, 2),
        (np.uint8(1), False, 300),
        (np.uint8(255), False, 2),
        (np.uint16(300), False, 1),
        (np.uint64(301), False, 1),
    ],
)
def test_batch_sizes_of_narrow_types_count_all_samples(backend, kind, batch_size, drop_last, n_steps):
    X, y = some_samples(kind, 300)
    nets = small_network(backend), small_network(backend)
    for net, size, n_epochs in zip(nets, (batch_size, int(batch_size)), (np.uint8(2), 2), strict=True):
        optimizer = SGD(0.01)
        history = net.fit(X, y, optimizer, n_epochs, size, drop_last=np.bool_(drop_last), input_format=kind)
        assert history["epoch"] == [1, 2]
        assert optimizer.n_steps == 2 * n_steps
    assert bytes_of(nets[0]) == bytes_of(nets[1])


@pytest.mark.parametrize("name", ["shuffle", "drop_last"])
@pytest.mark.parametrize("value", ["no", "", 0, 1, 1.0, None, [], np.int8(1)])
def test_flags_are_true_or_false(name, value):
    net, (X, y) = small_network(), samples(6)
    before, state = bytes_of(net), net.rng.bit_generator.state
    for method in (net.fit, net.plan):
        expected = {"shuffle": "true, false or a function", "drop_last": "true or false"}[name]
        with pytest.raises(ValueError, match=f"{name} must be {expected}; got") as caught:
            method(X, y, SGD(0.1), batch_size=2, **{name: value})
        assert repr(value) in str(caught.value)
    assert bytes_of(net) == before
    assert net.rng.bit_generator.state == state


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
    "momentum of steps": lambda rate: SGD(rate, momentum=0.9, nesterov=True, velocity="steps"),
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


@each_backend
@each_batch_size
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_frozen_during_training_stays_where_it_is(backend, batch_size, name):
    X, y = samples(20)
    net, optimizer = with_factors((1, 1), backend, "float64"), OPTIMIZERS[name](0.1)
    net.fit(X, y, optimizer, batch_size=batch_size)
    net.layers[0].learning_rate_factor = 0
    before = bytes_of(net)
    net.fit(X, y, optimizer, batch_size=batch_size)
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
