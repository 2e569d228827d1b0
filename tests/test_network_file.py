import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from networks import (
    bytes_of,
    each_backend,
    each_dtype,
    flipped_bits,
    refused_model,
    samples,
    small_network,
    truncations,
)
from safetensors.numpy import load_file, save_file

import fastfnn
from fastfnn import Dense, Identity, Network, ReLU, Sigmoid, Tanh
from fastfnn.files import container
from fastfnn.files.container import read_model

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


@each_backend
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("target", "fault"),
    [("os.replace", interrupted), ("os.replace", full_disk), ("os.fsync", interrupted), ("os.fsync", full_disk)],
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


def test_a_folder_is_no_model(tmp_path):
    assert "model" in refused_model(tmp_path)


def test_truncation_at_any_byte(path):
    Network([Dense(2, 3)], "numpy").save(path)
    for length in truncations(path):
        assert "truncated" in refused_model(path), length


def test_bytes_behind_the_end(path):
    Network([Dense(2, 3)], "numpy").save(path)
    path.write_bytes(path.read_bytes() + b"\0")
    refused_model(path)


def test_a_flipped_bit_anywhere(path):
    Network([Dense(1, 1), ReLU()], "numpy", input_scale=0.5).save(path)
    for _ in flipped_bits(path):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_model(path)
    read_model(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\0" * 100, b"PK\3\4", b"x" * 1000, b"\x93NUMPY" + b" " * 200])
def test_other_files_are_refused(content, path):
    path.write_bytes(content)
    refused_model(path)


def test_safetensors_of_others_are_refused(path):
    save_file({"weight": np.ones((2, 3), np.float32)}, path)
    assert "is no fastfnn model" in refused_model(path)
    save_file({"weight": np.ones((2, 3), np.float32)}, path, {"format": "pt"})
    assert "'pt'" in refused_model(path)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_safetensors_of_types_that_numpy_has_not(kind, path):
    length = 4 if kind == "BF16" else 2
    header = json.dumps({"w": {"dtype": kind, "shape": [2], "data_offsets": [0, length]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * length)
    refused_model(path)


def test_an_unknown_backend_is_not_blamed_on_the_file(path):
    small_network().save(path)
    with pytest.raises(ValueError, match="backend must be one of numba, numpy; got 'torch'") as caught:
        Network.load(path, backend="torch")
    assert str(path) not in str(caught.value)


def test_a_header_that_readers_refuse_is_not_written(path, monkeypatch):
    small_network().save(path)
    old = path.read_bytes()
    monkeypatch.setattr(container, "LARGEST_HEADER", 100)
    with pytest.raises(ValueError, match=r"would need a header of [0-9]+ bytes; a safetensors file has up to 100"):
        small_network().save(path)
    assert path.read_bytes() == old
