"""Penalties on the mean or on the sum of a batch's losses, and epochs averaged by weight or by rows."""

import numpy as np
import pytest
from networks import (
    ROUNDING,
    assert_close,
    assert_gradients_are,
    backpropagated,
    bytes_of,
    each_backend,
    each_dtype,
    samples,
    small_network,
    softmax_of,
    sparse_samples,
)
from test_gradient import WAYS

from fastfnn import SGD, Adam, Dense, Gradient, Layer, Network, StopTraining
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.execution import thresholds
from fastfnn.execution.gradient import loss_gradient
from fastfnn.execution.options import Options, Penalty
from fastfnn.execution.plan import plan_gradient
from fastfnn.execution.preparation import in_order, prepare
from fastfnn.inputs.density import profile
from fastfnn.inputs.targets import Targets

each_penalty = pytest.mark.parametrize("added_to", ["mean", "sum"])
each_average = pytest.mark.parametrize("average_by", ["weight", "rows"])

L2, L2_BIAS, RATE = 0.5, 0.25, 0.125


def plain_step(parameters, X, y, weights, added_to):
    """Step from 4 -> 5 relu -> 3, and return the loss before, with its penalty: the formulas in plain float64."""
    W0, b0, W1 = parameters.values()
    total = weights.sum()
    of_sum = 0.0 if total == 0 else 1 / total
    l2, l2_bias = (factor * (1 if added_to == "mean" else of_sum) for factor in (L2, L2_BIAS))
    hidden = np.maximum(X @ W0 + b0, 0)
    proba = softmax_of(hidden @ W1)
    loss = -np.log(proba[np.arange(len(y)), y]) @ weights * of_sum
    loss += l2 / 2 * ((W0**2).sum() + (W1**2).sum()) + l2_bias / 2 * (b0**2).sum()
    delta = (proba - np.eye(3)[y]) * weights[:, None] * of_sum
    delta_hidden = (delta @ W1.T) * (hidden > 0)
    gradients = (X.T @ delta_hidden + l2 * W0, delta_hidden.sum(axis=0) + l2_bias * b0, hidden.T @ delta + l2 * W1)
    for array, gradient in zip((W0, b0, W1), gradients, strict=True):
        array -= RATE * gradient
    return loss


def plain_training(net, X, y, weights, batch_size, n_epochs, added_to, average_by):
    """Return the losses of the epochs, and the parameters after them."""
    parameters = {name: array.astype(np.float64) for name, array in net.parameters.items()}
    firsts, losses = range(0, len(y), batch_size), []
    weights = np.ones(len(y)) if weights is None else weights
    for _ in range(n_epochs):
        of_epoch, shares = [], []
        for rows in (slice(first, first + batch_size) for first in firsts):
            of_epoch.append(plain_step(parameters, X[rows], y[rows], weights[rows], added_to))
            shares.append(weights[rows].sum() if average_by == "weight" else len(y[rows]))
        losses.append(np.average(of_epoch, weights=shares))
    return losses, parameters


# Of 20 samples in batches of 6 or all at once; the third batch of 6 has no weight in the last.
WEIGHTS = {
    "none": None,
    "some": np.linspace(0.25, 4, 20),
    "none in a batch": np.where(np.arange(20) // 6 == 2, 0, np.linspace(3, 1, 20)),
}


@each_backend
@each_dtype
@each_penalty
@each_average
@pytest.mark.parametrize("batch_size", [None, 1, 6])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("weighted", WEIGHTS)
def test_a_training_follows_the_formulas(backend, dtype, added_to, average_by, batch_size, kind, weighted):
    X, y = samples(20, dtype=dtype) if kind == "dense" else sparse_samples(20, 4, 3, dtype)
    net, weights, rounding = small_network(backend, dtype), WEIGHTS[weighted], 20 * ROUNDING[dtype]
    losses, parameters = plain_training(
        net, X.astype(np.float64), y, weights, batch_size or 20, 3, added_to, average_by
    )
    history = net.fit(
        X,
        y,
        SGD(RATE),
        epochs=3,
        batch_size=batch_size,
        shuffle=False,
        sample_weight=weights,
        l2=L2,
        l2_bias=L2_BIAS,
        l2_added_to=added_to,
        average_by=average_by,
        input_format=kind,
    )
    assert history["loss"] == pytest.approx(losses, rel=rounding)
    for name, expected in parameters.items():
        assert_close(net.parameters[name], expected, rounding)


@each_backend
@each_dtype
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_a_gradient_divides_the_penalty(monkeypatch, backend, dtype, way):
    """By 32, which rounds nothing; several blocks add it once."""
    for name, value in (WAYS[way][0] | {"ROWS_OF_BLOCK": 7, "ROWS_OF_LARGE_BLOCK": 7}).items():
        monkeypatch.setattr(thresholds, name, value)
    net, (X, y) = small_network(backend, dtype), samples(32, dtype=dtype)
    plan = plan_gradient(net, profile(X, net.dtype))
    assert plan.propagation is way
    blocks, targets, found = prepare(net, X, plan), Targets(y), []
    for penalty in (Penalty(0.125, 0.5), Penalty(4.0, 16.0, "sum")):
        gradient = loss_gradient(net, 32, penalty, plan)
        loss, _ = gradient.run(in_order(blocks, targets), targets.total_weight)
        found.append((loss, gradient.gradients.vector.tobytes()))
    assert found[0] == found[1]
    _, expected = backpropagated(net, X, y, l2=0.125)
    expected[0] = (expected[0][0], expected[0][1] + 0.5 * net.layers[0].bias.astype(np.float64))
    assert_gradients_are([layer.gradient for layer in net.layers], expected, ROUNDING[dtype])


class Shift(Layer):
    """A layer of a user's own whose parameter is a bias."""

    def draw_parameters(self, dtype, rng):
        self.bias = rng.uniform(1, 2, 4).astype(dtype)

    @property
    def parameters(self):
        return {"bias": self.bias}

    def n_outputs_for(self, n_inputs):
        return n_inputs

    def forward(self, x, out=None):
        return np.add(x, self.bias, out=out)

    def backward(self, x, y, grad_y):
        self.gradient = Gradient(bias=grad_y.sum(axis=0))
        return grad_y

    def config(self):
        return {}


@each_backend
def test_parameters_of_ones_own_layers_are_penalised_by_their_names(backend):
    X, y = samples(32)
    for l2, factor in ((16.0, 0.5), (0.0, 0.0)):
        net = Network([Shift(), Dense(4, 3, use_bias=False)], backend, "float64", seed=3)
        loss, (plain, _) = net.loss_and_gradients(X, y)
        bias = net.layers[0].bias.copy()
        history = net.fit(X, y, SGD(0.5), l2_bias=l2, l2_added_to="sum")
        assert history["loss"] == [pytest.approx(loss + factor / 2 * (bias**2).sum(), rel=1e-12)]
        assert_close(net.layers[0].bias, bias - 0.5 * (plain.bias + factor * bias), 1e-12)


@pytest.mark.parametrize(
    ("added_to", "total_weight", "factors"),
    [
        ("mean", 8.0, (0.5, 0.25)),
        ("mean", 0.0, (0.5, 0.25)),
        ("sum", 8.0, (0.0625, 0.03125)),
        ("sum", 0.5, (1.0, 0.5)),
        ("sum", 0.0, (0.0, 0.0)),
    ],
)
def test_factors_of_a_penalty(added_to, total_weight, factors):
    assert Penalty(0.5, 0.25, added_to).factors(total_weight) == factors


@each_backend
@each_penalty
@each_average
def test_an_epoch_without_any_weight(backend, added_to, average_by):
    """The penalty on the mean is left, and that on the sum is nothing."""
    X, y = samples(20)
    net = small_network(backend)
    W0, b0, W1 = (array.copy() for array in net.parameters.values())
    history = net.fit(
        X,
        y,
        SGD(0.125),
        batch_size=2,
        sample_weight=np.arange(20) >= 4,
        shuffle=lambda n: range(4),
        l2=0.5,
        l2_added_to=added_to,
        average_by=average_by,
    )
    shrunk = np.array([1.0, 1.0, 1.0] if added_to == "sum" else [1.0, 0.9375, 0.9375**2])
    for array, expected in zip(net.parameters.values(), (W0 * shrunk[2], b0, W1 * shrunk[2]), strict=True):
        assert_close(array, expected, 1e-12)
    penalty = 0.25 * ((W0**2).sum() + (W1**2).sum()) * (shrunk[:2] ** 2).mean()
    expected = penalty if (added_to, average_by) == ("mean", "rows") else 0
    assert history["loss"] == [pytest.approx(expected, rel=1e-12)]


@each_backend
@each_average
@pytest.mark.parametrize("batch_size", [1, 3])
def test_without_weights_both_averages_are_the_same(backend, average_by, batch_size):
    """To the last bit, in the kernels of SGD too."""
    X, y = sparse_samples(20, 4, 3, "float64")
    net, other = small_network(backend), small_network(backend)
    options = {"epochs": 2, "batch_size": batch_size, "input_format": "sparse"}
    expected = other.fit(X, y, SGD(0.1), **options)
    assert net.fit(X, y, SGD(0.1), average_by=average_by, **options)["loss"] == expected["loss"]
    assert bytes_of(net) == bytes_of(other)


@each_backend
def test_an_epoch_averaged_by_rows_is_resumed(tmp_path, backend):
    X, y = samples(20)
    options = {
        "epochs": 2,
        "batch_size": 6,
        "sample_weight": WEIGHTS["none in a batch"],
        "l2": 0.5,
        "l2_added_to": "sum",
        "average_by": "rows",
    }
    whole, net, resumed = (small_network(backend, seed=seed) for seed in (3, 3, 7))
    optimizer = Adam(0.1)
    expected = whole.fit(X, y, Adam(0.1), **options)

    def stop(step):
        if step.number == 6:
            raise StopTraining

    net.fit(X, y, Adam(0.1), **options, step_callbacks=[stop], callbacks=[Checkpoint(tmp_path / "c")])
    history = load_checkpoint(tmp_path / "c", resumed, optimizer)
    resumed.fit(X, y, optimizer, **options, history=history)
    assert bytes_of(resumed) == bytes_of(whole)
    assert history["loss"] == expected["loss"]


def test_a_penalty_on_the_sum_keeps_steps_out_of_the_kernels_of_sgd():
    net, (X, y) = small_network(), samples(20)
    plan = net.plan(X, y, SGD(0.1), batch_size=1, l2=0.1, l2_added_to="sum", average_by="rows")
    assert plan.because[2] == "many batches in a call: SGD in batches of 1"
    plan = net.plan(X, y, SGD(0.1), batch_size=1, l2_added_to="sum", average_by="rows")
    assert plan == net.plan(X, y, SGD(0.1), batch_size=1)


@pytest.mark.parametrize(
    ("name", "choices"), [("l2_added_to", "mean, sum"), ("average_by", "weight, rows")], ids=["penalty", "average"]
)
@pytest.mark.parametrize("value", ["", "Sum", None, True, 0, ["sum"], np.array(["sum"])])
def test_unknown_choices(name, choices, value):
    net, (X, y) = small_network(), samples(6)
    before = bytes_of(net)
    for method in (net.fit, net.plan):
        with pytest.raises(ValueError, match=f"{name} must be one of {choices}; got"):
            method(X, y, SGD(0.1), **{name: value})
    assert bytes_of(net) == before


def test_the_penalty_of_options():
    assert Options(l2=0.5, l2_bias=0.25, l2_added_to="sum").penalty == Penalty(0.5, 0.25, "sum")
    assert Options(l2=0.5).penalty == Penalty(0.5, 0.0, "mean")
    assert Penalty(0.5) != Penalty(0.5, added_to="sum")
