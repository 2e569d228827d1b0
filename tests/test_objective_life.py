"""Objectives beside others, beside trainings, and after a layer's arrays were replaced."""

import copy

import numpy as np
import pytest
from networks import assert_close, bytes_of, each_backend, numeric_gradient, samples, small_network
from test_objective import gradient_of, joined, many_layers, other_vector
from test_replaced_arrays import large_network, plain_network, replace_by_copies, scaled_network

from fastfnn import Adam
from fastfnn.objective import Objective

BUILDERS = {
    "whole stack": plain_network,
    "with gaps": large_network,
    "own layers": scaled_network,
    "many": many_layers,
}
each_builder = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


@each_backend
@each_builder
def test_objectives_of_one_network_do_not_disturb_each_other(backend, build):
    """Nor do a training and `loss_and_gradients` in between."""
    net, (X, y) = build(backend), samples(30)
    first = Objective(net, X[:20], y[:20], l2=0.1)
    vector = first.vector
    expected = first(vector)
    second = Objective(net, X[20:], y[20:])
    others = [second(vector), net.loss_and_gradients(X, y)]
    kept = gradient_of(others[1][1])
    found = [first(vector)]
    net.fit(X, y, Adam(0.1), epochs=2, batch_size=7)
    found += [first(vector), first(vector)]
    for loss, gradient in found:
        assert loss == expected[0]
        assert (gradient == expected[1]).all()
    again = second(vector)
    assert again[0] == others[0][0]
    assert (again[1] == others[0][1]).all()
    assert (gradient_of(others[1][1]) == kept).all()
    assert (first.vector == vector).all()


@each_backend
@each_builder
def test_it_does_not_disturb_a_training_that_it_watches(backend, build):
    net, plain, (X, y) = build(backend), build(backend), samples(30)
    objective, losses = Objective(net, X, y), []

    def watch(step):
        losses.append(objective(objective.vector)[0])
        assert Objective(net, X, y)(objective.vector)[0] == losses[-1]

    net.fit(X, y, Adam(0.1), epochs=3, batch_size=7, step_callbacks=[watch])
    plain.fit(X, y, Adam(0.1), epochs=3, batch_size=7)
    assert bytes_of(net) == bytes_of(plain)
    assert losses[-1] == pytest.approx(net.evaluate(X, y)[0], rel=1e-12)


def replace_by_those_of_a_shallow_copy(net):
    replace_by_copies(net)
    copy.copy(net).store_parameters()


@each_backend
@pytest.mark.parametrize("build", [plain_network, large_network])
@pytest.mark.parametrize("replace", [replace_by_copies, replace_by_those_of_a_shallow_copy])
def test_it_follows_arrays_that_were_replaced(backend, build, replace):
    net, same, (X, y) = build(backend), build(backend), samples(30)
    objective, expected = Objective(net, X, y, l2=0.1), Objective(same, X, y, l2=0.1)
    vector = other_vector(expected)
    for change in (1.0, 0.5):
        replace(net)
        (loss, gradient), (expected_loss, expected_gradient) = objective(change * vector), expected(change * vector)
        assert loss == expected_loss
        assert (gradient == expected_gradient).all()
        assert bytes_of(net) == bytes_of(same)
        replace(net)
        assert (objective.vector == change * vector).all()
        replace(net)
        objective.vector = expected.vector = vector / 8
        assert bytes_of(net) == bytes_of(same)


@each_backend
def test_it_follows_an_array_that_an_own_layer_assigns(backend):
    net, (X, y) = scaled_network(backend), samples(30)
    objective = Objective(net, X, y, parameters=["0.weights", "2.bias"])
    new = np.array([0.5, 2.0, -1.0, 1.0])
    net.layers[0].weights = new
    assert (objective.vector[:4] == new).all()
    vector = objective.vector * 2
    loss, gradient = objective(vector)
    assert (new == [1.0, 4.0, -2.0, 2.0]).all()
    assert net.layers[0].weights is new
    assert_close(gradient, numeric_gradient(lambda: objective(vector)[0], vector), 1e-7)
    assert loss == objective(vector)[0]


@each_backend
def test_it_goes_on_after_a_reset(backend):
    net, (X, y) = small_network(backend), samples(20)
    objective = Objective(net, X, y)
    objective(other_vector(objective))
    net.reset(seed=5)
    new = small_network(backend, seed=5)
    new.layers[0].bias[...] = 0
    assert (objective.vector == joined(new.parameters.values())).all()
    loss, gradients = new.loss_and_gradients(X, y)
    found = objective(objective.vector)
    assert found[0] == loss
    assert (found[1] == gradient_of(gradients)).all()
