"""What the estimators add to scikit-learn's: activations, Huber's loss, outputs of hidden layers."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn_samples import CASES, LABELS, X, brief

from fastfnn import GELU, Dense, Network
from fastfnn.losses import Huber
from fastfnn.sklearn import FastClassifier, FastRegressor, MLPClassifier, MLPRegressor, set_backend
from fastfnn.sklearn.mixin import FastMLP
from fastfnn.sklearn.networks import ACTIVATIONS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def numpy_kernels(monkeypatch):
    monkeypatch.setattr(FastMLP, "backend", "numpy")


def layer_of(weights, bias, name):
    """Return a layer of scikit-learn's activation, as the layers of a network."""
    fused = {"logistic": "sigmoid", "gelu": "identity"}.get(name, name)
    return [Dense(*weights.shape, activation=fused), *([GELU()] if name == "gelu" else [])]


def network_by_hand(estimator, names, n_kept=None, loss="softmax_cross_entropy"):
    """Return a network with the first parameters of an estimator."""
    arrays = list(zip(estimator.coefs_, estimator.intercepts_, [*names, "identity"], strict=True))[:n_kept]
    layers = [layer for each in arrays for layer in layer_of(*each)]
    net = Network(layers, "numpy", "float64", loss=loss)
    dense = [layer for layer in net.layers if isinstance(layer, Dense)]
    for layer, (weights, bias, _) in zip(dense, arrays, strict=True):
        layer.weights[...], layer.bias[...] = weights, bias
    return net


@pytest.mark.parametrize("activation", [*ACTIVATIONS, ["tanh", "gelu"], ("softplus", "leaky_relu")])
def test_a_network_of_these_activations_predicts_alike(activation):
    estimator = brief(MLPClassifier, activation=activation).fit(X, LABELS)
    names = [activation] * 2 if isinstance(activation, str) else activation
    np.testing.assert_array_equal(estimator.predict_proba(X), network_by_hand(estimator, names).predict_proba(X))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS.keys() - {"logistic"}))  # whose first weights are smaller
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_list_of_one_name_is_that_name(kind, activation):
    one = brief(kind, activation=activation).fit(X, LABELS)
    several = brief(kind, activation=[activation, activation]).fit(X, LABELS)
    assert one.loss_curve_ == several.loss_curve_


def test_activations_of_a_fitted_estimator_can_be_changed():
    estimator = brief(MLPClassifier, activation=["tanh", "relu"]).fit(X, LABELS)
    expected = network_by_hand(estimator, ["tanh", "elu"]).predict_proba(X)
    np.testing.assert_array_equal(estimator.set_params(activation=["tanh", "elu"]).predict_proba(X), expected)


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (["relu"], r"activation must have a name for each of the 2 hidden layers; got \['relu'\]"),
        (["relu", "tank"], "unknown activation 'tank': did you mean 'tanh'"),
        (["relu", ["relu"]], "unknown activation"),
        ("tank", "The 'activation' parameter of MLPClassifier must be a str among"),
        (3, "The 'activation' parameter of MLPClassifier must be"),
    ],
)
def test_wrong_activations(activation, message):
    estimator = brief(MLPClassifier, activation=activation)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, LABELS)
    assert not hasattr(estimator, "coefs_")


def test_a_list_of_activations_for_no_hidden_layer():
    estimators = [brief(MLPClassifier, hidden_layer_sizes=(), activation=each) for each in ([], "relu")]
    first, second = (each.fit(X, LABELS).predict_proba(X) for each in estimators)
    np.testing.assert_array_equal(first, second)


def test_hubers_loss():
    y, kind, _ = CASES["huber"]
    batch = {"batch_size": 50, "max_iter": 1, "alpha": 0.0}
    untrained = brief(kind, loss="huber", **batch, learning_rate_init=1e-300).fit(X, y)
    error = np.abs(untrained.predict(X) - y)
    expected = np.where(error <= 1, error**2 / 2, error - 0.5).mean()
    assert untrained.loss_ == pytest.approx(expected, rel=1e-12)
    net = network_by_hand(untrained, ["relu", "relu"], loss=Huber())
    trained = brief(kind, loss="huber", **batch, solver="sgd", momentum=0, learning_rate_init=0.5).fit(X, y)
    _, gradients = net.loss_and_gradients(X, y)
    expected = untrained.coefs_[0] - 0.5 * gradients[0].weights
    np.testing.assert_allclose(trained.coefs_[0], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_every_solver_lowers_hubers_loss(solver):
    y, kind, _ = CASES["huber"]
    long = brief(kind, loss="huber", solver=solver, max_iter=60).fit(X, y)
    short = brief(kind, loss="huber", solver=solver, max_iter=1).fit(X, y)
    assert long.loss_ < 0.8 * short.loss_


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("as_samples", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_outputs_of_hidden_layers(layer, as_samples):
    names = ["gelu", "tanh", "elu"]
    estimator = brief(MLPClassifier, hidden_layer_sizes=(6, 5, 4), activation=names).fit(X, LABELS)
    n_kept = layer % 3 + 1
    expected = network_by_hand(estimator, names, n_kept, loss="mean_squared_error").predict(X)
    outputs = estimator.hidden_outputs(as_samples(X), layer)
    np.testing.assert_allclose(outputs, expected, rtol=1e-14, atol=1e-15)


def test_the_last_hidden_layer_is_the_usual_one():
    estimator = brief(MLPRegressor).fit(X, LABELS)
    np.testing.assert_array_equal(estimator.hidden_outputs(X), estimator.hidden_outputs(X, 1))


def test_one_hidden_unit_and_single_precision():
    estimator = brief(MLPRegressor, hidden_layer_sizes=(1,)).fit(X.astype(np.float32), LABELS)
    outputs = estimator.hidden_outputs(X.astype(np.float32))
    assert (outputs.shape, outputs.dtype) == ((50, 1), np.float32)


@pytest.mark.parametrize("layer", [2, -3])
def test_hidden_layers_that_are_not_there(layer):
    estimator = brief(MLPClassifier).fit(X, LABELS)
    with pytest.raises(IndexError, match=f"layer must be from -2 to 1; got {layer}"):
        estimator.hidden_outputs(X, layer)


@pytest.mark.parametrize("layer", ["first", 0.0, None])
def test_hidden_layers_that_are_no_whole_number(layer):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        brief(MLPClassifier).fit(X, LABELS).hidden_outputs(X, layer)


def test_no_hidden_layers():
    with pytest.raises(IndexError, match="the estimator has no hidden layers"):
        brief(MLPClassifier, hidden_layer_sizes=()).fit(X, LABELS).hidden_outputs(X)


def test_hidden_outputs_check_samples():
    estimator = brief(MLPClassifier)
    with pytest.raises(ValueError, match="This MLPClassifier instance is not fitted yet"):
        estimator.hidden_outputs(X)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        estimator.fit(X, LABELS).hidden_outputs(X[:, :3])


@pytest.mark.parametrize("kind", [FastClassifier, FastRegressor, MLPClassifier, MLPRegressor])
def test_a_clone_with_a_list_trains_alike(kind):
    estimator = brief(kind, activation=["tanh", "elu"])
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert copy.fit(X, LABELS).loss_curve_ == estimator.fit(X, LABELS).loss_curve_


def test_the_backend_is_that_of_all_estimators():
    estimator = brief(MLPClassifier).fit(X, LABELS)
    set_backend("numba")
    assert estimator.to_network().backend == MLPRegressor.backend == "numba"
    set_backend("numpy")
    assert estimator.to_network().backend == "numpy"
    with pytest.raises(ValueError, match="backend must be one of numba, numpy; got 'tpu'"):
        set_backend("tpu")
    assert FastMLP.backend == "numpy"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_another_backend_serves_the_next_call(solver, monkeypatch):
    """Of all estimators, or of one."""
    estimator, used = brief(MLPClassifier, solver=solver).fit(X, LABELS), []
    predict_proba = Network.predict_proba

    def note(self, samples):
        used.append((self.backend, self.kernels.__name__))
        return predict_proba(self, samples)

    monkeypatch.setattr(Network, "predict_proba", note)
    expected = estimator.predict_proba(X)
    set_backend("numba")
    np.testing.assert_allclose(estimator.predict_proba(X), expected, rtol=1e-12)
    set_backend("numpy")
    np.testing.assert_array_equal(estimator.predict_proba(X), expected)
    estimator.backend = "numba"
    estimator.predict_proba(X)
    assert FastMLP.backend == "numpy"
    names = [name for name, _ in used]
    assert names == ["numpy", "numba", "numpy", "numba"]
    assert len({kernels for name, kernels in used if name == "numpy"}) == 1
    assert len({kernels for _, kernels in used}) == 2


def test_another_backend_trains_the_next_epochs():
    used = []
    estimator = brief(MLPClassifier, warm_start=True)
    for backend in ("numpy", "numba"):
        estimator.backend = backend
        estimator.fit(X, LABELS, callbacks=[lambda epoch: used.append(epoch.network.backend)])
    assert used == ["numpy"] * 5 + ["numba"] * 5
    expected = brief(MLPClassifier, warm_start=True).fit(X, LABELS).fit(X, LABELS)
    np.testing.assert_allclose(estimator.loss_curve_, expected.loss_curve_, rtol=1e-12)
