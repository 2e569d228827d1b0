"""Training by shares in one process, `alone`: what is computed, and what is refused."""

import signal

import numpy as np
import pytest
from mpi_trainings import CASE_OPTIMIZERS, N_CLASSES, inputs, network

from fastfnn import SGD, Adam, Dense, Network, TrainingWarning
from fastfnn.callbacks import CsvLogger, TensorBoardLogger
from fastfnn.checkpoints import Checkpoint
from fastfnn.distributed import alone
from fastfnn.execution.plan import Steps
from fastfnn.training.events import StopTraining

BACKENDS = ["numba", "numpy"]


def digests(net):
    return {name: array.tobytes() for name, array in net.parameters.items()}


@pytest.mark.parametrize("form", ["dense", "packed"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_one_share_of_a_full_batch_has_the_bits_of_a_training_without(backend, form, optimizer):
    X, y = inputs(form)
    make, options = CASE_OPTIMIZERS[optimizer]
    trained = []
    for group in (None, alone(1)):
        net = network(backend, "float32")
        history = net.fit(X, y, make(), 3, validation_data=(X, y), communicator=group, **options)
        trained.append((digests(net), history["loss"], history["validation_loss"]))
    assert trained[0] == trained[1]


@pytest.mark.parametrize("hidden", [(96, 48), (12,)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_shares_add_up(backend, hidden):
    X, y = inputs("dense")
    net = network(backend, "float64", hidden)
    X_before, y_before = X.copy(), y.copy()
    loss, gradients = net.loss_and_gradients(X, y, 0.1)
    loss_of_shares, of_shares = net.loss_and_gradients(X, y, 0.1, communicator=alone())
    assert loss_of_shares == pytest.approx(loss, rel=1e-13)
    for expected, found in zip(gradients, of_shares, strict=True):
        if expected.weights is not None:
            np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-11, atol=1e-14)
            np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)


def test_evaluation_of_shares_is_that_of_all_rows():
    X, y = inputs("dense")
    net = network("numpy", "float64")
    loss, accuracy = net.evaluate(X, y)
    assert net.evaluate(X, y, communicator=alone()) == (pytest.approx(loss, rel=1e-13), accuracy)
    net.layers[0].weights[0, 0] = np.nan
    assert np.isnan(net.evaluate(X, y, communicator=alone())).all()


@pytest.mark.parametrize("batch_size", [1, 5, 16, 100, 501, 600])
def test_an_epoch_of_mini_batches_takes_every_row_once(batch_size):
    seen = []

    class Watched(Dense):
        def training_forward(self, x, *args):
            seen.append(x[:, 0].copy())
            return super().training_forward(x, *args)

    X, y = inputs("dense")
    X[:, 0] = np.arange(len(X))
    net = Network([Watched(X.shape[1], N_CLASSES)], "numpy", seed=0)
    history = net.fit(X, y, SGD(1e-9), 1, batch_size, communicator=alone())
    rows = np.concatenate(seen).astype(int)
    assert sorted(rows.tolist()) == list(range(len(X)))
    assert len(history) == 1
    shares = [rows[(rows >= first) & (rows < first + 31)] - first for first in (0, 31, 62)]  # 501 rows in 16 shares
    assert len({tuple(share) for share in shares}) == 3


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_training_that_was_stopped_goes_on(shuffle):
    X, y = inputs("dense")

    def stop(step):
        if step.number == 5:
            raise StopTraining

    unbroken, broken = network("numpy", "float32"), network("numpy", "float32")
    options = {"batch_size": 60, "shuffle": shuffle, "drop_last": True, "communicator": alone(4)}
    unbroken.fit(X, y, Adam(), 2, **options)
    optimizer = Adam()
    history = broken.fit(X, y, optimizer, 2, step_callbacks=[stop], **options)
    assert history.unfinished.n_samples == 300
    broken.fit(X, y, optimizer, 2, history=history, **options)
    assert digests(broken) == digests(unbroken)


def test_weights_count_as_in_one_batch():
    X, y = inputs("dense")
    weights = np.random.default_rng(3).random(len(y))
    losses = []
    for group in (None, alone(8)):
        net = network("numpy", "float64", (12,))
        history = net.fit(X, y, SGD(0.1), 2, sample_weight=weights, communicator=group)
        losses.append(history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_dropout_depends_on_the_place_in_the_whole_batch():
    X, y = inputs("dense")
    losses = []
    for shares in (1, 16):
        net = network("numpy", "float64")
        losses.append(net.fit(X, y, SGD(0.1), 3, communicator=alone(shares))["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_a_batch_has_the_mean_loss_of_its_rows_of_all_shares():
    X, y = inputs("dense")
    n_rows, n_shares, batch_size = 64, 4, 12
    X, y, weights = X[:n_rows], y[:n_rows], np.random.default_rng(3).random(n_rows)
    dealt = np.arange(n_rows).reshape(n_shares, -1).T.ravel()  # a row of each share in turn
    net = network("numpy", "float64", (12,))
    losses = -np.log(net.predict_proba(X)[np.arange(n_rows), y])
    expected = [
        np.average(losses[rows], weights=weights[rows])
        for rows in np.split(dealt, range(batch_size, n_rows, batch_size))
    ]
    seen = []
    options = {"shuffle": False, "sample_weight": weights, "step_callbacks": [lambda step: seen.append(step.loss)]}
    net.fit(X, y, SGD(1e-14), 1, batch_size, communicator=alone(n_shares), **options)
    np.testing.assert_allclose(seen, expected, rtol=1e-10)


def test_mini_batches_are_those_of_the_same_order_without_shares():
    """A row's place in its batch, on which dropout depends, follows the order of shares."""
    X, y = inputs("dense")
    n_rows, n_shares, batch_size = 80, 4, 20
    dealt = np.arange(n_rows).reshape(n_shares, -1).T.ravel()
    order = np.concatenate([np.sort(dealt[first : first + batch_size]) for first in range(0, n_rows, batch_size)])
    losses = []
    for options in ({"shuffle": False, "communicator": alone(n_shares)}, {"shuffle": lambda n: order}):
        net = network("numpy", "float64")
        losses.append(net.fit(X[:n_rows], y[:n_rows], SGD(0.1), 3, batch_size, **options)["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("hidden", [(96, 48), (12,)])
def test_fewer_rows_than_shares(backend, hidden):
    X, y = inputs("dense")
    trained = []
    for group in (None, alone(16)):
        net = network(backend, "float64", hidden)
        history = net.fit(X[:5], y[:5], SGD(0.1), 3, validation_data=(X[:3], y[:3]), communicator=group)
        trained.append([history["loss"], history["validation_loss"]])
    np.testing.assert_allclose(*trained, rtol=1e-12)
    assert len(net.fit(X[:5], y[:5], SGD(0.1), 2, 3, communicator=alone(16))) == 2


def test_the_plan_says_what_shares_cost():
    X, y = inputs("dense")
    net = network("numpy", "float32")
    plan = net.plan(X, y, Adam(), batch_size=50, communicator=alone(4))
    assert plan.steps is Steps.ONE_BY_ONE
    n_bytes = sum(array.nbytes for array in net.parameters.values())
    assert plan.because[-1] == f"gradients of 4 shares are added in a fixed order: {n_bytes:,} bytes each"
    assert "one call a step: the gradients of shares are added in every step" in plan.because


@pytest.mark.parametrize("shares", [0, 3, 12, 1.5])
def test_shares_are_a_power_of_two(shares):
    with pytest.raises((ValueError, TypeError), match="shares"):
        alone(shares)


@pytest.mark.parametrize("method", ["fit", "evaluate", "loss_and_gradients", "plan"])
def test_what_is_no_communicator_is_refused(method):
    X, y = inputs("dense")
    net = network("numpy", "float32")
    arguments = {"optimizer": Adam()} if method in ("fit", "plan") else {}
    with pytest.raises(TypeError, match=r"communicator must be made by fastfnn\.distributed"):
        getattr(net, method)(X, y, communicator="mpi", **arguments)


def test_an_order_of_ones_own_is_refused():
    X, y = inputs("dense")
    net = network("numpy", "float32")
    before = digests(net)
    with pytest.raises(ValueError, match="shuffle must be true or false with a communicator"):
        net.fit(X, y, Adam(), 1, 50, shuffle=np.arange, communicator=alone())
    assert digests(net) == before


def test_errors_keep_their_type():
    X, y = inputs("dense")
    net = network("numpy", "float32")
    with pytest.raises(ValueError, match="epochs must be"):
        net.fit(X, y, Adam(), 0, communicator=alone())

    def fail(epoch):
        raise ZeroDivisionError("of a callback")

    with pytest.raises(ZeroDivisionError, match="of a callback"):
        net.fit(X, y, Adam(), 1, communicator=alone(), callbacks=[fail])


def test_ctrl_c_is_seen_after_a_step():
    X, y = inputs("dense")
    net = network("numpy", "float32")

    def press(step):
        if step.number == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(TrainingWarning, match="training was interrupted"):
        history = net.fit(X, y, Adam(), 3, 50, communicator=alone(), step_callbacks=[press])
    assert history.unfinished.n_samples == 100


def test_files_are_written_on_the_first_process(tmp_path):
    X, y = inputs("dense")
    for rank in (0, 1):
        log, checkpoint = tmp_path / f"{rank}.csv", tmp_path / f"{rank}.safetensors"
        callbacks = [CsvLogger(log), TensorBoardLogger(tmp_path / str(rank)), Checkpoint(checkpoint)]
        group = alone()
        group.rank = rank
        network("numpy", "float32").fit(X, y, Adam(), 2, communicator=group, callbacks=callbacks)
    assert (tmp_path / "0.csv").read_text().count("\n") == 3
    assert (tmp_path / "1.csv").read_text() == ""
    assert (tmp_path / "0.safetensors").exists()
    assert not (tmp_path / "1.safetensors").exists()
    sizes = [sum(file.stat().st_size for file in (tmp_path / rank).iterdir()) for rank in "01"]
    assert sizes[1] < sizes[0]
