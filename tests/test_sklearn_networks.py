"""Networks from estimators, and estimators from networks."""

import copy
import pickle

import numpy as np
import onnxruntime
import pytest
from sklearn.exceptions import NotFittedError
from sklearn_samples import CASES, LABELS, NAMES, NUMBERS, X, brief

from fastfnn import GELU, Adam, Dense, Dropout, Network, ReLU
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.losses import Huber, MeanSquaredError
from fastfnn.sklearn import FastClassifier, FastRegressor, MLPClassifier, MLPRegressor
from fastfnn.sklearn.mixin import FastMLP

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def outputs_of(estimator):
    """Return the probabilities, rates or numbers that an estimator predicts."""
    return (estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict)(X)


def assert_predicts_as(net, estimator, rtol=0.0):
    """Compare; scikit-learn gives the probabilities of both classes where a network gives that of the second one."""
    expected = outputs_of(estimator)
    outputs = (net.predict_proba if hasattr(estimator, "predict_proba") else net.predict)(X)
    if outputs.size < expected.size:
        expected = expected[:, 1]
    np.testing.assert_allclose(outputs.reshape(expected.shape), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("parameters", [{}, {"activation": ["gelu", "logistic"]}, {"hidden_layer_sizes": ()}])
def test_a_network_predicts_as_its_estimator(case, parameters, tmp_path):
    estimator = case.estimator(**parameters).fit(X, case.y)
    net = estimator.to_network()
    assert_predicts_as(net, estimator)
    net.save(tmp_path / "model.safetensors")
    assert_predicts_as(Network.load(tmp_path / "model.safetensors", backend="numpy"), estimator)
    for same in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_predicts_as(same, estimator)


def test_files_that_callbacks_write(case, tmp_path):
    def save(epoch):
        epoch.network.save(tmp_path / "model.safetensors")

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors")
    estimator = case.estimator().fit(X, case.y, callbacks=[save, checkpoint])
    assert_predicts_as(Network.load(tmp_path / "model.safetensors", backend="numpy"), estimator)
    net, optimizer = case.estimator(max_iter=1).fit(X, case.y).to_network(), Adam(0.01, epsilon_hat=True)
    history = load_checkpoint(tmp_path / "checkpoint.safetensors", net, optimizer)
    assert_predicts_as(net, estimator)
    assert [record["loss"] for record in history.records] == estimator.loss_curve_


def test_a_network_is_independent(case):
    estimator = case.estimator().fit(X, case.y)
    before, net = outputs_of(estimator), estimator.to_network()
    for array in net.parameters.values():
        array[...] = 1
    np.testing.assert_array_equal(outputs_of(estimator), before)
    net = estimator.to_network()
    estimator.partial_fit(X, case.y)
    assert not np.array_equal(outputs_of(estimator), before)
    assert_predicts_as(net, case.estimator().fit(X, case.y))


def test_a_network_names_classes_by_number():
    estimator = brief(MLPClassifier).fit(X, NAMES)
    np.testing.assert_array_equal(estimator.classes_[estimator.to_network().predict(X)], estimator.predict(X))


def test_a_network_can_be_trained_further():
    net = brief(MLPClassifier).fit(X, NAMES).to_network()
    before, _ = net.evaluate(X, LABELS)
    net.fit(X, LABELS, Adam(), epochs=20)
    assert net.evaluate(X, LABELS)[0] < before


def test_a_network_in_single_precision():
    estimator = brief(MLPRegressor).fit(X.astype(np.float32), NUMBERS)
    net = estimator.to_network()
    assert net.dtype == np.float32
    np.testing.assert_array_equal(net.predict(X.astype(np.float32)), estimator.predict(X.astype(np.float32)))


def test_files_for_onnx(case, tmp_path):
    estimator = case.estimator(activation=["gelu", "elu"]).fit(X, case.y)
    net, path = estimator.to_network(), tmp_path / "model.onnx"
    net.to_onnx(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (computed,) = session.run(None, {"X": X})
    expected = net.predict_proba(X) if hasattr(estimator, "predict_proba") else net.predict(X)
    np.testing.assert_allclose(computed.reshape(expected.shape), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ["to_network", "hidden_outputs"])
def test_an_estimator_without_parameters_has_no_network(method):
    arguments = (X,) if method == "hidden_outputs" else ()
    with pytest.raises(NotFittedError, match="This MLPRegressor instance is not fitted yet"):
        getattr(MLPRegressor(), method)(*arguments)


def classes_of(case):
    has_classes = case.kind is MLPClassifier and case.y.ndim == 1
    return {"classes": np.unique(case.y)} if has_classes else {}


def test_there_and_back(case):
    estimator = case.estimator(activation=["gelu", "tanh"]).fit(X, case.y)
    back = case.kind.from_network(estimator.to_network(), **classes_of(case))
    np.testing.assert_array_equal(outputs_of(back), outputs_of(estimator))
    np.testing.assert_array_equal(back.predict(X), estimator.predict(X))
    assert (back.hidden_layer_sizes, back.activation) == ([6, 5], ["gelu", "tanh"])
    for name in ("n_features_in_", "n_outputs_", "n_layers_", "out_activation_"):
        assert getattr(back, name) == getattr(estimator, name)
    same = pickle.loads(pickle.dumps(back))
    np.testing.assert_array_equal(same.predict(X), back.predict(X))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_goes_on(case, solver):
    given = {"solver": solver, "learning_rate_init": 0.05, "random_state": 5}
    net = case.estimator().fit(X, case.y).to_network()
    others = [case.kind.from_network(net, **classes_of(case), **given) for _ in range(2)]
    before = outputs_of(others[0])
    for _ in range(15):
        others[0].partial_fit(X, case.y)
    others[1].set_params(warm_start=True, max_iter=15).fit(X, case.y)
    assert others[0].loss_curve_[0] == others[1].loss_curve_[0]
    for other in others:
        assert other.loss_curve_[-1] < other.loss_curve_[0]
        assert not np.array_equal(outputs_of(other), before)
    assert_predicts_as(net, case.estimator().fit(X, case.y))


@pytest.mark.parametrize("classes", [None, ["no", "yes"], [False, True], [3, 8]])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "binary_cross_entropy"])
def test_two_classes_have_one_output(loss, classes):
    net = Network([Dense(4, 5, "tanh"), Dense(5, 2 if loss[0] == "s" else 1)], "numpy", "float64", 1, loss=loss)
    estimator = MLPClassifier.from_network(net, classes=classes)
    assert (estimator.n_outputs_, estimator.out_activation_, estimator.coefs_[1].shape) == (1, "logistic", (5, 1))
    expected = net.predict_proba(X)
    second = expected[:, 1] if loss[0] == "s" else expected.ravel()
    np.testing.assert_allclose(estimator.predict_proba(X)[:, 1], second, rtol=1e-14)
    names = np.array([0, 1] if classes is None else classes)
    np.testing.assert_array_equal(estimator.classes_, names)
    np.testing.assert_array_equal(estimator.predict(X), names[(second > 0.5).astype(int)])
    y = names[(X[:, 0] > 0).astype(int)]
    assert estimator.partial_fit(X, y).loss_ > estimator.partial_fit(X, y).loss_


def test_several_labels():
    layers = [Dense(4, 5, "tanh"), Dense(5, 3)]
    net = Network(layers, "numpy", "float64", 1, loss="binary_cross_entropy")
    estimator = MLPClassifier.from_network(net)
    np.testing.assert_array_equal(estimator.predict_proba(X), net.predict_proba(X))
    np.testing.assert_array_equal(estimator.predict(X), (net.predict_proba(X) > 0.5).astype(int))
    with pytest.raises(ValueError, match="a network of several labels has no classes: leave classes out"):
        MLPClassifier.from_network(net, classes=["a", "b", "c"])


@pytest.mark.parametrize("kind", [FastClassifier, MLPClassifier])
def test_networks_with_dropout(kind):
    """`MLPClassifier` leaves it out."""
    layers = [Dense(4, 6, "relu"), Dropout(0.25), Dense(6, 5), GELU(), Dropout(0.25), Dense(5, 3)]
    net = Network(layers, "numpy", "float64", 1)
    estimator = kind.from_network(net)
    np.testing.assert_array_equal(estimator.predict_proba(X), net.predict_proba(X))
    assert (estimator.hidden_layer_sizes, estimator.activation) == ([6, 5], ["relu", "gelu"])
    assert estimator.dropout == (0.25 if kind is FastClassifier else 0)
    n_layers = 6 if kind is FastClassifier else 4
    assert len(estimator.to_network().layers) == n_layers


@pytest.mark.parametrize("rates", [(0.25, 0.5), (0.25, None)])
def test_dropout_that_no_estimator_has(rates):
    first, second = ([] if rate is None else [Dropout(rate)] for rate in rates)
    layers = [Dense(4, 6, "relu"), *first, Dense(6, 5), *second, Dense(5, 2)]
    net = Network(layers, "numpy", "float64", 1, loss="huber")
    with pytest.raises(ValueError, match=r"drops outputs of every hidden layer at one rate; got .* pass dropout="):
        FastRegressor.from_network(net)
    assert FastRegressor.from_network(net, dropout=0.1).dropout == 0.1


def test_an_estimator_is_independent_of_its_network():
    net = Network([Dense(4, 3)], "numpy", "float64", 1)
    estimator = MLPClassifier.from_network(net)
    before = net.predict_proba(X)
    net.fit(X, LABELS, Adam(), epochs=1)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)


@pytest.mark.parametrize("kind", [MLPRegressor, FastRegressor])
@pytest.mark.parametrize("loss", ["mean_squared_error", "huber", "poisson"])
def test_regressors_from_networks(kind, loss):
    net = Network([Dense(4, 5, "elu"), Dense(5, 2)], "numpy", "float32", 1, loss=loss)
    estimator = kind.from_network(net, alpha=0.5)
    assert (estimator.loss, estimator.alpha) == (loss.replace("mean_", ""), 0.5)
    np.testing.assert_array_equal(estimator.predict(X), net.predict(X))
    np.testing.assert_array_equal(kind.from_network(estimator.to_network()).predict(X), net.predict(X))


HIDDEN, LAST, ONLY = Dense(4, 5, "relu"), Dense(5, 3), Dense(4, 3)

REFUSED = {
    "loss of numbers": (
        MLPClassifier,
        [ONLY],
        {"loss": "huber"},
        "SoftmaxCrossEntropy, BinaryCrossEntropy; got Huber",
    ),
    "loss of classes": (MLPRegressor, [ONLY], {}, "MeanSquaredError, Huber, Poisson; got SoftmaxCrossEntropy"),
    "softmax of one output": (MLPClassifier, [Dense(4, 1)], {}, "the softmax of one output is always 1"),
    "another delta": (MLPRegressor, [ONLY], {"loss": Huber(2.0)}, r"got Huber\(delta=2.0\)"),
    "scaled inputs": (MLPClassifier, [ONLY], {"input_scale": 0.5}, "got input_scale=0.5"),
    "activation at the end": (MLPClassifier, [Dense(4, 3, "relu")], {}, "the last layer .* no activation; got relu"),
    "GELU at the end": (
        MLPClassifier,
        [ONLY, GELU()],
        {},
        "the last layer of an estimator has no activation; got gelu",
    ),
    "GELU twice": (MLPClassifier, [HIDDEN, GELU(), LAST], {}, r"Dense layers with biases, GELU and .*; got GELU\(\)"),
    "GELU at first": (MLPClassifier, [GELU(), ONLY], {}, r"got GELU\(\)"),
    "dropout at first": (MLPClassifier, [Dropout(0.5), ONLY], {}, r"got Dropout\("),
    "no bias": (MLPClassifier, [Dense(4, 3, use_bias=False)], {}, "Dense layers with biases"),
    "another layer": (MLPClassifier, [Dense(4, 5), ReLU(), LAST], {}, r"got ReLU\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_no_estimator_can_have(name):
    kind, layers, options, message = REFUSED[name]
    net = Network(copy.deepcopy(layers), "numpy", "float64", 1, **options)
    with pytest.raises(ValueError, match=message):
        kind.from_network(net)


@pytest.mark.parametrize(
    "classes", [["a"], ["a", "b", "c", "d"], ["b", "a", "c"], ["a", "a", "b"], [None, 1, "c"], [[1, 2, 3]]]
)
def test_classes_that_do_not_fit(classes):
    with pytest.raises(ValueError, match="classes must be 3 different ones in ascending order; got"):
        MLPClassifier.from_network(Network([Dense(4, 3)], "numpy", seed=1), classes=classes)


@pytest.mark.parametrize("kind", [FastClassifier, MLPClassifier])
def test_parameters_that_a_network_determines(kind):
    with pytest.raises(TypeError, match="activation"):
        kind.from_network(Network([Dense(4, 3)], "numpy", seed=1), activation="relu")


def test_what_is_no_network():
    with pytest.raises(TypeError, match=r"network must be a fastfnn\.Network; got MLPClassifier"):
        MLPClassifier.from_network(MLPClassifier())


def test_the_network_of_an_estimator_whose_loss_was_changed():
    estimator = brief(MLPRegressor).fit(X, NUMBERS).set_params(loss="poisson")
    net = estimator.to_network()
    assert isinstance(net.loss, MeanSquaredError)
    np.testing.assert_array_equal(net.predict(X), estimator.predict(X))
