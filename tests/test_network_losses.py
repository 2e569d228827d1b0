"""Networks with each loss, and the weights of samples and classes."""

import re

import numpy as np
import pandas
import pytest
from networks import assert_close, bytes_of, each_backend, each_dtype, numeric_gradient, samples

import fastfnn
from fastfnn import SGD, Adam, Dense, Network
from fastfnn.losses import BinaryCrossEntropy, Huber, MeanSquaredError, Poisson, SoftmaxCrossEntropy

RNG_SEED = 4
CLASSES = np.arange(12) % 3


def targets_of(loss, shape):
    """Draw targets that fit a loss."""
    rng = np.random.default_rng(RNG_SEED)
    if isinstance(loss, SoftmaxCrossEntropy):
        return rng.integers(0, shape[1], shape[0])
    if isinstance(loss, BinaryCrossEntropy):
        return rng.integers(0, 2, shape)
    return rng.integers(0, 5, shape) if isinstance(loss, Poisson) else rng.standard_normal(shape)


# The loss of a sample, by its outputs and its target.
def softmax(z, y, smoothing=0.0):
    q = np.full(len(z), smoothing / len(z))
    q[y] += 1 - smoothing
    return np.log(np.exp(z).sum()) - q @ z


def huber(difference, delta):
    size = np.abs(difference)
    return np.where(size < delta, difference**2 / 2, delta * (size - delta / 2)).mean()


LOSSES = {
    "softmax_cross_entropy": (SoftmaxCrossEntropy(), softmax),
    "smoothed": (SoftmaxCrossEntropy(label_smoothing=0.2), lambda z, y: softmax(z, y, 0.2)),
    "mean_squared_error": (MeanSquaredError(), lambda z, y: ((z - y) ** 2).mean()),
    "huber": (Huber(delta=0.5), lambda z, y: huber(z - y, 0.5)),
    "binary_cross_entropy": (BinaryCrossEntropy(), lambda z, y: (np.log(1 + np.exp(z)) - y * z).mean()),
    "poisson": (Poisson(), lambda z, y: (np.exp(z) - y * z).mean()),
}
each_loss = pytest.mark.parametrize("name", LOSSES)
WITHOUT_CLASSES = [name for name in LOSSES if name not in ("softmax_cross_entropy", "smoothed")]


def network(loss, backend, dtype="float64", n_outputs=3):
    return Network([Dense(4, 5, "tanh"), Dense(5, n_outputs)], backend, dtype, seed=2, loss=loss)


def outputs_of(net, X):
    y = X
    for layer in net.layers:
        y = layer.forward(y)
    return y


@each_loss
@each_backend
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluation_is_the_weighted_mean(name, backend, weighted):
    loss, formula = LOSSES[name]
    net, (X, _) = network(loss, backend), samples(12)
    y = targets_of(loss, (12, 3))
    weights = np.arange(12.0) if weighted else np.ones(12)
    each = [formula(z, target) for z, target in zip(outputs_of(net, X), y, strict=True)]
    history = net.fit(X, y, SGD(1e-30), sample_weight=weights if weighted else None)
    assert history["loss"] == pytest.approx([np.average(each, weights=weights)], rel=1e-12)
    assert net.evaluate(X, y)[0] == pytest.approx(np.mean(each), rel=1e-12)


@each_loss
@each_backend
@pytest.mark.parametrize("n_rows", [12, 10_000])
def test_gradients_are_those_of_the_loss(name, backend, n_rows):
    loss, _ = LOSSES[name]
    net, (X, _) = network(loss, backend), samples(n_rows)
    y = targets_of(loss, (n_rows, 3))
    _, gradients = net.loss_and_gradients(X, y, l2=0.1)
    for index, layer in enumerate(net.layers):
        expected = numeric_gradient(lambda: net.loss_and_gradients(X, y, l2=0.1)[0], layer.bias)
        assert_close(gradients[index].bias, expected, 1e-7)


@each_backend
@each_dtype
@each_loss
def test_training_makes_every_loss_smaller(name, backend, dtype):
    loss, _ = LOSSES[name]
    net, (X, _) = network(loss, backend, dtype), samples(12, dtype=dtype)
    history = net.fit(X, targets_of(loss, (12, 3)), Adam(0.03), epochs=60)
    assert history["loss"][-1] < 0.8 * history["loss"][0]


@each_backend
@pytest.mark.parametrize("name", WITHOUT_CLASSES)
def test_both_shapes_of_a_single_output(name, backend):
    loss, _ = LOSSES[name]
    X, _ = samples(70)
    y = targets_of(loss, (70, 1))
    nets = [network(loss, backend, n_outputs=1) for _ in range(2)]
    for net, shaped in zip(nets, (y, y[:, 0]), strict=True):
        net.fit(X, shaped, SGD(0.1), epochs=3, batch_size=16)
        assert net.predict(X).shape == shaped.shape
        assert net.predict(X[:3]).tolist() == net.predict(X)[:3].tolist()
        assert net.predict(X[:0]).shape == shaped[:0].shape
    assert np.array_equal(nets[0].predict(X)[:, 0], nets[1].predict(X))
    assert bytes_of(nets[0]) == bytes_of(nets[1])


@each_backend
def test_predictions(backend):
    X, _ = samples(9)
    for loss, meaning in [
        ("mean_squared_error", lambda z: z),
        ("huber", lambda z: z),
        ("poisson", np.exp),
        ("binary_cross_entropy", lambda z: 1 * (z > 0)),
    ]:
        net = network(loss, backend)
        assert net.predict(X) == pytest.approx(meaning(outputs_of(net, X)), rel=1e-12)


@each_backend
def test_predictions_are_the_users_own(backend):
    layers = [Dense(4, 3), fastfnn.Identity()]
    net, (X, _) = Network(layers, backend, "float64", seed=2, loss="mean_squared_error"), samples(9)
    first = net.predict(X)
    kept = first.copy()
    net.predict(X + 1)
    assert np.array_equal(first, kept)


@each_backend
def test_probabilities_are_the_sigmoid_and_numbers_have_none(backend):
    X, _ = samples(9)
    net = network("binary_cross_entropy", backend)
    assert net.predict_proba(X) == pytest.approx(1 / (1 + np.exp(-outputs_of(net, X))), rel=1e-12)
    with pytest.raises(ValueError, match=r"Huber\(delta=1.0\) is no loss of probabilities: call predict"):
        network("huber", backend).predict_proba(X)


@each_backend
def test_a_sample_with_several_labels_is_right_if_all_of_them_are(backend):
    net, (X, _) = network("binary_cross_entropy", backend), samples(9)
    y = net.predict(X)
    assert net.evaluate(X, y)[1] == 1
    y[0, 1], y[5] = 1 - y[0, 1], 1 - y[5]
    assert net.evaluate(X, y)[1] == 7 / 9
    assert net.fit(X, y, SGD(1e-30), validation_data=(X, y))["validation_accuracy"] == [7 / 9]


@each_backend
def test_numbers_have_no_accuracy(backend):
    net, (X, _) = network("mean_squared_error", backend), samples(9)
    y = np.zeros((9, 3))
    history = net.fit(X, y, SGD(0.1), validation_data=(X, y))
    assert list(history.records[0]) == ["epoch", "loss", "seconds", "validation_loss"]
    assert np.isnan(net.evaluate(X, y)[1])


@each_backend
@pytest.mark.parametrize("batch_size", [None, 5, 1])
def test_weights_of_classes_are_those_of_their_samples(backend, batch_size):
    X, _ = samples(12)
    by_class = network(SoftmaxCrossEntropy(class_weight=[0.5, 2.0, 0.0]), backend)
    by_sample = network("softmax_cross_entropy", backend)
    weights = np.array([0.5, 2.0, 0.0])[CLASSES]
    histories = [
        by_class.fit(X, CLASSES, SGD(0.3), epochs=3, batch_size=batch_size),
        by_sample.fit(X, CLASSES, SGD(0.3), epochs=3, batch_size=batch_size, sample_weight=weights),
    ]
    assert histories[0]["loss"] == histories[1]["loss"]
    assert bytes_of(by_class) == bytes_of(by_sample)
    plain = network("softmax_cross_entropy", backend)
    plain.fit(X, CLASSES, SGD(0.3), epochs=3, batch_size=batch_size)
    assert bytes_of(plain) != bytes_of(by_class)


@each_backend
def test_whole_weights_count_like_so_many_samples(backend):
    X, _ = samples(12)
    times = np.array([1, 2, 0, 3] * 3)
    weighted, repeated = network("softmax_cross_entropy", backend), network("softmax_cross_entropy", backend)
    weighted.fit(X, CLASSES, SGD(0.3), epochs=5, sample_weight=times)
    repeated.fit(np.repeat(X, times, axis=0), np.repeat(CLASSES, times), SGD(0.3), epochs=5)
    for name, array in weighted.parameters.items():
        assert array == pytest.approx(repeated.parameters[name], rel=1e-10)


@each_backend
def test_a_batch_of_no_weight_changes_nothing(backend):
    net, (X, _) = network("huber", backend), samples(4)
    weights = np.array([0, 0, 1, 1])
    before = bytes_of(net)
    seen = []
    options = {"batch_size": 2, "shuffle": False, "sample_weight": weights}
    net.fit(X, np.zeros((4, 3)), SGD(0.3), step_callbacks=[lambda step: seen.append(bytes_of(net))], **options)
    assert seen[0] == before
    assert seen[1] != before


@each_loss
@each_backend
def test_model_files_keep_the_loss(name, backend, tmp_path):
    net, (X, _) = network(LOSSES[name][0], backend), samples(9)
    net.save(tmp_path / "model.safetensors")
    loaded = Network.load(tmp_path / "model.safetensors", backend)
    assert repr(loaded.loss) == repr(net.loss)
    assert np.array_equal(loaded.predict(X), net.predict(X))


def test_class_weights_are_kept_as_well(tmp_path):
    net = network(SoftmaxCrossEntropy(0.1, [1, 2, 0.5]), "numpy")
    net.save(tmp_path / "model.safetensors")
    loaded = Network.load(tmp_path / "model.safetensors", "numpy")
    assert repr(loaded.loss) == "SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=[1.0, 2.0, 0.5])"


FAULTS = [
    ("softmax_cross_entropy", np.zeros(9), {}, TypeError, "y must hold integer labels; got float64"),
    ("softmax_cross_entropy", np.full(9, 3), {}, ValueError, "labels must lie from 0 to 2"),
    ("huber", np.zeros(9), {}, ValueError, r"y must have shape \(9, 3\); got \(9,\)"),
    ("huber", np.full((9, 3), np.nan), {}, ValueError, "finite numbers for Huber.*; got nan in row 0, column 0"),
    ("huber", np.full((9, 3), "a"), {}, TypeError, "y must hold real numbers; got text"),
    ("poisson", np.full((9, 3), -1), {}, ValueError, r"finite numbers from 0 up for Poisson\(\); got -1 in row 0"),
    (
        "binary_cross_entropy",
        np.full((9, 3), 2),
        {},
        ValueError,
        "numbers from 0 to 1 for Binary.*; got 2 in row 0",
    ),
    ("huber", np.zeros((9, 3)), {"sample_weight": np.ones(8)}, ValueError, "sample_weight must have 9 numbers"),
    ("huber", np.zeros((9, 3)), {"sample_weight": -np.ones(9)}, ValueError, "finite numbers from 0 up, one of them"),
    ("huber", np.zeros((9, 3)), {"sample_weight": np.zeros(9)}, ValueError, "finite numbers from 0 up, one of them"),
    ("huber", np.zeros((9, 3)), {"sample_weight": np.ones((9, 3))}, TypeError, r"sequence of numbers; .* \(9, 3\)"),
    ("huber", np.zeros((9, 3)), {"sample_weight": np.ones((8, 1))}, ValueError, "sample_weight must have 9 numbers"),
    (
        "huber",
        np.zeros((9, 3)),
        {"step_callbacks": [3]},
        TypeError,
        "step_callbacks must be a list of callables; got 3",
    ),
    (SoftmaxCrossEntropy(class_weight=[1, 2]), np.zeros(9, int), {}, ValueError, "class_weight must have 3 numbers"),
]


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "huber"])
def test_weights_may_be_a_column(loss):
    X, labels = samples(9)
    y = labels if loss == "softmax_cross_entropy" else np.eye(3)[labels]
    weights = np.arange(9.0)
    forms = weights, weights[:, np.newaxis], pandas.DataFrame({"weight": weights})
    vector, column, table = (network(loss, "numpy").fit(X, y, SGD(0.1), sample_weight=form)["loss"] for form in forms)
    assert vector == column == table


@each_backend
@pytest.mark.parametrize(("loss", "y", "options", "error", "message"), FAULTS)
def test_bad_targets_and_weights_are_refused_alike(backend, loss, y, options, error, message):
    net, (X, _) = network(loss, backend), samples(9)
    before = bytes_of(net)
    with pytest.raises(error, match=message):
        net.fit(X, y, SGD(0.1), **options)
    assert bytes_of(net) == before


@pytest.mark.parametrize("number", [1e39, -1e300, np.longdouble("1e400")])
def test_targets_beyond_the_dtype_are_shown_as_they_are(number):
    net, y = network("huber", "numpy", "float32"), np.zeros((9, 3), type(number))
    y[4, 1] = number
    found = re.escape(f"got {number!s} in row 4, column 1, which float32 cannot hold")
    with pytest.raises(ValueError, match=f"finite numbers for Huber.*; {found}"):
        net.fit(samples(9)[0], y, SGD(0.1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftmaxCrossEntropy(label_smoothing=1), "label_smoothing must lie from 0 to below 1; got 1"),
        (lambda: SoftmaxCrossEntropy(label_smoothing=-0.1), "label_smoothing must lie from 0 to below 1; got -0.1"),
        (lambda: SoftmaxCrossEntropy(class_weight=[1, np.inf]), "class_weight must hold finite numbers from 0 up"),
        (lambda: Huber(delta=0), "delta must be a finite number above 0; got 0"),
    ],
)
def test_losses_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
