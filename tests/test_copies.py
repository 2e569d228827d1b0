"""Pickles and copies: they go on as their originals would, and apart from them."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import joblib
import numpy as np
import pytest
from networks import bytes_of, each_backend, each_dtype, samples

import fastfnn
from fastfnn import SGD, Adam, AdamW, Dense, Dropout, History, Layer, Network, RMSprop, initializers, layers, losses
from fastfnn import schedules as schedules_module
from fastfnn.callbacks import CsvLogger, EarlyStopping, TensorBoardLogger
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.initializers import glorot, he, normal, zeros
from fastfnn.parameters import CONTIGUOUS_BYTES, FlatArrays
from fastfnn.schedules import cosine_decay, exponential_decay, on_plateau, step_decay, warm_up


def pickled(original):
    return pickle.loads(pickle.dumps(original))


def through_joblib(original, folder="."):
    return joblib.load(joblib.dump(original, f"{folder}/copy.joblib")[0])


each_way = pytest.mark.parametrize("copied", [pickled, copy.deepcopy])


def network(backend="numpy", dtype="float64", n_hidden=6):
    layers = [Dense(4, n_hidden, "tanh", initializer=normal(0.5)), Dropout(0.25), Dense(n_hidden, 3)]
    return Network(layers, backend, dtype, seed=3)


def large_network(backend="numpy"):
    """Return a network whose parameters have gaps between them."""
    net = network(backend, n_hidden=CONTIGUOUS_BYTES // (8 * 4) + 1)
    assert not net.parameter_arrays.layout.is_contiguous
    return net


def train(net, optimizer=None, epochs=2):
    X, y = samples(30, dtype=net.dtype.name)
    return net.fit(X, y, optimizer or SGD(0.1, momentum=0.5), epochs=epochs, batch_size=8)["loss"]


def trained(net):
    """Train a network, in a process of a pool."""
    train(net)
    return bytes_of(net), net


def assert_one_vector_of_its_own(copied, original):
    flat = copied.parameter_arrays
    assert isinstance(flat, FlatArrays)
    assert flat.layout == original.parameter_arrays.layout
    assert not np.shares_memory(flat.vector, original.parameter_arrays.vector)
    for array, view in zip(copied.parameters.values(), flat, strict=True):
        assert array is view
        assert np.shares_memory(array, flat.vector)


def assert_goes_on_apart(copied, original):
    """Train the copy, see that the original stays, and train the original to the same bits."""
    before = bytes_of(original)
    assert bytes_of(copied) == before
    losses_of_copy = train(copied)
    assert bytes_of(original) == before != bytes_of(copied)
    assert train(original) == losses_of_copy
    assert bytes_of(original) == bytes_of(copied)


@each_backend
@each_dtype
@each_way
@pytest.mark.parametrize("is_trained", [True, False])
def test_a_network_and_its_copy_go_on_alike_and_apart(backend, dtype, copied, is_trained):
    original = network(backend, dtype)
    X, _ = samples(70, dtype=dtype)
    if is_trained:
        train(original)
        original.predict(X[:3])
    other = copied(original)
    assert type(other) is Network
    assert repr(other) == repr(original)
    assert (other.backend, other.dtype, other.widths) == (backend, dtype, original.widths)
    assert other.kernels is original.kernels
    assert_one_vector_of_its_own(other, original)
    for rows in (X, X[:3]):
        assert other.predict_proba(rows).tobytes() == original.predict_proba(rows).tobytes()
    assert_goes_on_apart(other, original)
    assert_one_vector_of_its_own(other, original)
    for rows in (X, X[:3]):
        assert other.predict_proba(rows).tobytes() == original.predict_proba(rows).tobytes()


@each_backend
@each_way
def test_parameters_with_gaps_are_copied(backend, copied):
    original = large_network(backend)
    other = copied(original)
    assert_one_vector_of_its_own(other, original)
    assert_goes_on_apart(other, original)


@each_backend
def test_a_shallow_copy_shares_layers_and_parameters(backend):
    original = network(backend)
    before, flat = bytes_of(original), original.parameter_arrays
    other = copy.copy(original)
    assert type(other) is Network
    assert original.parameter_arrays is flat is other.parameter_arrays
    assert all(a is b for a, b in zip(other.layers, original.layers, strict=True))
    train(other)
    assert bytes_of(original) == bytes_of(other) != before
    assert all(np.shares_memory(array, flat.vector) for array in original.parameters.values())


@each_backend
def test_joblib_takes_networks(backend, tmp_path):
    for original in (network(backend), large_network(backend)):
        train(original)
        other = through_joblib(original, tmp_path)
        assert_one_vector_of_its_own(other, original)
        assert_goes_on_apart(other, original)


def test_networks_are_trained_in_a_pool_of_processes():
    nets = [network("numpy"), network("numba")]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(trained, nets))
    for net, (bits, returned) in zip(nets, results, strict=True):
        assert bytes_of(net) != bits
        train(net)
        assert bytes_of(net) == bytes_of(returned) == bits
        assert_one_vector_of_its_own(returned, net)
        assert_goes_on_apart(returned, net)


@each_backend
@each_dtype
@pytest.mark.parametrize("is_trained", [True, False])
def test_a_pickle_holds_the_parameters_once_and_the_backend_by_name(backend, dtype, is_trained):
    net = network(backend, dtype, n_hidden=5000)
    n_bytes = sum(array.nbytes for array in net.parameters.values())
    if is_trained:
        train(net)  # now the layers hold their last gradient too, which is left out
        net.predict(samples(3)[0])
    content = pickle.dumps(net)
    assert n_bytes < len(content) < n_bytes + 10_000
    assert b"fastfnn_kernels" not in content
    assert backend.encode() in content
    state = net.__getstate__()
    assert not state.keys() & {"kernels", "parameter_arrays", "_predictor"}
    assert [layer.__getstate__()["_kernels"] for layer in net.layers] == [backend] * 3


@each_backend
@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_copies_leave_the_gradient_out(backend, copied):
    for stack in ([Dense(4, 5, "relu"), Dense(5, 3)], [Scale(), Dense(4, 3)]):
        net = Network(stack, backend, "float64", seed=1)
        train(net)
        for other in (
            copied(net).layers,
            [copied(layer) for layer in stack],
            [copy.copy(layer) for layer in stack],
        ):
            assert all(layer.gradient.weights is layer.gradient.bias is None for layer in other)
        for layer in stack:
            for name, array in layer.parameters.items():
                assert getattr(layer.gradient, name).shape == array.shape


class Scale(Layer):
    """A layer of a user's own, with parameters."""

    def draw_parameters(self, dtype, rng):
        self.weights = np.ones(4, dtype)

    @property
    def parameters(self):
        return {"weights": self.weights}

    def n_outputs_for(self, n_inputs):
        return n_inputs

    def forward(self, x, out=None):
        return np.multiply(x, self.weights, out=out)

    def backward(self, x, y, grad_y):
        self.gradient = fastfnn.Gradient(weights=(x * grad_y).sum(axis=0))
        return grad_y * self.weights

    def config(self):
        return {}


@each_backend
@each_way
def test_networks_with_layers_of_a_users_own(backend, copied):
    original = Network([Scale(), Dense(4, 5, "relu"), Dense(5, 3)], backend, "float64", seed=1)
    train(original)
    other = copied(original)
    assert other.parameter_arrays is not original.parameter_arrays
    assert all(a is b for a, b in zip(other.parameter_arrays, other.parameters.values(), strict=True))
    assert not any(
        np.shares_memory(a, b) for a, b in zip(other.parameter_arrays, original.parameter_arrays, strict=True)
    )
    assert_goes_on_apart(other, original)


LAYERS = [
    lambda: Dense(3, 4, "elu", use_bias=False, initializer=normal(0.1), learning_rate_factor=0.5),
    lambda: Dense(3, 4),
    lambda: Dropout(0.125),
    *[
        getattr(layers, name)
        for name in layers.__all__
        if name not in ("Activation", "Dense", "Dropout", "Gradient", "Layer")
    ],
]


@each_way
@pytest.mark.parametrize("make", LAYERS, ids=lambda make: make().__repr__())
def test_layers(copied, make):
    layer, x = make(), np.random.default_rng(1).standard_normal((5, 3))
    other = copied(layer)
    assert (type(other), other.config()) == (type(layer), layer.config())
    for backend in ("numpy", "numba"):
        free, twin = copied(layer), make()
        nets = [
            Network([Dense(3, 3), each, Dense(4 if each.n_outputs_for(3) == 4 else 3, 2)], backend, "float64", 5)
            for each in (free, twin)
        ]
        assert bytes_of(nets[0]) == bytes_of(nets[1])
        inside = copied(free)
        assert inside.kernels is free.kernels
        assert inside.forward(x).tobytes() == free.forward(x).tobytes()
        for name, array in inside.parameters.items():
            assert not np.shares_memory(array, free.parameters[name])
        with pytest.raises(ValueError, match="belongs to a network already"):
            Network([inside, Dense(inside.n_outputs_for(3), 2)])


def test_every_layer_is_among_them():
    kinds = {type(make()) for make in LAYERS}
    assert kinds == {value for name in layers.__all__ if isinstance(value := getattr(layers, name), type)} - {
        layers.Activation, layers.Gradient, Layer,
    }  # fmt: skip


LOSSES = [
    losses.SoftmaxCrossEntropy(0.1, [1.0, 2.0, 0.5]),
    losses.SoftmaxCrossEntropy(),
    losses.BinaryCrossEntropy(),
    losses.MeanSquaredError(),
    losses.Huber(0.5),
    losses.Poisson(),
]


@each_way
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses(copied, loss):
    other = copied(loss)
    assert type(other) is type(loss)
    assert repr(other) == repr(loss)
    X, y = samples(9)
    y = y if loss.counts_correct and isinstance(loss, losses.SoftmaxCrossEntropy) else np.abs(np.sign(X[:, :3]))
    nets = [Network([Dense(4, 3)], "numpy", "float64", 1, loss=each) for each in (loss, other, copied(other))]
    assert len({net.evaluate(X, y)[0] for net in nets}) == 1
    for net in nets:
        net.fit(X, y, SGD(0.1), epochs=2)
    assert bytes_of(nets[0]) == bytes_of(nets[1]) == bytes_of(nets[2]) == bytes_of(copied(nets[0]))


def test_every_loss_is_among_them():
    assert {type(loss) for loss in LOSSES} == set(losses.LOSSES.values())


OPTIMIZERS = [
    lambda: SGD(0.1),
    lambda: SGD(0.1, momentum=0.9, nesterov=True),
    lambda: RMSprop(0.01),
    lambda: RMSprop(0.1, granularity="tensor", initial=1.0, reset_every=3),
    lambda: SGD(0.1, momentum=0.9, velocity="steps"),
    lambda: Adam(0.1),
    lambda: Adam(0.1, epsilon=0.1, epsilon_hat=True),
    lambda: AdamW(0.1),
    lambda: AdamW(0.1, epsilon=0.1, epsilon_hat=True),
]


def assert_states_alike(one, other):
    assert one.n_steps == other.n_steps
    assert one.state.keys() == other.state.keys()
    for name, values in one.state.items():
        for value, wanted in zip(values, other.state[name], strict=True):
            assert np.array_equal(value, wanted)
            assert not np.shares_memory(value, wanted)


@each_backend
@each_way
@pytest.mark.parametrize("n_epochs", [0, 2])
@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("build", [network, large_network])
def test_optimizers(backend, copied, n_epochs, make, build):
    net, optimizer = build(backend), make()
    if n_epochs:
        train(net, optimizer, n_epochs)
    other_net, other = copied(net), copied(optimizer)
    assert other.__dict__.keys() == optimizer.__dict__.keys()
    assert_states_alike(optimizer, other)
    before = {name: [np.copy(value) for value in values] for name, values in optimizer.state.items()}
    figures = train(other_net, other)
    for name, values in optimizer.state.items():
        assert all(np.array_equal(value, wanted) for value, wanted in zip(values, before[name], strict=True))
    assert train(net, optimizer) == figures
    assert bytes_of(net) == bytes_of(other_net)
    assert_states_alike(optimizer, other)


@each_way
def test_a_network_and_its_optimizer_may_be_copied_together(copied):
    net, optimizer = network(n_hidden=1000), Adam(0.1)
    train(net, optimizer)
    n_bytes = sum(array.nbytes for array in net.parameters.values())
    assert len(pickle.dumps(optimizer)) < 2 * n_bytes + 5_000  # its state, and not the network's parameters
    other_net, other = copied((net, optimizer))
    assert train(other_net, other) == train(net, optimizer)
    assert bytes_of(net) == bytes_of(other_net)


SCHEDULES = [
    step_decay(0.1, 3, 0.5),
    exponential_decay(0.1, 0.9),
    cosine_decay(0.1, 8, 0.01),
    on_plateau(0.1, 0.5, 2, "loss"),
    warm_up(3, cosine_decay(0.1, 8)),
    warm_up(2, on_plateau(0.1, monitor="loss")),
]


@each_way
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules(copied, schedule):
    history = History()
    other = copied(schedule)
    for epoch in range(1, 15):
        assert other(epoch, history) == schedule(epoch, history)
        history.records.append({"epoch": epoch, "loss": max(5 / epoch, 1)})


def test_every_schedule_is_among_them():
    public = {
        name for name in vars(schedules_module) if name[0] != "_" and name.endswith(("decay", "plateau", "_up"))
    }
    assert public == {"step_decay", "exponential_decay", "cosine_decay", "on_plateau", "warm_up"}


@each_way
@pytest.mark.parametrize("initializer", [normal(0.25), he, glorot, zeros])
def test_initializers(copied, initializer):
    drawn = [each(np.random.default_rng(1), 3, 4) for each in (initializer, copied(initializer))]
    assert np.array_equal(*drawn)
    assert {"normal", "he", "glorot", "zeros"} <= vars(initializers).keys()


@each_way
def test_early_stopping(copied):
    X, y = samples(30)

    def run(callback, epochs, net):
        net.fit(X, y, SGD(3.0), epochs=epochs, validation_data=(X[:9], y[:9]), callbacks=[callback])

    callback, net = EarlyStopping(patience=50), network()
    run(callback, 3, net)
    other, other_net = copied(callback), copied(net)
    assert (other.best, other.best_epoch) == (callback.best, callback.best_epoch)
    best = callback.best
    other._best.value = -1.0
    for array in other._best_parameters.values():
        array[...] = 0
    assert callback.best == best
    assert all(array.any() for array in callback._best_parameters.values())
    other = copied(callback)
    for each, its in ((callback, net), (other, other_net)):
        run(each, 6, its)
    assert (other.best, other.best_epoch) == (callback.best, callback.best_epoch)
    assert bytes_of(net) == bytes_of(other_net)


@each_way
def test_csv_logger(copied, tmp_path):
    X, y = samples(30)
    callback = CsvLogger(tmp_path / "log.csv")
    network().fit(X, y, SGD(0.1), epochs=2, callbacks=[callback])
    other = copied(callback)
    for number, each in enumerate((callback, other), 3):
        each(fastfnn.Epoch(number, 9, {"epoch": number, "loss": 0.5}, None, None, History(), None))
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3", "4"]


@each_way
def test_checkpoint(copied, tmp_path):
    X, y = samples(30)
    callback, net, optimizer = copied(Checkpoint(tmp_path / "checkpoint", every=2)), network(), Adam(0.1)
    net.fit(X, y, optimizer, epochs=2, callbacks=[callback])
    resumed = network()
    assert len(load_checkpoint(tmp_path / "checkpoint", resumed, Adam(0.1))) == 2
    assert bytes_of(resumed) == bytes_of(net)


@each_way
def test_tensorboard_logger(copied, tmp_path):
    X, y = samples(30)
    callback = TensorBoardLogger(tmp_path)
    network().fit(X, y, SGD(0.1), epochs=2, callbacks=[callback])
    other = copied(callback)
    network().fit(X, y, SGD(0.1), epochs=2, callbacks=[other])
    files = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert len(files) == 2  # each writes a file of its own
    assert files[0] == files[1] > 100


@each_way
def test_history(copied):
    X, y = samples(30)
    history = network().fit(X, y, SGD(0.1), epochs=3)
    other = copied(history)
    assert (other.records, other.interrupted, repr(other)) == (history.records, False, repr(history))
    other.records[0]["loss"] = 0.0
    other.records.pop()
    assert len(history) == 3
    assert history["loss"][0] > 0
