import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from networks import bytes_of, each_backend, each_dtype, flipped_bits, samples, small_network, truncations
from safetensors.numpy import load_file, save_file

import fastfnn
from fastfnn import Dense, Identity, Network, ReLU, Sigmoid, Tanh
from fastfnn.files.container import FORMAT, digest_of, read_model

X = samples(6)[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def every_layer(backend="numpy", dtype="float64", **options):
    layers = [
        ReLU(), Dense(4, 5, "relu"), Sigmoid(), Dense(5, 4, "sigmoid", use_bias=False), Identity(),
        Dense(4, 4, "tanh"), Tanh(), Dense(4, 3, "identity"),
    ]  # fmt: skip
    net = Network(layers, backend, dtype, seed=1, **options)
    net.layers[1].bias[...] = [1, 2, 3, 4, 5]
    return net


@each_dtype
@each_backend
@pytest.mark.parametrize("backend_of_loaded", ["numba", "numpy"])
def test_a_loaded_network_is_the_saved_one(backend, backend_of_loaded, dtype, path):
    net = every_layer(backend, dtype, input_scale=1 / 255)
    net.save(path)
    loaded = Network.load(path, backend=backend_of_loaded)
    assert bytes_of(loaded) == bytes_of(net)
    assert repr(loaded) == repr(net).replace(f"backend='{backend}'", f"backend='{backend_of_loaded}'")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in net.layers]
    assert (loaded.input_scale, loaded.dtype, loaded.backend) == (1 / 255, dtype, backend_of_loaded)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert np.allclose(loaded.predict_proba(X), net.predict_proba(X), rtol=tolerance, atol=0)


@each_backend
def test_a_loaded_network_can_be_trained_on(backend, path):
    net = every_layer(backend)
    net.save(path)
    loaded = Network.load(path, backend)
    for each in (net, loaded):
        each.fit(X, np.arange(6) % 3, fastfnn.Adam(0.1), epochs=3)
    assert bytes_of(loaded) == bytes_of(net)


@each_backend
def test_a_trained_network_is_saved_as_it_is_now(backend, path):
    net = small_network(backend)
    net.save(path)
    net.fit(X, np.arange(6) % 3, fastfnn.SGD(0.1))
    net.save(path)
    assert bytes_of(Network.load(path, backend)) == bytes_of(net)


def test_numba_is_the_default_backend(path):
    small_network().save(path)
    assert Network.load(path).backend == "numba"


@pytest.mark.parametrize("as_path", [str, Path])
def test_paths_and_strings(as_path, path):
    small_network().save(as_path(path))
    assert bytes_of(Network.load(as_path(path))) == bytes_of(small_network())


def test_any_safetensors_reader_finds_the_parameters(path):
    net = small_network(dtype="float32")
    net.save(path)
    tensors = load_file(path)
    assert sorted(tensors) == ["0.bias", "0.weights", "1.weights"]
    assert np.array_equal(tensors["0.weights"], net.layers[0].weights)
    assert tensors["0.weights"].dtype == np.float32


def test_nothing_but_the_model_is_left_in_the_folder(path):
    for _ in range(2):
        small_network().save(path)
        assert os.listdir(path.parent) == [path.name]


def test_flags_and_widths_may_be_numpy_scalars(path):
    net = Network([Dense(np.int32(4), np.int64(3), use_bias=np.bool_(False))], "numpy", input_scale=np.float32(0.5))
    net.save(path)
    assert bytes_of(Network.load(path, "numpy")) == bytes_of(net)


def test_equal_networks_make_equal_files(path):
    small_network().save(path)
    first = path.read_bytes()
    small_network().save(path)
    assert path.read_bytes() == first


def interrupted(*args):
    raise KeyboardInterrupt


def full_disk(*args):
    raise OSError(28, "No space left on device")


def half_written(self, content):
    with self.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(28, "No space left on device")


@each_backend
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("target", "fault"),
    [("os.replace", interrupted), ("os.replace", full_disk), ("pathlib.Path.write_bytes", half_written)],
)
def test_an_interrupted_save_leaves_the_old_file_alone(backend, exists, target, fault, path, monkeypatch):
    net = small_network(backend)
    if exists:
        net.save(path)
        old = path.read_bytes()
    net.layers[0].weights[...] = 7
    monkeypatch.setattr(target, fault)
    with pytest.raises((KeyboardInterrupt, OSError)):
        net.save(path)
    monkeypatch.undo()
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    if exists:
        assert path.read_bytes() == old


@each_backend
def test_a_folder_that_is_not_there_is_an_os_error(backend, tmp_path):
    with pytest.raises(OSError, match="absent"):
        small_network(backend).save(tmp_path / "absent" / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_saving_over_a_folder_or_under_a_file_is_an_os_error(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "folder", tmp_path / "file" / "model"):
        with pytest.raises(OSError, match=r"folder|file"):
            small_network().save(path)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_diverged_network_is_not_saved_over_a_good_one(path):
    net = small_network()
    net.save(path)
    old = path.read_bytes()
    net.layers[0].weights[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"0\.weights.*NaN or inf"):
        net.save(path)
    assert path.read_bytes() == old


@each_backend
def test_a_file_that_is_not_there(backend, tmp_path):
    for name in ("absent.safetensors", "absent/model.safetensors"):
        with pytest.raises(FileNotFoundError, match=name):
            Network.load(tmp_path / name, backend)


def refused(path):
    """Return the message with which `path` is refused, on one line and alike on both backends."""
    messages = []
    for backend in ("numba", "numpy"):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            Network.load(path, backend)
        assert type(caught.value) in (ValueError, FileNotFoundError)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert str(path) in messages[0]
    return messages[0]


def test_a_folder_is_no_model(tmp_path):
    assert "model" in refused(tmp_path)


def test_truncation_at_any_byte(path):
    Network([Dense(2, 3)], "numpy").save(path)
    for length in truncations(path):
        assert "truncated" in refused(path), length


def test_bytes_behind_the_end(path):
    Network([Dense(2, 3)], "numpy").save(path)
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path)


def test_a_flipped_bit_anywhere(path):
    Network([Dense(1, 1), ReLU()], "numpy", input_scale=0.5).save(path)
    for _ in flipped_bits(path):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_model(path)
    read_model(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\0" * 100, b"PK\3\4", b"x" * 1000, b"\x93NUMPY" + b" " * 200])
def test_other_files_are_refused(content, path):
    path.write_bytes(content)
    refused(path)


def test_safetensors_of_others_are_refused(path):
    save_file({"weight": np.ones((2, 3), np.float32)}, path)
    assert "is no fastfnn model" in refused(path)
    save_file({"weight": np.ones((2, 3), np.float32)}, path, {"format": "pt"})
    assert "'pt'" in refused(path)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_safetensors_of_types_that_numpy_has_not(kind, path):
    length = 4 if kind == "BF16" else 2
    header = json.dumps({"w": {"dtype": kind, "shape": [2], "data_offsets": [0, length]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * length)
    refused(path)


def model_file(path, architecture, tensors):
    if isinstance(architecture, dict):
        architecture = {"format": FORMAT, **architecture}
        architecture["sha256"] = digest_of(architecture, tensors)
    if not isinstance(architecture, str):
        architecture = json.dumps(architecture)
    save_file(tensors, path, {"fastfnn": architecture})


DENSE = {"type": "Dense", "n_inputs": 2, "n_outputs": 3, "activation": "relu", "use_bias": True}
GOOD = {"dtype": "float32", "input_scale": 1.0, "layers": [DENSE]}
TENSORS = {"0.weights": np.ones((2, 3), np.float32), "0.bias": np.ones(3, np.float32)}


def test_the_handmade_file_is_good(path):
    model_file(path, GOOD, TENSORS)
    assert Network.load(path, "numpy").layers[0].weights.tolist() == [[1] * 3] * 2


WRONG_TENSORS = {
    "transposed": TENSORS | {"0.weights": np.ones((3, 2), np.float32)},
    "flat": TENSORS | {"0.weights": np.ones(6, np.float32)},
    "broadcastable": TENSORS | {"0.weights": np.ones((1, 3), np.float32)},
    "bias of one": TENSORS | {"0.bias": np.ones(1, np.float32)},
    "float64": TENSORS | {"0.weights": np.ones((2, 3))},
    "int32": TENSORS | {"0.weights": np.ones((2, 3), np.int32)},
    "float16": TENSORS | {"0.bias": np.ones(3, np.float16)},
    "no bias": {"0.weights": TENSORS["0.weights"]},
    "no tensors": {},
    "one too many": TENSORS | {"1.weights": np.ones((3, 3), np.float32)},
    "other names": {"0.weight": TENSORS["0.weights"], "0.bias": TENSORS["0.bias"]},
    "NaN": TENSORS | {"0.weights": np.full((2, 3), np.nan, np.float32)},
    "inf": TENSORS | {"0.bias": np.array([0, np.inf, 0], np.float32)},
}


@pytest.mark.parametrize("name", WRONG_TENSORS)
def test_tensors_that_do_not_fit(name, path):
    model_file(path, GOOD, WRONG_TENSORS[name])
    message = refused(path)
    assert ("NaN or inf" if name in ("NaN", "inf") else "another architecture") in message


WRONG_ARCHITECTURES = {
    "not json": "{",
    "empty": "",
    "a list": [1],
    "a number": 3,
    "null": None,
    "nothing": {},
    "no layers": GOOD | {"layers": []},
    "layers null": GOOD | {"layers": None},
    "a layer of no type": GOOD | {"layers": [{"n_inputs": 2}]},
    "a layer that is a string": GOOD | {"layers": ["Dense"]},
    "an unknown layer": GOOD | {"layers": [DENSE, {"type": "Conv"}]},
    "an abstract layer": GOOD | {"layers": [DENSE, {"type": "Activation"}]},
    "an unknown activation": GOOD | {"layers": [DENSE | {"activation": "gelu"}]},
    "an unknown argument": GOOD | {"layers": [DENSE | {"rate": 0.5}]},
    "an argument of an activation": GOOD | {"layers": [DENSE, {"type": "ReLU", "slope": 0.5}]},
    "a missing width": GOOD | {"layers": [{"type": "Dense", "n_inputs": 2}]},
    "a width of zero": GOOD | {"layers": [DENSE | {"n_inputs": 0}]},
    "a width in words": GOOD | {"layers": [DENSE | {"n_inputs": "2"}]},
    "widths that do not fit": GOOD | {"layers": [DENSE, DENSE]},
    "an initializer": GOOD | {"layers": [DENSE | {"initializer": None}]},
    "dtype float16": GOOD | {"dtype": "float16"},
    "dtype unknown": GOOD | {"dtype": "float31"},
    "dtype null": GOOD | {"dtype": None},
    "dtype a comma": GOOD | {"dtype": ","},
    "dtype a list": GOOD | {"dtype": [["a", "f4"]]},
    "dtype an object": GOOD | {"dtype": {"names": 1}},
    "scale of zero": GOOD | {"input_scale": 0},
    "scale in words": GOOD | {"input_scale": "1"},
    "scale a list": GOOD | {"input_scale": [1.0]},
    "scale two numbers": GOOD | {"input_scale": [1.0, 2.0]},
    "scale null": GOOD | {"input_scale": None},
    "wider than any memory": GOOD | {"layers": [DENSE | {"n_inputs": 10**15}]},
    "wider than any index": GOOD | {"layers": [DENSE | {"n_inputs": 10**30}]},
    "too deep for json": "[" * 100_000,
}


@pytest.mark.parametrize("name", WRONG_ARCHITECTURES)
def test_architectures_that_cannot_be(name, path):
    model_file(path, WRONG_ARCHITECTURES[name], TENSORS)
    refused(path)


def test_no_architecture_at_all(path):
    save_file(TENSORS, path, {"fastfnn": "{}"})
    assert "architecture" in refused(path)


def test_a_file_of_another_version(path):
    save_file(TENSORS, path, {"fastfnn": json.dumps(GOOD | {"format": 1})})
    assert "is of format 1; this version of fastfnn reads format 2" in refused(path)


def test_an_unknown_backend_is_not_blamed_on_the_file(path):
    small_network().save(path)
    with pytest.raises(ValueError, match="backend must be one of numba, numpy; got 'torch'") as caught:
        Network.load(path, backend="torch")
    assert str(path) not in str(caught.value)
