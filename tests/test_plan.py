"""Plans: which way to compute is chosen for the work that is published and measured, and what stands in its way."""

import copy
import dataclasses
import functools
import inspect
import logging

import numpy as np
import pytest
from networks import Doubling, bytes_of, each_backend, samples, small_network, sparse_samples
from scipy import sparse

import fastfnn
from fastfnn import SGD, Adam, AdamW, Dense, Dropout, History, Network, RMSprop, Tanh, schedules
from fastfnn.callbacks import EarlyStopping
from fastfnn.distributed import alone
from fastfnn.execution import obstacles, thresholds
from fastfnn.execution.options import Options
from fastfnn.execution.plan import (
    Propagation,
    Steps,
    Storage,
    Update,
    plan_evaluation,
    plan_few_rows,
    plan_gradient,
    plan_prediction,
    plan_training,
    possible_formats,
)
from fastfnn.execution.preparation import profile_repeated
from fastfnn.execution.thresholds import PACKED_DENSITY, PACKING_OUTPUTS, ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK
from fastfnn.inputs.density import DataProfile, profile
from fastfnn.inputs.validation import check_inputs
from fastfnn.losses import SoftmaxCrossEntropy
from fastfnn.recipes import RECIPES
from fastfnn.recipes.settings import make_optimizer

DENSE, PACKED, KEPT = Storage.DENSE, Storage.PACKED, Storage.PACKED_AND_KEPT
LAYERWISE, OUTPUT_LAYER, WHOLE_STACK = Propagation
ONE_BY_ONE, BATCHES, SGD_BATCHES, SGD_SAMPLES = Steps
FLAT, PER_TENSOR, WITH_STEPS = Update

MB = 2**20
MNIST = DataProfile(42_000, 0.19, 60 * MB)
RANDOM = DataProfile(42_000, 1.0, 300 * MB)


def main_network(backend="numba"):
    """Build the network of the benches and of the first recipe."""
    return Network([Dense(784, 256, "relu"), Dense(256, 10, use_bias=False)], backend, seed=1)


def fields(plan):
    return plan.storage, plan.propagation, plan.steps, plan.update, plan.rows_of_block


def tensor_rmsprop():
    return RMSprop(0.5, 0.99, 1e-3, "tensor", 1.0, 500)


# Data, optimizer, batch size; fields of the plan for Numba, and for NumPy.
BENCHES = {
    "full batch, MNIST": (
        MNIST, tensor_rmsprop, None,
        (KEPT, OUTPUT_LAYER, ONE_BY_ONE, PER_TENSOR, 3072),
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, PER_TENSOR, 3072),
    ),
    "full batch, random": (
        RANDOM, tensor_rmsprop, None,
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, PER_TENSOR, 9216),
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, PER_TENSOR, 3072),
    ),
    "mini-batches of 5,000": (
        MNIST, SGD, 5_000,
        (PACKED, OUTPUT_LAYER, ONE_BY_ONE, FLAT, 3072),
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, FLAT, 3072),
    ),
    "mini-batches of 128": (
        MNIST, SGD, 128,
        (PACKED, OUTPUT_LAYER, SGD_BATCHES, FLAT, 3072),
        (DENSE, WHOLE_STACK, BATCHES, WITH_STEPS, 3072),
    ),
    "mini-batches of 128 with Adam": (
        MNIST, Adam, 128,
        (PACKED, WHOLE_STACK, BATCHES, WITH_STEPS, 3072),
        (DENSE, WHOLE_STACK, BATCHES, WITH_STEPS, 3072),
    ),
    "dense mini-batches of 512 with Adam": (
        RANDOM, Adam, 512,
        (DENSE, WHOLE_STACK, BATCHES, WITH_STEPS, 9216),
        (DENSE, WHOLE_STACK, BATCHES, WITH_STEPS, 3072),
    ),
    "mini-batches of 32": (
        MNIST, SGD, 32,
        (PACKED, OUTPUT_LAYER, SGD_BATCHES, FLAT, 3072),
        (DENSE, WHOLE_STACK, BATCHES, WITH_STEPS, 3072),
    ),
    "single samples": (
        MNIST, SGD, 1,
        (PACKED, OUTPUT_LAYER, SGD_SAMPLES, FLAT, 3072),
        (DENSE, OUTPUT_LAYER, SGD_SAMPLES, FLAT, 3072),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BENCHES)
def test_trainings_that_are_measured(name):
    data, optimizer, batch_size, with_numba, with_numpy = BENCHES[name]
    for backend, expected in (("numba", with_numba), ("numpy", with_numpy)):
        plan = plan_training(main_network(backend), data, Options(batch_size=batch_size, l2=0.0), optimizer())
        assert fields(plan) == expected
        assert plan.is_packed == (plan.storage is not DENSE)
        assert plan.data is data


@pytest.mark.parametrize("n_rows", [1, 32])
def test_predictions_that_are_measured(n_rows):
    for backend, skip_below in (("numba", pytest.approx(0.35)), ("numpy", 0)):
        plan = plan_prediction(main_network(backend), DataProfile(n_rows, 0.19))
        assert fields(plan) == (DENSE, WHOLE_STACK, None, None, 64)
        assert plan.skip_below == skip_below


@pytest.mark.parametrize(
    ("n_rows", "widths", "activations"),
    [(718, (64, 64, 32, 10), ("sigmoid", "sigmoid", "sigmoid")), (600, (2, 200, 3), ("relu", "identity"))],
    ids=["digits", "spiral"],
)
def test_small_networks_that_are_measured(n_rows, widths, activations):
    layers = list(zip(widths[:-1], widths[1:], activations, strict=True))
    for backend, rows_of_block in (("numba", 9216), ("numpy", 3072)):
        net = Network([Dense(*layer) for layer in layers], backend)
        data = DataProfile(n_rows)
        for optimizer in (Adam(), SGD()):
            expected = (DENSE, WHOLE_STACK, ONE_BY_ONE, FLAT, rows_of_block)
            assert fields(plan_training(net, data, Options(), optimizer)) == expected
        assert plan_gradient(net, data).propagation is WHOLE_STACK


def images(n_rows):
    return DataProfile(n_rows, 0.18, n_rows * 1400)


# Data, number of columns and of classes; fields of the plan for Numba, and for NumPy.
RECIPE_PLANS = {
    "kaggle-rmsprop": (
        images(42_000), 784, 10,
        (KEPT, OUTPUT_LAYER, ONE_BY_ONE, PER_TENSOR, 3072),
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, PER_TENSOR, 3072),
    ),
    "layers-sgd": (
        images(52_500), 784, 10,
        (PACKED, OUTPUT_LAYER, ONE_BY_ONE, FLAT, 3072),
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, FLAT, 3072),
    ),
    "layers-adam": (
        images(52_500), 784, 10,
        (PACKED, OUTPUT_LAYER, ONE_BY_ONE, FLAT, 3072),
        (DENSE, OUTPUT_LAYER, ONE_BY_ONE, FLAT, 3072),
    ),
    "sigmoid-sgd": (
        images(60_000), 784, 10,
        (PACKED, OUTPUT_LAYER, SGD_SAMPLES, FLAT, 3072),
        (DENSE, OUTPUT_LAYER, SGD_SAMPLES, FLAT, 3072),
    ),
    "spiral": (
        DataProfile(600, 1.0, 6400), 2, 3,
        (DENSE, WHOLE_STACK, ONE_BY_ONE, FLAT, 9216),
        (DENSE, WHOLE_STACK, ONE_BY_ONE, FLAT, 3072),
    ),
    "digits": (
        DataProfile(718, 0.52, 170_000), 64, 10,
        (DENSE, WHOLE_STACK, ONE_BY_ONE, FLAT, 9216),
        (DENSE, WHOLE_STACK, ONE_BY_ONE, FLAT, 3072),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_recipes(name):
    data, n_columns, n_classes, with_numba, with_numpy = RECIPE_PLANS[name]
    recipe = RECIPES[name]
    for backend, expected in (("numba", with_numba), ("numpy", with_numpy)):
        settings = dataclasses.replace(recipe.defaults, backend=backend)
        net = recipe.build_network(settings, n_columns, n_classes, 1.0)
        options = Options(batch_size=settings.batch_size, l2=settings.l2, drop_last=settings.drop_last)
        assert fields(plan_training(net, data, options, make_optimizer(settings, recipe.optimizers))) == expected


def test_a_plan_in_one_line():
    assert plan_training(main_network(), MNIST, Options(), tensor_rmsprop()).summary == (
        "packed inputs (19% non-zero), 14 row blocks, output layer fused"
    )
    assert plan_training(main_network(), MNIST, Options(batch_size=32), SGD()).summary == (
        "packed inputs (19% non-zero), many steps of SGD in a call"
    )
    assert plan_training(main_network(), MNIST, Options(batch_size=5_000), SGD()).summary == (
        "packed inputs (19% non-zero), 2 row blocks, output layer fused"
    )
    assert plan_training(main_network(), MNIST, Options(batch_size=32), Adam()).summary == (
        "packed inputs (19% non-zero), many batches in a call"
    )
    assert plan_prediction(main_network(), DataProfile(1)).summary == (
        "dense inputs (100% non-zero), 1 row block, all layers in one call"
    )
    weighted = RANDOM._replace(is_weighted=True)
    assert plan_evaluation(main_network(), weighted).summary == (
        "dense inputs (100% non-zero), 5 row blocks, layer by layer"
    )


def test_the_row_blocks_of_a_pass_are_those_of_a_batch():
    net = main_network()
    for data, batch_sizes, expected in (
        (MNIST, (None, 1, 3072, 3073, 5_000, 42_000, 100_000), (14, 1, 1, 2, 2, 14, 14)),
        (RANDOM, (None, 9216, 9217, 20_000), (5, 1, 2, 3)),
        (MNIST._replace(n_rows=3072), (None, 5_000), (1, 1)),
        (MNIST._replace(n_rows=3073), (None, 5_000), (2, 2)),
    ):
        plans = [plan_training(net, data, Options(batch_size=size), SGD()) for size in batch_sizes]
        assert [plan.n_blocks for plan in plans] == list(expected)
    assert [plan(net, MNIST).n_blocks for plan in (plan_gradient, plan_evaluation, plan_prediction)] == [14, 14, 14]
    assert plan_prediction(net, DataProfile(64)).n_blocks == plan_few_rows(net).n_blocks == 1


class Derived(SGD):
    """An optimizer of a user's own."""


class DerivedLoss(SoftmaxCrossEntropy):
    def loss_and_gradient(self, *arguments):
        return super().loss_and_gradient(*arguments)


class DerivedDense(Dense):
    """A layer of a user's own."""


def reading_gradients(step):
    """Read the gradient of a step, as the attribute says."""


reading_gradients.reads_gradients = True


class Watcher:
    """An object that reads gradients in one of its methods."""

    reads_gradients = True

    def look(self, step):
        """Read the gradient of a step."""


SMALL = DataProfile(1000, 0.05, 20_000)
WEIGHTED = SMALL._replace(is_weighted=True)


def small_layers():
    return [Dense(20, 40, "relu"), Dense(40, 3)]


# Changes of a training by a kernel of SGD, and the words that tell why it is none.
NOT_IN_SGD_KERNELS = {
    "a step callback that reads gradients": (
        {"options": {"step_callbacks": [print, reading_gradients]}}, "a step callback reads gradients",
    ),
    "a method of an object that reads gradients": (
        {"options": {"step_callbacks": [Watcher().look]}}, "a step callback reads gradients",
    ),
    "a partial of a function that reads gradients": (
        {"options": {"step_callbacks": [functools.partial(reading_gradients)]}}, "a step callback reads gradients",
    ),
    "a partial of a method of an object that reads gradients": (
        {"options": {"step_callbacks": [functools.partial(Watcher().look)]}}, "a step callback reads gradients",
    ),
    "a penalty": ({"options": {"l2": 0.1}}, "there is a penalty (l2 or l2_bias)"),
    "a penalty on biases": ({"options": {"l2_bias": 0.1}}, "there is a penalty (l2 or l2_bias)"),
    "clipped elements": ({"options": {"clip_value": 1.0}}, "gradients are clipped"),
    "a clipped norm": ({"options": {"clip_norm": 1.0}}, "gradients are clipped"),
    "sample weights": ({"data": WEIGHTED}, "samples have weights"),
    "momentum": ({"optimizer": SGD(0.1, momentum=0.5)}, "the optimizer, SGD, is not plain SGD"),
    "another optimizer": ({"optimizer": Adam()}, "the optimizer, Adam, is not plain SGD"),
    "an optimizer of a user's own": ({"optimizer": Derived(0.1)}, "the optimizer, Derived, is not plain SGD"),
    "learning rate factors": (
        {"layers": lambda: [Dense(20, 40, "relu"), Dense(40, 3, learning_rate_factor=0.5)]},
        "layers have learning rate factors",
    ),
    "dropout": (
        {"layers": lambda: [Dense(20, 40, "relu"), Dropout(0.25), Dense(40, 3)]},
        "Dropout(0.25) is not among the layers of one kernel",
    ),
    "an activation of its own": (
        {"layers": lambda: [Dense(20, 3), Tanh()]}, "Tanh() is not among the layers of one kernel",
    ),
    "an activation that is not fused": (
        {"layers": lambda: [Dense(20, 40, "elu"), Dense(40, 3)]},
        "Dense(20, 40, activation='elu', use_bias=True) is not among the layers of one kernel",
    ),
    "a layer of a user's own": (
        {"layers": lambda: [DerivedDense(20, 3)]},
        "DerivedDense is not among the layers of one kernel",
    ),
    "another loss": ({"loss": "mean_squared_error"}, "the loss is MeanSquaredError()"),
    "label smoothing": (
        {"loss": SoftmaxCrossEntropy(0.1)},
        "the loss is SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=None)",
    ),
    "a loss of a user's own": (
        {"loss": DerivedLoss()}, "the loss is DerivedLoss(label_smoothing=0.0, class_weight=None)",
    ),
}  # fmt: skip


def planned(layers=small_layers, loss="softmax_cross_entropy", data=SMALL, optimizer=None, options=(), batch_size=4):
    net = Network(layers(), "numba", loss=loss, seed=1)
    return plan_training(
        net, data, Options(**{"batch_size": batch_size, "input_format": "sparse"} | dict(options)), optimizer or SGD()
    )


def obstacle_to_sgd(
    layers=small_layers, loss="softmax_cross_entropy", data=SMALL, optimizer=None, options=(), batch_size=4,
    packed_rows=ROWS_OF_BLOCK,
):  # fmt: skip
    net = Network(layers(), "numba", loss=loss, seed=1)
    options = Options(**{"batch_size": batch_size} | dict(options))
    return obstacles.to_sgd_kernels(net, data, options, optimizer or SGD(), packed_rows)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_plain_sgd_in_small_batches_takes_many_steps_in_a_call(batch_size):
    for options in ({}, {"step_callbacks": [print]}, {"callbacks": [print]}, {"drop_last": True, "shuffle": False}):
        plan = planned(options=options, batch_size=batch_size)
        assert plan.steps is (SGD_SAMPLES if batch_size == 1 else SGD_BATCHES)
        assert plan.because[2] == (
            "many samples in a call, without their zeros: plain SGD in batches of one"
            if batch_size == 1
            else "many batches in a call: plain SGD in packed batches of 4"
        )


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("name", NOT_IN_SGD_KERNELS)
def test_what_stands_in_the_way_of_the_kernels_of_sgd(batch_size, name):
    changes, reason = NOT_IN_SGD_KERNELS[name]
    plan = planned(**changes, batch_size=batch_size)
    assert plan.steps is (ONE_BY_ONE if name in NOT_IN_BATCHES else BATCHES)
    assert obstacle_to_sgd(**changes, batch_size=batch_size) == reason


def test_batches_that_no_kernel_of_sgd_takes(monkeypatch):
    assert "one call a step: a full batch has one step an epoch" in planned(batch_size=None).because
    dense = {"options": {"input_format": "dense"}}
    assert planned(**dense).steps is BATCHES
    assert obstacle_to_sgd(**dense, packed_rows=0) == "batches of dense inputs are not among the kernels of SGD"
    assert planned(**dense, batch_size=1).steps is SGD_SAMPLES
    large = SMALL._replace(n_rows=10_000)
    assert planned(data=large, batch_size=3072).steps is SGD_BATCHES
    assert obstacle_to_sgd(data=large, batch_size=3073) == "batches have more than 3,072 rows"
    monkeypatch.setattr(thresholds, "SGD_BATCH_ROWS", 15)
    assert planned(batch_size=15).steps is SGD_BATCHES
    assert planned(batch_size=16).steps is BATCHES
    assert obstacle_to_sgd(batch_size=16) == "batches have more than 15 rows"


# Changes of a training by the kernel of batches, and the words that tell why it is none.
NOT_IN_BATCHES = {
    **{
        name: NOT_IN_SGD_KERNELS[name]
        for name in (
            "an activation of its own",
            "an activation that is not fused",
            "a layer of a user's own",
            "a loss of a user's own",
        )
    },
    "an optimizer of a user's own": (
        {"optimizer": Derived(0.1)}, "the optimizer, Derived, is a class of its own",
    ),
    "a full batch": ({"batch_size": None}, "a full batch has one step an epoch"),
    "large batches": (
        {"data": SMALL._replace(n_rows=10_000), "batch_size": 3073}, "batches have more than 3,072 rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("name", NOT_IN_BATCHES)
def test_what_stands_in_the_way_of_many_batches_in_a_call_is_named(name, optimizer):
    changes, reason = NOT_IN_BATCHES[name]
    plan = planned(**{"optimizer": optimizer()} | changes)
    assert plan.steps is ONE_BY_ONE
    assert plan.because[2] == f"one call a step: {reason}"
    assert plan.propagation is not WHOLE_STACK
    assert plan.update is not WITH_STEPS


def test_many_batches_in_a_call():
    for changes in (
        {"optimizer": SGD(0.1, 0.9, nesterov=True)},
        {"optimizer": RMSprop(), "loss": "huber"},
        {"optimizer": tensor_rmsprop(), "loss": SoftmaxCrossEntropy(0.1)},
        {"optimizer": AdamW(), "loss": "binary_cross_entropy"},
        {"optimizer": Adam(), "data": WEIGHTED, "options": {"l2": 0.1, "l2_bias": 0.1, "clip_norm": 1.0}},
        {"optimizer": Adam(), "options": {"step_callbacks": [reading_gradients]}},
        {"optimizer": Adam(), "layers": lambda: [Dense(20, 9, "tanh"), Dropout(0.1), Dense(9, 3, "sigmoid")]},
        {"optimizer": Adam(), "layers": lambda: [Dropout(0.1), Dense(20, 3, learning_rate_factor=0.5)]},
    ):
        for batch_size in (1, 4, 3072):
            plan = planned(**changes, batch_size=batch_size)
            assert (plan.steps, plan.propagation, plan.update) == (BATCHES, WHOLE_STACK, WITH_STEPS)
            assert plan.because[1:] == (
                "one kernel for all layers: it takes whole steps",
                f"many batches in a call: {type(changes['optimizer']).__name__} in batches of {batch_size:,}",
                "updates are part of the kernel of the steps",
            )


@pytest.mark.parametrize(
    ("n_rows", "options", "n_batches"),
    [
        (1000, {"batch_size": 999}, 2),
        (1000, {"batch_size": 1000}, 1),
        (1000, {"batch_size": 1001}, 1),
        (1000, {"batch_size": 3000}, 1),
        (1, {"batch_size": 1}, 1),
        (2, {"batch_size": 1}, 2),
        (1000, {"batch_size": 500, "drop_last": True}, 2),
        (1000, {"batch_size": 501, "drop_last": True}, 1),
        (1000, {"batch_size": 1000, "drop_last": True}, 1),
    ],
)
def test_one_batch_an_epoch_leaves_the_kernels_of_sgd(n_rows, options, n_batches):
    data = SMALL._replace(n_rows=n_rows)
    plan = planned(data=data, options=options)
    small = SGD_SAMPLES if options["batch_size"] == 1 else SGD_BATCHES
    assert plan.steps is (BATCHES if n_batches == 1 else small)
    obstacle = "an epoch has one batch" if n_batches == 1 else None
    assert obstacle_to_sgd(data=data, options=options) == obstacle
    assert plan.n_blocks == 1
    words = "many batches in a call" if n_batches == 1 else "many steps of SGD in a call"
    assert plan.summary == f"packed inputs (5% non-zero), {words}"


# Changes of a training of a whole stack in one kernel, and the words that tell why it is none.
NOT_A_WHOLE_STACK = {
    "packed inputs": ({"options": {"input_format": "sparse"}}, "inputs are packed"),
    **{
        name: changes
        for name, changes in NOT_IN_SGD_KERNELS.items()
        if ("layers" in changes[0] and name != "learning rate factors") or name == "a loss of a user's own"
    },
    "many parameters": (
        {"layers": lambda: [Dense(20, 700, "relu"), Dense(700, 3)]},
        "the parameters take 67,212 bytes, more than 65,536",
    ),
}


# An obstacle to a fused output layer too: the reason names it once.
SAID_ALREADY = "a loss of a user's own"


@pytest.mark.parametrize("name", NOT_A_WHOLE_STACK)
def test_what_stands_in_the_way_of_a_whole_stack_is_named(monkeypatch, name):
    monkeypatch.setattr(thresholds, "PACKED_DENSITY", 0.0)  # dense inputs, unless others are asked for
    plain = planned(options={"input_format": "auto"}, batch_size=None)
    assert plain.propagation is WHOLE_STACK
    assert "one kernel for all layers: the parameters take 3,852 bytes" in plain.because
    changes, reason = NOT_A_WHOLE_STACK[name]
    plan = planned(**{"options": {"input_format": "auto"}} | changes, batch_size=None)
    assert plan.propagation is not WHOLE_STACK
    if name == SAID_ALREADY:
        assert plan.because[1] == f"layer by layer: {reason}"
    else:
        assert plan.because[1].endswith(f"; not all layers in one kernel, because {reason}")
    assert plan.because[1].count(reason) == 1


@pytest.mark.parametrize(
    "loss",
    [
        "softmax_cross_entropy",
        SoftmaxCrossEntropy(0.1),
        "binary_cross_entropy",
        "mean_squared_error",
        "huber",
        "poisson",
    ],
)
def test_a_whole_stack_has_any_loss_and_weights(loss):
    for data in (SMALL, WEIGHTED):
        plan = planned(loss=loss, data=data, options={"input_format": "dense"}, batch_size=None)
        assert plan.propagation is WHOLE_STACK


def test_gaps_between_the_parameters_keep_them_from_a_whole_stack(monkeypatch):
    monkeypatch.setattr(thresholds, "WHOLE_STACK_BYTES", 2**20)
    layers = [Dense(20, 701, "relu"), Dense(701, 3)]
    plan = planned(lambda: layers, options={"input_format": "dense"}, batch_size=None)
    assert plan.propagation is not WHOLE_STACK
    assert plan.because[1].endswith("because the parameters, 67,308 bytes, are not stored without gaps")


# Networks whose output layer is not computed together with the loss, and why.
NO_OUTPUT_LAYER = {
    "one layer": (lambda: [Dense(20, 3)], {}, "there is no layer before the output layer"),
    "an activation at the end": (
        lambda: [Dense(20, 40, "relu"), Dense(40, 3, "tanh")], {},
        "the last layer, Dense(40, 3, activation='tanh', use_bias=True), is not a Dense layer without activation",
    ),
    "a user's own layer at the end": (
        lambda: [Dense(20, 3, "relu"), Doubling()], {},
        "the last layer, Doubling(), is not a Dense layer without activation",
    ),
    "an activation before that is not fused": (
        lambda: [Dense(20, 40, "softplus"), Dense(40, 3)], {},
        "the activation before the output layer, softplus, is not fused",
    ),
    "a large output layer": (
        lambda: [Dense(20, 2048, "relu"), Dense(2048, 9)], {}, "the output layer's weights take 73,728 bytes",
    ),
    "another loss": (small_layers, {"loss": "huber"}, "the loss is Huber(delta=1.0)"),
    "sample weights": (small_layers, {"data": WEIGHTED}, "samples have weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_OUTPUT_LAYER)
def test_what_stands_in_the_way_of_a_fused_output_layer_is_named(name):
    layers, changes, reason = NO_OUTPUT_LAYER[name]
    plan = planned(layers, **changes, batch_size=None)
    assert plan.propagation is LAYERWISE
    assert plan.because[1].startswith(f"layer by layer: {reason}")
    evaluation = plan_evaluation(
        Network(layers(), loss=changes.get("loss", "softmax_cross_entropy")), changes.get("data", SMALL)
    )
    assert evaluation.propagation is LAYERWISE
    assert evaluation.because[1] == f"layer by layer: {reason}"


def test_a_fused_output_layer():
    for plan in (planned(), plan_evaluation(Network(small_layers()), SMALL)):
        assert plan.propagation is OUTPUT_LAYER
        assert "output layer fused with the loss: its weights take 480 bytes" in plan.because[1]


def test_the_reasons_of_updates():
    assert "one update for all parameters: they are stored in one vector" in planned().because
    for optimizer in (SGD(0.1, 0.5), RMSprop(), Adam(), AdamW()):
        assert planned(optimizer=optimizer, batch_size=None).update is FLAT
        assert planned(optimizer=optimizer).update is WITH_STEPS
    for changes, reason in (
        ({"optimizer": tensor_rmsprop()}, "RMSprop does not treat each element by itself"),
        ({"optimizer": Derived(0.1)}, "Derived does not treat each element by itself"),
        (NOT_IN_SGD_KERNELS["learning rate factors"][0], "layers have learning rate factors"),
        ({"layers": lambda: [DerivedDense(20, 3)]}, "a layer of another class has arrays of its own"),
    ):
        plan = planned(**changes, batch_size=None)
        assert plan.update is PER_TENSOR
        assert f"one update a parameter: {reason}" in plan.because


def test_each_choice_has_a_reason():
    net = main_network()
    assert len(plan_training(net, MNIST, Options(), SGD()).because) == 4
    for plan in (plan_gradient(net, MNIST), plan_evaluation(net, MNIST), plan_prediction(net, MNIST)):
        assert len(plan.because) == 2
        assert (plan.steps, plan.update) == (None, None)


@each_backend
def test_plans_are_pure(backend):
    net, optimizer = main_network(backend), Adam()
    options = Options(batch_size=32, l2=0.1, step_callbacks=[print])
    before, settings = bytes_of(net), copy.deepcopy(optimizer.__dict__)
    for plan in (
        lambda: plan_training(net, MNIST, options, optimizer),
        lambda: plan_gradient(net, MNIST),
        lambda: plan_evaluation(net, MNIST),
        lambda: plan_prediction(net, MNIST),
        lambda: plan_few_rows(net),
        lambda: possible_formats(net, MNIST),
    ):
        assert plan() == plan()
    assert bytes_of(net) == before
    assert optimizer.__dict__ == settings
    assert options == Options(batch_size=32, l2=0.1, step_callbacks=[print])
    assert all(layer.gradient == fastfnn.Gradient() for layer in net.layers)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan_few_rows(net).rows_of_block = 1


# Storage


def of_density(density, n_rows=100, n_columns=10, dtype="float64"):
    X = np.zeros((n_rows, n_columns), dtype)
    X[:, : round(density * n_columns)] = 1
    return X


def wide_network(n_outputs=256, backend="numba", n_inputs=10):
    return Network([Dense(n_inputs, n_outputs)], backend, seed=1)


def of_many_passes(net, X, input_format="auto"):
    data = profile(X, net.dtype, is_repeated=True, in_order=True)
    return plan_training(net, data, Options(input_format=input_format), SGD())


def of_one_pass(net, X, input_format="auto"):
    return plan_evaluation(net, profile(X, net.dtype), input_format)


def formats(net, X, input_format="auto"):
    return possible_formats(net, profile(X, net.dtype), input_format)


def test_samples_of_a_full_batch_are_packed_and_kept_below_the_threshold():
    below, above = of_density(PACKED_DENSITY - 0.1), of_density(PACKED_DENSITY)
    for n_outputs in (1, 256):
        net = wide_network(n_outputs)
        assert of_many_passes(net, below).storage is KEPT
        assert "sparse" in formats(net, below)
        assert of_many_passes(net, above).storage is DENSE
        assert formats(net, above) == ("dense",)


def test_mini_batches_are_packed_anew():
    data = profile(of_density(0.1), np.dtype(np.float32), is_repeated=True, in_order=True)
    plans = {
        size: plan_training(wide_network(), data, Options(batch_size=size), SGD())
        for size in (None, 1, 50, 100, 1000)
    }
    storages = {size: plan.storage for size, plan in plans.items()}
    assert storages == {None: KEPT, 1: PACKED, 50: PACKED, 100: PACKED, 1000: PACKED}
    for plan in list(plans.values())[1:]:
        assert plan.because[0] == "packed inputs: 10% of the numbers are not zero, and packing pays below 35%"


def test_packing_for_one_pass_must_pay_in_outputs():
    X = of_density(PACKED_DENSITY / 2)
    assert of_one_pass(wide_network(2 * PACKING_OUTPUTS), X).storage is DENSE
    assert of_one_pass(wide_network(2 * PACKING_OUTPUTS + 1), X).storage is PACKED
    for n_outputs in (1, PACKING_OUTPUTS):
        assert of_one_pass(wide_network(n_outputs), of_density(0)).storage is DENSE


@pytest.mark.parametrize("n_outputs", [1, 256])
@pytest.mark.parametrize("plan", [of_one_pass, of_many_passes])
@each_backend
def test_the_format_can_be_forced(n_outputs, plan, backend):
    net = wide_network(n_outputs, backend)
    packed = KEPT if plan is of_many_passes else PACKED
    for density in (0.0, 1.0):
        X = of_density(density)
        csr = check_inputs(sparse.csr_array(X), None)
        for each in (X, csr):
            assert plan(net, each, "sparse").storage is packed
            assert 'input_format is "sparse"' in plan(net, each, "sparse").because[0]
            assert plan(net, each, "dense").storage is DENSE
            assert 'input_format is "dense"' in plan(net, each, "dense").because[0]
            assert (formats(net, each, "sparse"), formats(net, each, "dense")) == (("sparse",), ("dense",))
        assert plan(net, csr, "auto").storage is packed
        assert "X is a sparse array" in plan(net, csr, "auto").because[0]
        assert formats(net, csr) == ("sparse",)


def test_the_numpy_backend_packs_when_it_is_told_to():
    plan = of_one_pass(wide_network(backend="numpy"), of_density(0.1))
    assert plan.storage is DENSE
    assert plan.because[0] == "dense inputs: the numpy backend writes packed inputs out in full"
    assert formats(wide_network(backend="numpy"), of_density(0.1)) == ("dense",)


@pytest.mark.parametrize("input_format", ["auto", "sparse"])
def test_an_activation_takes_dense_inputs(input_format):
    net = Network([Tanh(), Dense(10, 256)])
    for X in (of_density(0.1), check_inputs(sparse.csr_array(of_density(0.1)), None)):
        for plan in (of_one_pass(net, X, input_format), of_many_passes(net, X, input_format)):
            assert plan.storage is DENSE
            assert plan.because[0] == "dense inputs: the first layer, Tanh(), takes no packed inputs"
    assert formats(net, of_density(0.1)) == ("dense",)


def test_the_density_and_the_bytes_are_told():
    reasons = [of_many_passes(wide_network(), of_density(density)).because[0] for density in (0.1, 0.5)]
    assert reasons[0] == (
        "packed inputs, kept for all passes: 10% of the numbers are not zero, and packing pays below 40%"
    )
    assert reasons[1] == "dense inputs: 50% of the numbers are not zero, and packing pays below 40%"
    reason = of_one_pass(wide_network(), of_density(0.1)).because[0]
    assert reason == "packed inputs: 10% of the numbers are not zero, and packing pays below 35%"


TOO_LARGE = MNIST._replace(packed_bytes=300 * MB)
MAPPED = MNIST._replace(packed_bytes=None, is_mapped=True)


@pytest.mark.parametrize(
    ("data", "why_not"),
    [
        (MNIST, ""),
        (TOO_LARGE, "; not kept, because they take about 315 MB"),
        (MAPPED, "; not kept, because they are in a mapped file"),
    ],
)
def test_what_keeps_packed_inputs_from_being_kept_is_named(data, why_not):
    def reason(input_format, batch_size=None):
        options = Options(batch_size=batch_size, input_format=input_format)
        return plan_training(main_network(), data, options, SGD()).because[0]

    kept = "" if why_not else ", kept for all passes"
    below = "35%" if why_not else "40%"
    assert reason("auto") == (
        f"packed inputs{kept}: 19% of the numbers are not zero, and packing pays below {below}{why_not}"
    )
    assert reason("sparse") == f'packed inputs{kept}: input_format is "sparse"{why_not}'
    assert reason("dense") == 'dense inputs: input_format is "dense"'
    for batch_size in (1, 128, 100_000):
        assert reason("auto", batch_size) == (
            "packed inputs: 19% of the numbers are not zero, and packing pays below 35%"
        )
        assert reason("sparse", batch_size) == 'packed inputs: input_format is "sparse"'


def test_blocks_are_kept_when_they_fit(monkeypatch):
    X, _ = sparse_samples(2 * ROWS_OF_BLOCK + 1, 4, 3, "uint8")
    net = small_network("numba")
    used = of_many_passes(net, X).data.packed_bytes
    monkeypatch.setattr(thresholds, "KEPT_BYTES", used)
    assert of_many_passes(net, X).storage is KEPT
    monkeypatch.setattr(thresholds, "KEPT_BYTES", used - 1)
    assert of_many_passes(net, X).storage is DENSE
    assert of_many_passes(net, X, "sparse").storage is PACKED


@pytest.mark.parametrize("view", [lambda X: X, lambda X: X[1:], lambda X: X[:, ::2]])
def test_blocks_of_a_memmap_are_not_kept(tmp_path, view):
    X = view(np.memmap(tmp_path / "X", np.uint8, "w+", shape=(40, 10)))
    net = wide_network(n_inputs=X.shape[1])
    for input_format in ("auto", "sparse"):
        assert of_many_passes(net, X, input_format).storage is PACKED
    assert of_many_passes(wide_network(8, n_inputs=X.shape[1]), X).storage is DENSE


def test_dense_blocks_are_large_where_kernels_split_long_sums():
    X = of_density(1)
    for plan in (of_many_passes, of_one_pass):
        assert plan(wide_network(), X).rows_of_block == ROWS_OF_LARGE_BLOCK
        assert plan(wide_network(), X, "sparse").rows_of_block == ROWS_OF_BLOCK
        assert plan(wide_network(backend="numpy"), X).rows_of_block == ROWS_OF_BLOCK


def test_data_near_a_threshold_may_come_to_either_format():
    net = wide_network()
    assert formats(net, of_density(0.1)) == ("sparse",)
    assert formats(net, of_density(0.3)) == ("sparse", "dense")
    assert formats(net, of_density(0.5)) == ("dense",)


# Predictions


def test_few_rows_of_fused_layers_are_predicted_by_one_call():
    net = small_network("numba")
    for n_rows in (0, 1, 64):
        plan = plan_prediction(net, DataProfile(n_rows))
        assert plan == plan_few_rows(net)
        assert plan.because[0] == "one kernel for all layers: at most 64 rows"
    for data, reason in (
        (DataProfile(65), "there are more than 64 rows"),
        (DataProfile(3, is_sparse=True), "X is a sparse array"),
    ):
        plan = plan_prediction(net, data)
        assert plan.propagation is LAYERWISE
        assert plan.because[1] == f"layer by layer: {reason}"
    for layers in (
        [Dense(4, 3), Tanh()],
        [DerivedDense(4, 3)],
        [Dense(4, 3, "elu"), Dense(3, 3)],
        [Doubling(), Dense(4, 3)],
    ):
        net = Network(layers)
        obstacle = obstacles.to_one_call(net)
        assert obstacle.endswith("is not among the layers of one kernel")
        plan = plan_prediction(net, DataProfile(3))
        assert plan.propagation is LAYERWISE
        assert plan.because[1] == f"layer by layer: {obstacle}"
    assert obstacles.to_one_call(small_network()) is None


def test_zeros_of_few_rows_are_skipped_as_the_format_says():
    skip = {name: plan_few_rows(wide_network(64), name).skip_below for name in ("auto", "dense", "sparse")}
    assert skip == {"auto": pytest.approx(0.2), "dense": 0, "sparse": 2}
    assert plan_few_rows(wide_network(32)).skip_below == plan_few_rows(wide_network(1)).skip_below == 0
    assert plan_few_rows(wide_network(backend="numpy")).skip_below == 0


# Network.plan and Network.fit


BAD_ARGUMENTS = {
    "epochs": ({"epochs": 0}, ValueError),
    "batch_size": ({"batch_size": True}, ValueError),
    "l2": ({"l2": -1}, ValueError),
    "l2_bias": ({"l2_bias": np.inf}, ValueError),
    "clip_norm": ({"clip_norm": 0}, ValueError),
    "clip_value": ({"clip_value": "1"}, ValueError),
    "schedule": ({"schedule": 0.1}, TypeError),
    "callbacks must be a list of callables; got 3 in it": ({"callbacks": [3]}, TypeError),
    "callbacks must be a list of callables; got None": ({"callbacks": None}, TypeError),
    "callbacks must be a list of callables; got <fastfnn.callbacks": (
        {"callbacks": EarlyStopping(3)},
        TypeError,
    ),
    "step_callbacks must be a list of callables; got 'print' in it": ({"step_callbacks": ["print"]}, TypeError),
    "step_callbacks must be a list of callables; got <built-in": ({"step_callbacks": print}, TypeError),
    "input_format": ({"input_format": "csr"}, ValueError),
    "drop_last": ({"batch_size": 21, "drop_last": True}, ValueError),
    "shuffle must be true, false or a function; got 'no'": ({"shuffle": "no"}, ValueError),
    "l2_added_to must be one of mean, sum; got 'total'": ({"l2_added_to": "total"}, ValueError),
    "average_by must be one of weight, rows; got None": ({"average_by": None}, ValueError),
    "drop_last must be true or false; got 1": ({"drop_last": 1}, ValueError),
    "sample_weight": ({"sample_weight": [-1.0] * 20}, ValueError),
    "an unknown name": ({"batchsize": 3}, TypeError),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_a_plan_refuses_what_a_training_refuses(name):
    arguments, error = BAD_ARGUMENTS[name]
    (X, y), messages = samples(20), []
    for method in (Network.plan, Network.fit):
        net = small_network()
        before = bytes_of(net)
        with pytest.raises(error) as caught:
            method(net, X, y, SGD(), **arguments)
        assert bytes_of(net) == before
        messages.append(str(caught.value))
    if name == "an unknown name":
        assert all("unexpected keyword argument 'batchsize'" in message for message in messages)
        assert messages[0].startswith("plan() got an unexpected keyword argument 'batchsize'")
    else:
        assert messages[0] == messages[1]
        assert name in messages[0]


def test_a_plan_refuses_bad_samples_and_optimizers():
    net, (X, y) = small_network(), samples(20)
    for arguments, error in (((X[:, :3], y, SGD()), ValueError), ((X, y[:3], SGD()), ValueError)):
        with pytest.raises(error, match="must have"):
            net.plan(*arguments)
    with pytest.raises(TypeError, match=r"optimizer must be an instance such as fastfnn.SGD\(0.1\); got 'sgd'"):
        net.plan(X, y, "sgd")


@each_backend
def test_the_plan_of_a_network_is_that_of_its_data(backend):
    net, (X, y) = small_network(backend), sparse_samples(300, 4, 3, "uint8")
    before = bytes_of(net)
    weights = np.ones(300)
    for arguments in ({}, {"batch_size": 7, "input_format": "sparse"}, {"l2": 0.1, "epochs": 3}):
        for sample_weight in (None, weights):
            plan = net.plan(X, y, SGD(), sample_weight=sample_weight, **arguments)
            in_order = "batch_size" not in arguments
            data = profile_repeated(net, X, in_order, is_weighted=sample_weight is not None)
            assert plan == plan_training(net, data, Options(**arguments), SGD())
    assert bytes_of(net) == before


@each_backend
@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_plan_takes_the_arguments_of_a_training(caplog, backend, batch_size):
    net, (X, y) = small_network(backend), samples(20)
    named = {
        "shuffle": False,
        "drop_last": True,
        "sample_weight": np.full(20, 0.5),
        "validation_data": (X[:5], y[:5]),
        "l2": 0.1,
        "l2_bias": 0.2,
        "l2_added_to": "sum",
        "average_by": "rows",
        "clip_value": 5.0,
        "clip_norm": 10.0,
        "schedule": schedules.step_decay(0.1, 3, 0.5),
        "callbacks": [print],
        "step_callbacks": [reading_gradients],
        "history": History(),
        "input_format": "sparse",
        "communicator": alone(1),
    }
    parameters = inspect.signature(Network.fit).parameters.values()
    assert named.keys() == {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    arguments = (X, y, SGD(0.1), 3, batch_size)
    plan = net.plan(*arguments, **named)
    assert plan == net.plan(X, y, SGD(0.1), epochs=3, batch_size=batch_size, **named)
    assert plan.data.is_weighted
    assert plan.because[0].endswith('input_format is "sparse"')
    assert plan.n_blocks == 1
    with caplog.at_level(logging.INFO, "fastfnn"):
        assert len(net.fit(*arguments, **named | {"callbacks": []})) == 3
    assert [record.getMessage() for record in caplog.records] == [plan.summary, *plan.because]


def test_a_plan_does_not_look_at_what_it_does_not_depend_on():
    net, (X, y) = small_network(), samples(20)
    history = History()
    plan = net.plan(X, y, SGD(0.1), validation_data="none", history=history)
    assert plan == net.plan(X, y, SGD(0.1), history=object()) == net.plan(X, y, SGD(0.1))
    assert len(history) == 0


@pytest.mark.parametrize("name", ["batchsize", "penalty", "clipping"])
def test_a_plan_names_an_argument_that_it_does_not_know(name):
    net, (X, y) = small_network(), samples(20)
    message = f"plan() got an unexpected keyword argument {name!r}: its arguments are those of fit"
    with pytest.raises(TypeError) as caught:
        net.plan(X, y, SGD(0.1), **{name: 0.1})
    assert str(caught.value) == message


@each_backend
@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_training_logs_its_plan(caplog, backend, batch_size):
    net, (X, y) = small_network(backend), samples(20)
    plan = net.plan(X, y, SGD(), batch_size=batch_size)
    with caplog.at_level(logging.INFO, "fastfnn"):
        net.fit(X, y, SGD(), batch_size=batch_size)
    records = [(record.name, record.levelno, record.getMessage()) for record in caplog.records]
    expected = [("fastfnn", logging.INFO, sentence) for sentence in (plan.summary, *plan.because)]
    assert [record for record in records if record[0] == "fastfnn"] == expected
    caplog.clear()
    with caplog.at_level(logging.WARNING, "fastfnn"):
        net.fit(X, y, SGD(), batch_size=batch_size)
    assert [record for record in caplog.records if record.name == "fastfnn"] == []
