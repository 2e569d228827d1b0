import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from fastfnn_kernels.arguments import ACTIVATIONS
from networks import Doubling, each_backend, each_dtype, samples, small_network

from fastfnn import GELU, Adam, Dense, Dropout, Identity, Network, ReLU, Sigmoid, Tanh
from fastfnn.files import onnx_export
from fastfnn.files.network_file import LAYERS
from fastfnn.losses import LOSSES, SoftmaxCrossEntropy

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def run(path, X, output="probabilities"):
    """Return what onnxruntime computes from an ONNX file that is well-formed, and says what it returns."""
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # which starts no threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert [(end.name, end.shape[0]) for end in session.get_inputs()] == [("X", "n_samples")]
    assert [(end.name, end.shape[0]) for end in session.get_outputs()] == [(output, "n_samples")]
    (computed,) = session.run(None, {"X": X})
    return computed


def assert_predicts_alike(net, path, n_rows=20, output="probabilities"):
    X = samples(n_rows, net.n_inputs)[0].astype(net.dtype)
    net.to_onnx(path)
    computed = run(path, X, output)
    assert (computed.dtype, computed.shape) == (net.dtype, (n_rows, net.n_outputs))
    expected = net.predict_proba(X) if output == "probabilities" else net.predict(X)
    tolerance = TOLERANCE[net.dtype.name]
    np.testing.assert_allclose(computed, expected.reshape(computed.shape), rtol=tolerance, atol=tolerance)


ARCHITECTURES = {
    "a layer": lambda: [Dense(4, 3)],
    "no bias": lambda: [Dense(4, 5, "relu", use_bias=False), Dense(5, 3, use_bias=False)],
    "a wide input": lambda: [Dense(300, 30, "relu"), Dense(30, 10)],
    "layers of activations": lambda: [
        Tanh(), Dense(4, 5), ReLU(), Dense(5, 4), Identity(), Sigmoid(), Dense(4, 3), Tanh()
    ],
    "an activation before the softmax": lambda: [Dense(4, 5, "tanh"), Dense(5, 3, "sigmoid")],
    "one class": lambda: [Dense(4, 1)],
    "dropout between": lambda: [Dense(4, 5, "relu"), Dropout(), Dense(5, 3)],
    "dropout at both ends": lambda: [Dropout(0.9), Dense(4, 5), GELU(), Dense(5, 3), Dropout(0.9)],
    "dropout after dropout": lambda: [Dropout(), Dropout(), Dense(4, 3), Dropout(), Dropout()],
}  # fmt: skip


@each_dtype
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_model_predicts_what_the_network_does(name, dtype, path):
    net = Network(ARCHITECTURES[name](), "numpy", dtype, seed=1)
    for parameter in net.parameters.values():
        parameter += np.linspace(-0.5, 0.5, parameter.size).reshape(parameter.shape)
    assert_predicts_alike(net, path)


# How far from zero an activation is tried: where it bends, and where an exponential or a cube is large or nothing.
each_size = pytest.mark.parametrize("size", [1, 30, 300])


@each_size
@each_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, dtype, size, path):
    net = Network([Dense(4, 5, activation)], "numpy", dtype, seed=1, loss="mean_squared_error")
    net.layers[0].weights[...] *= size
    assert_predicts_alike(net, path, output="predictions")


@each_size
@each_dtype
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Dense"])
def test_every_layer_without_parameters(name, dtype, size, path):
    layers = [Dense(4, 5), LAYERS[name](), Dense(5, 3)]
    net = Network(layers, "numpy", dtype, seed=1, loss="mean_squared_error")
    net.layers[0].weights[...] *= size
    assert_predicts_alike(net, path, output="predictions")


OUTPUTS = {
    "softmax_cross_entropy": "probabilities",
    "binary_cross_entropy": "probabilities",
    "mean_squared_error": "predictions",
    "huber": "predictions",
    "poisson": "predictions",
}


@each_dtype
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss, n_outputs, dtype, path):
    net = Network([Dense(4, 5, "relu"), Dense(5, n_outputs)], "numpy", dtype, seed=1, loss=loss)
    assert_predicts_alike(net, path, output=OUTPUTS[loss])


def test_outputs_that_are_what_a_layer_of_dropout_was_given(path):
    net = Network([Dropout(), Dense(4, 3), Dropout()], "numpy", seed=1, loss="huber")
    assert_predicts_alike(net, path, output="predictions")
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Gemm", "Identity"]


def test_an_argument_of_a_loss_changes_nothing(path):
    loss = SoftmaxCrossEntropy(label_smoothing=0.1, class_weight=[1, 2, 3])
    assert_predicts_alike(small_network(loss=loss), path)


@each_backend
def test_a_trained_network_with_one_row_and_many(backend, path):
    net = small_network(backend, "float32")
    net.fit(*samples(20, dtype="float32"), Adam(0.1), epochs=5)
    for n_rows in (1, 2, 1000):
        assert_predicts_alike(net, path, n_rows)


def test_no_rows(path):
    small_network(dtype="float32").to_onnx(path)
    assert run(path, np.empty((0, 4), np.float32)).shape == (0, 3)


def test_large_logits(path):
    net = small_network(dtype="float32")
    net.layers[1].weights[...] *= 1e4
    assert_predicts_alike(net, path)


def test_bytes_are_scaled_before_the_model(path):
    net = small_network(dtype="float32", input_scale=1 / 255)
    net.to_onnx(path)
    X = np.random.default_rng(1).integers(0, 256, (9, 4)).astype(np.uint8)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    scaled = X * np.float32(properties["input_scale"])
    np.testing.assert_allclose(run(path, scaled), net.predict_proba(X), rtol=0, atol=1e-5)


def test_what_the_file_says(path):
    net = small_network(dtype="float32", input_scale=1 / 255)
    net.to_onnx(path)
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Relu", "Gemm", "Softmax"]
    assert [constant.name for constant in model.graph.initializer] == list(net.parameters)
    assert {entry.key: json.loads(entry.value) for entry in model.metadata_props} == {"input_scale": 1 / 255}
    assert (model.producer_name, model.domain) == ("fastfnn", "")


def test_equal_networks_make_equal_files(path):
    small_network().to_onnx(path)
    first = path.read_bytes()
    small_network().to_onnx(str(path))
    assert path.read_bytes() == first


def test_a_layer_that_the_export_does_not_know(path):
    net = Network([Dense(4, 3), Doubling()], "numpy")
    with pytest.raises(ValueError, match=r"ONNX export knows Dense and .*; got Doubling\(\) as layer 1: export"):
        net.to_onnx(path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(("kind", "arguments"), [(Dense, (3, 3)), (ReLU, ()), (GELU, ()), (Dropout, ())])
def test_a_class_derived_from_a_layer_may_do_more(kind, arguments, path):
    derived = type("Derived", (kind,), {"__repr__": lambda self: "Derived()"})
    net = Network([Dense(4, 3), derived(*arguments)], "numpy")
    with pytest.raises(ValueError, match=r"Dense and Identity, ReLU, .*; got Derived\(\) as layer 1: export"):
        net.to_onnx(path)
    assert os.listdir(path.parent) == []


def test_a_loss_that_the_export_does_not_know(path):
    class Focal(SoftmaxCrossEntropy):
        pass

    expected = r"knows the losses SoftmaxCrossEntropy, .*; got the loss Focal\(label_smoothing=0\.0, .*: export a"
    with pytest.raises(ValueError, match=expected):
        small_network(loss=Focal()).to_onnx(path)
    assert os.listdir(path.parent) == []


def test_a_diverged_network_is_not_exported_over_a_good_one(path):
    net = small_network()
    net.to_onnx(path)
    old = path.read_bytes()
    net.layers[0].weights[0, 0] = np.inf
    with pytest.raises(ValueError, match=r"0\.weights holds NaN or inf"):
        net.to_onnx(path)
    assert path.read_bytes() == old


def test_more_than_a_file_can_hold(path, monkeypatch):
    monkeypatch.setattr(onnx_export, "LARGEST_FILE", 100)
    with pytest.raises(ValueError, match="an ONNX file holds up to 100 bytes; got parameters of 320: use float32"):
        small_network().to_onnx(path)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *LAYERS])
def test_what_a_file_holds_beside_parameters_is_counted(name, path):
    if name in ARCHITECTURES:
        net = Network(ARCHITECTURES[name](), "numpy")
    else:
        many = [Dense(1, 1, "softplus") if name == "Dense" else LAYERS[name]() for _ in range(300)]
        net = Network([Dense(1, 1), *many], "numpy")
    net.to_onnx(path)
    n_bytes = sum(array.nbytes for array in net.parameters.values())
    assert path.stat().st_size - n_bytes <= onnx_export.BYTES_OF_LAYER * len(net.layers)


@pytest.mark.parametrize("exists", [True, False])
def test_an_interrupted_export_leaves_the_old_file_alone(exists, path, monkeypatch):
    net = small_network()
    if exists:
        net.to_onnx(path)
    old = path.read_bytes() if exists else None
    net.layers[0].weights[...] = 7

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.to_onnx(path)
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    assert old is None or path.read_bytes() == old


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        small_network().to_onnx(tmp_path / "absent" / "model.onnx")


def test_without_onnx_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "fastfnn\[onnx\]"'):
        small_network().to_onnx(path)
    assert os.listdir(path.parent) == []
