"""Rates, epsilons, penalties, scales and weights must be numbers that the network's dtype can hold."""

import pickle
import re

import numpy as np
import pytest
from networks import bytes_of, samples, small_network

import fastfnn
from fastfnn import SGD, Adam, AdamW, Dense, Dropout, Network, RMSprop, TrainingWarning
from fastfnn._checks import check_held, held
from fastfnn.losses import Huber, SoftmaxCrossEntropy

X, Y = samples(12)
TINY, HUGE = 1e-46, 1e39  # 0 and inf in float32
FLOAT32 = np.dtype(np.float32)


@pytest.mark.parametrize("number", [0, 1e-45, -1e-45, 1e-38, 1, -3.4e38, 3.4e38, np.float64(2)])
def test_numbers_that_are_held(number):
    assert held(number, FLOAT32)
    check_held("", {"a": number}, FLOAT32)


@pytest.mark.parametrize("number", [TINY, -TINY, HUGE, -HUGE, np.inf, np.nan])
def test_numbers_that_are_not(number):
    assert not held(number, FLOAT32)
    assert held(number, np.dtype(np.float64)) == np.isfinite(number)
    with pytest.raises(
        ValueError, match=r"SGD: a must be a number that float32 can hold; got .*, which becomes .*: "
    ):
        check_held("SGD: ", {"a": number}, FLOAT32)


OPTIMIZERS = {
    "SGD: learning_rate": (SGD(TINY), SGD(HUGE)),
    "Adam: epsilon": (Adam(epsilon=TINY), Adam(epsilon=HUGE)),
    "Adam: learning_rate": (Adam(TINY), Adam(HUGE)),
    "Adam: beta1": (Adam(beta1=TINY), Adam(beta1=1 - 1e-9)),
    "Adam: beta2": (Adam(beta2=TINY), Adam(beta2=1 - 1e-9)),
    "AdamW: weight_decay": (AdamW(weight_decay=TINY), AdamW(weight_decay=HUGE)),
    "AdamW: epsilon": (AdamW(epsilon=TINY),),
    "RMSprop: epsilon": (RMSprop(epsilon=TINY), RMSprop(epsilon=HUGE)),
    "RMSprop: rho": (RMSprop(rho=1 - 1e-9),),
    "RMSprop: initial": (RMSprop(initial=HUGE),),
    "SGD: momentum": (SGD(0.1, momentum=TINY),),
}


def assert_refused_in_float32_alone(message, optimizer=None, **options):
    """Check that fit refuses float32 before anything changes, and takes float64."""
    net, optimizer = small_network("numpy", "float32"), optimizer or SGD(0.1)
    before = bytes_of(net), pickle.dumps(optimizer)
    for call in (net.fit, net.plan):
        with pytest.raises(ValueError, match=re.escape(message)):
            call(X, Y, optimizer, **options)
    assert (bytes_of(net), pickle.dumps(optimizer)) == before
    with np.errstate(over="ignore"):
        small_network("numpy", "float64").fit(X, Y, optimizer, **options)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numbers_of_optimizers(name):
    for optimizer in OPTIMIZERS[name]:
        assert_refused_in_float32_alone(f"{name} must be a number", optimizer)


@pytest.mark.parametrize("velocity", ["gradients", "steps"])
def test_a_momentum_may_be_1_and_be_rounded_to_1(velocity):
    nets = [small_network("numpy", "float32") for _ in range(2)]
    for net, momentum in zip(nets, (1, 1 - 1e-9), strict=True):
        net.fit(X, Y, SGD(0.1, momentum, velocity=velocity), epochs=3)
    assert bytes_of(nets[0]) == bytes_of(nets[1])


@pytest.mark.parametrize("name", ["l2", "l2_bias", "clip_value", "clip_norm"])
@pytest.mark.parametrize("number", [TINY, HUGE])
def test_penalties_and_bounds(name, number):
    assert_refused_in_float32_alone(f"{name} must be a number that float32 can hold; got {number}", **{name: number})


@pytest.mark.parametrize("name", ["l2", "l2_bias"])
def test_penalties_of_one_gradient(name):
    with pytest.raises(ValueError, match=f"{name} must be a number that float32 can hold"):
        small_network("numpy", "float32").loss_and_gradients(X, Y, **{name: TINY})
    small_network("numpy", "float64").loss_and_gradients(X, Y, **{name: TINY})


@pytest.mark.parametrize(("rates", "epoch"), [([TINY], 1), ([0.1, HUGE], 2), ([0.1, 0.0, TINY], 3)])
def test_rates_of_a_schedule_are_checked_before_they_are_used(rates, epoch):
    net, optimizer, seen = small_network("numpy", "float32"), SGD(0.25), []

    def schedule(number, history):
        return rates[number - 1]

    options = {"epochs": len(rates), "schedule": schedule}
    message = f"schedule's learning rate for epoch {epoch} must be a number that float32 can hold; got {rates[-1]}"
    with pytest.raises(ValueError, match=re.escape(message)):
        net.fit(X, Y, optimizer, **options, callbacks=[lambda epoch: seen.append(bytes_of(net))])
    assert len(seen) == epoch - 1
    assert optimizer.learning_rate == 0.25
    if seen:
        assert bytes_of(net) == seen[-1]
    small_network("numpy", "float64").fit(X, Y, SGD(0.25), epochs=len(rates[:1]), schedule=lambda *_: TINY)


def layers_of_factor(factor):
    return [Dense(4, 5, "relu", learning_rate_factor=factor), Dense(5, 3)]


def test_rates_times_the_factors_of_layers():
    net = Network(layers_of_factor(1e-30), "numpy")
    with pytest.raises(ValueError, match="SGD: learning_rate times 1e-30 must be a number that float32 can hold"):
        net.fit(X, Y, SGD(1e-20))
    with pytest.raises(ValueError, match="learning rate for epoch 1 times 1e-30 must be a number that float32 can"):
        net.fit(X, Y, SGD(0.1), schedule=lambda *_: 1e-20)
    net.fit(X, Y, SGD(1e-10))
    Network(layers_of_factor(0.0), "numpy").fit(X, Y, SGD(1e-20))


PARTS = {
    "Dense: learning_rate_factor": lambda dtype: Network(layers_of_factor(TINY), "numpy", dtype),
    "Dropout: rate": lambda dtype: Network([Dropout(TINY), Dense(4, 3)], "numpy", dtype),
    "Huber: delta": lambda dtype: Network([Dense(4, 3)], "numpy", dtype, loss=Huber(HUGE)),
    "SoftmaxCrossEntropy: label_smoothing": lambda dtype: Network(
        [Dense(4, 3)], "numpy", dtype, loss=SoftmaxCrossEntropy(TINY)
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_numbers_of_layers_and_losses(name):
    with pytest.raises(ValueError, match=f"{name} must be a number that float32 can hold; got "):
        PARTS[name]("float32")
    PARTS[name]("float64")


@pytest.mark.parametrize("scale", [TINY, -TINY, HUGE])
def test_scales(scale):
    with pytest.raises(ValueError, match="input_scale must be a finite number other than 0 in float32"):
        small_network("numpy", "float32", input_scale=scale)
    small_network("numpy", "float64", input_scale=scale)


WEIGHTS = {
    "one becomes 0": [TINY, *11 * [1]],
    "one becomes inf": [HUGE, *11 * [1]],
    "a mean would divide by one": [1e-40, *11 * [1]],
    "their sum": [1e37] * 12,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_samples_and_classes(name):
    weights = WEIGHTS[name]
    message = r" must hold 0 or numbers from 1.2e-38 up with a sum of at most 8.5e\+37, for means in float32; got "
    with pytest.raises(ValueError, match=f"sample_weight{message}.*: scale them, or set small ones to 0"):
        small_network("numpy", "float32").fit(X, Y, SGD(0.1), sample_weight=weights)
    history = small_network("numpy", "float64").fit(X, Y, SGD(0.1), sample_weight=weights)
    assert np.isfinite(history["loss"][0])
    loss = SoftmaxCrossEntropy(class_weight=weights[:3])
    with pytest.raises(ValueError, match=f"class_weight{message}"):
        small_network("numpy", "float32", loss=loss).fit(X, Y, SGD(0.1))
    small_network("numpy", "float64", loss=loss).fit(X, Y, SGD(0.1))


def test_weights_of_classes_times_those_of_samples():
    loss = SoftmaxCrossEntropy(class_weight=[1e-20, 1, 1])
    net = small_network("numpy", "float32", loss=loss)
    with pytest.raises(ValueError, match="sample_weight times class_weight must hold 0 or numbers from"):
        net.fit(X, Y, SGD(0.1), sample_weight=np.full(12, 1e-20))
    net.fit(X, Y, SGD(0.1), sample_weight=np.full(12, 1e-10))
    both, by_sample = (
        small_network("numpy", "float32", loss=SoftmaxCrossEntropy(class_weight=w)) for w in ([1, 2, 4], None)
    )
    both.fit(X, Y, SGD(0.1), sample_weight=np.arange(12))
    by_sample.fit(X, Y, SGD(0.1), sample_weight=np.arange(12) * np.array([1, 2, 4])[Y])
    assert bytes_of(both) == bytes_of(by_sample)


def of_weights(value, loss="softmax_cross_entropy", n_outputs=3, backend="numpy"):
    net = Network([Dense(4, 5, "relu"), Dense(5, n_outputs)], backend, seed=1, loss=loss)
    net.layers[0].weights[1, 2] = value
    return net


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("n_rows", [12, 3])
def test_a_diverged_network_has_no_accuracy(value, backend, n_rows):
    net = of_weights(value, backend=backend)
    for inputs in (X, np.ones_like(X), np.zeros_like(X), (X > 1).astype(np.uint8)):
        assert np.isnan(net.evaluate(inputs[:n_rows], Y[:n_rows])).all()
    with np.errstate(invalid="ignore"), pytest.warns(TrainingWarning, match="the loss became nan"):
        history = of_weights(value, backend=backend).fit(X, Y, SGD(0.1), validation_data=(X, Y))
    assert np.isnan(history["validation_accuracy"]).all()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("n_rows", [1, 12, 200])
def test_a_diverged_network_predicts_no_class(backend, n_rows):
    rows = np.ones((n_rows, 4))
    for loss, n_outputs in (("softmax_cross_entropy", 3), ("binary_cross_entropy", 1), ("binary_cross_entropy", 3)):
        net = of_weights(np.nan, loss, n_outputs, backend)
        with pytest.raises(ValueError, match="the network's outputs are NaN: its parameters are NaN or too large"):
            net.predict(rows)
        assert np.isnan(net.predict_proba(rows)).all()
    assert np.isnan(of_weights(np.nan, "huber", 1, backend).predict(rows)).all()


def test_parameters_are_those_of_the_layers():
    """A layer's arrays may have been replaced."""
    net = of_weights(1.0)
    first = net.layers[0]
    first.use_arrays(np.full((4, 5), -np.inf, "f4"), first.bias)
    assert np.isnan(net.evaluate(np.ones_like(X), Y)).all()


def test_large_weights_are_no_divergence():
    """The squares of these numbers overflow, the numbers do not."""
    net = of_weights(1e30)
    assert np.isfinite(net.evaluate(np.abs(X), Y)[1])
    assert net.predict(np.abs(X)).shape == (12,)


def test_optimizers_of_a_users_own_need_no_numbers():
    class Own(fastfnn.optimizers.Optimizer):
        def _update(self, kernels, index, parameter, gradient):
            parameter -= self.learning_rate * gradient

    small_network("numpy", "float32").fit(X, Y, Own(0.1))
    with pytest.raises(ValueError, match="Own: learning_rate must be a number that float32 can hold"):
        small_network("numpy", "float32").fit(X, Y, Own(TINY))
