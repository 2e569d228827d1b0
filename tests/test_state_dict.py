import contextlib
import json
import os
import re
import struct

import numpy as np
import pytest
from networks import (
    Doubling,
    bytes_of,
    each_backend,
    each_dtype,
    flipped_bits,
    samples,
    small_network,
    truncations,
)
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fastfnn import GELU, Dense, Dropout, Identity, Network, ReLU, Sigmoid, Softplus, Tanh
from fastfnn.state_dict import load_state_dict, save_state_dict


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def layers():
    """What a Sequential holds as Linear, ReLU, Tanh, Linear, Identity, Linear, Sigmoid, Linear."""
    return [Dense(4, 6, "relu"), Tanh(), Dense(6, 5), Identity(), Dense(5, 4, "sigmoid", use_bias=False), Dense(4, 3)]


NAMES = ["0.weight", "0.bias", "3.weight", "3.bias", "5.weight", "7.weight", "7.bias"]


def test_names_and_shapes_are_those_of_a_sequential(path):
    net = Network([Dense(784, 256, "relu"), Dense(256, 10)], "numpy")
    save_state_dict(path, net)
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in load_file(path).items()}
    assert found == {
        "0.weight": (np.float32, (256, 784)),
        "0.bias": (np.float32, (256,)),
        "2.weight": (np.float32, (10, 256)),
        "2.bias": (np.float32, (10,)),
    }


def test_every_layer_counts_as_a_module(path):
    net = Network([Dropout(), Dense(4, 6), GELU(), Dropout(), Dense(6, 5, "elu"), Softplus(), Dense(5, 3)], "numpy")
    save_state_dict(path, net)
    # Dropout, Linear, GELU, Dropout, Linear, ELU, Softplus, Linear
    assert sorted(load_file(path)) == ["1.bias", "1.weight", "4.bias", "4.weight", "7.bias", "7.weight"]


@each_backend
def test_a_round_trip_through_gelu_and_dropout(backend, path):
    nets = [Network([Dense(4, 6), GELU(), Dropout(), Dense(6, 3)], backend, seed=seed) for seed in (1, 2)]
    save_state_dict(path, nets[0])
    assert sorted(load_file(path)) == ["0.bias", "0.weight", "3.bias", "3.weight"]
    load_state_dict(path, nets[1])
    assert bytes_of(nets[1]) == bytes_of(nets[0])


@each_dtype
def test_values_are_transposed_and_contiguous(dtype, path):
    net = Network(layers(), "numpy", dtype, seed=1)
    save_state_dict(str(path), net)
    tensors = load_file(path)
    assert sorted(tensors) == sorted(NAMES)
    for position, layer in zip((0, 3, 5, 7), (net.layers[i] for i in (0, 2, 4, 5)), strict=True):
        assert np.array_equal(tensors[f"{position}.weight"], layer.weights.T)
        assert tensors[f"{position}.weight"].dtype == dtype
        if layer.bias is not None:
            assert np.array_equal(tensors[f"{position}.bias"], layer.bias)


def test_the_metadata_are_pytorchs(path):
    save_state_dict(path, small_network())
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}


@each_dtype
@each_backend
def test_a_round_trip(backend, dtype, path):
    net, other = Network(layers(), backend, dtype, seed=1), Network(layers(), backend, dtype, seed=2)
    net.layers[0].bias[...] = [1, 2, 3, 4, 5, 6]
    save_state_dict(path, net)
    arrays = dict(other.parameters)
    load_state_dict(path, other)
    assert bytes_of(other) == bytes_of(net)
    assert all(array is other.parameters[name] for name, array in arrays.items())
    X = samples(6, dtype=dtype)[0]
    assert np.array_equal(other.predict_proba(X), net.predict_proba(X))


def a_state_dict(seed=5):
    """Return tensors as PyTorch saves them for 4 -> 5 relu -> 3 with a bias in the first layer alone."""
    rng = np.random.default_rng(seed)
    return {
        "0.weight": rng.standard_normal((5, 4), np.float32),
        "0.bias": rng.standard_normal(5, np.float32),
        "2.weight": rng.standard_normal((3, 5), np.float32),
    }


def renamed(tensors, numbers):
    return {f"{numbers[name.split('.')[0]]}.{name.split('.')[1]}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("numbers", [(0, 2), (0, 1), (1, 3), (2, 10), (7, 123456789)])
def test_the_numbers_may_be_others_in_the_same_order(numbers, path):
    net, tensors = small_network(dtype="float32"), a_state_dict()
    save_file(renamed(tensors, dict(zip("02", numbers, strict=True))), path, {"format": "pt"})
    load_state_dict(path, net)
    assert np.array_equal(net.layers[0].weights, tensors["0.weight"].T)
    assert np.array_equal(net.layers[0].bias, tensors["0.bias"])
    assert np.array_equal(net.layers[1].weights, tensors["2.weight"].T)


def test_equal_networks_make_equal_files(path):
    save_state_dict(path, small_network())
    first = path.read_bytes()
    save_state_dict(path, small_network())
    assert path.read_bytes() == first


def refused(path, net=None, error=ValueError):
    """Return the message with which the file is refused; the network stays as it was."""
    net = net or small_network(dtype="float32")
    before = bytes_of(net)
    with pytest.raises(error, match=re.escape(str(path))) as caught:
        load_state_dict(path, net)
    assert bytes_of(net) == before
    return str(caught.value)


GOOD = a_state_dict()
WRONG_NAMES = {
    "no tensors": {},
    "a missing bias": {name: GOOD[name] for name in ("0.weight", "2.weight")},
    "a missing layer": {name: GOOD[name] for name in ("0.weight", "0.bias")},
    "a bias too many": GOOD | {"2.bias": np.ones(3, np.float32)},
    "a layer too many": GOOD | {"4.weight": np.ones((3, 3), np.float32)},
    "the bias of the other layer": {
        "0.weight": GOOD["0.weight"], "2.bias": GOOD["0.bias"], "2.weight": GOOD["2.weight"]
    },
    "names of a module's own": {f"layers.{name}": tensor for name, tensor in GOOD.items()},
    "one more name": GOOD | {"scale": np.ones(1, np.float32)},
    "a number in words": {"zero.weight": GOOD["0.weight"], "0.bias": GOOD["0.bias"], "2.weight": GOOD["2.weight"]},
    "a number written twice": GOOD | {"00.weight": GOOD["0.weight"]},
    "digits of another script": {name.replace("2", "٢"): tensor for name, tensor in GOOD.items()},
    "a number of many digits": {name.replace("2", "2" * 5000): tensor for name, tensor in GOOD.items()},
    "fastfnn's own names": {"0.weights": GOOD["0.weight"], "0.bias": GOOD["0.bias"], "1.weights": GOOD["2.weight"]},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_names_that_do_not_fit(name, path):
    save_file(WRONG_NAMES[name], path)
    message = refused(path)
    assert "expected ['0.bias', '0.weight', '2.weight'], or other numbers in the same order; got [" in message
    assert "rename the tensors" in message


WRONG_FORMS = {
    "transposed": (GOOD | {"0.weight": np.ones((4, 5), np.float32)}, "0.weight", "F32 (5, 4); got F32 (4, 5)"),
    "broadcastable": (GOOD | {"0.weight": np.ones((1, 4), np.float32)}, "0.weight", "F32 (5, 4); got F32 (1, 4)"),
    "flat": (GOOD | {"2.weight": np.ones(15, np.float32)}, "2.weight", "F32 (3, 5); got F32 (15,)"),
    "a bias of one": (GOOD | {"0.bias": np.ones(1, np.float32)}, "0.bias", "F32 (5,); got F32 (1,)"),
    "a bias of none": (GOOD | {"0.bias": np.float32(1)}, "0.bias", "F32 (5,); got F32 ()"),
    "float64": (GOOD | {"2.weight": np.ones((3, 5))}, "2.weight", "F32 (3, 5); got F64 (3, 5)"),
    "float16": (GOOD | {"0.bias": np.ones(5, np.float16)}, "0.bias", "F32 (5,); got F16 (5,)"),
    "int32": (GOOD | {"0.bias": np.ones(5, np.int32)}, "0.bias", "F32 (5,); got I32 (5,)"),
}


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_shapes_and_dtypes_that_do_not_fit(name, path):
    tensors, which, forms = WRONG_FORMS[name]
    save_file({name: np.asarray(tensor) for name, tensor in tensors.items()}, path)
    assert refused(path).endswith(
        f"{which} should be {forms}: convert the state_dict, or build the network with its dtype and widths"
    )


def test_a_name_in_a_message_is_the_files(path):
    save_file(renamed(GOOD | {"2.weight": np.ones((3, 9), np.float32)}, {"0": 1, "2": 8}), path)
    assert "8.weight should be F32 (3, 5); got F32 (3, 9)" in refused(path)
    save_file(renamed(GOOD | {"2.weight": np.full((3, 5), np.nan, np.float32)}, {"0": 1, "2": 8}), path)
    assert "8.weight holds NaN or inf" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", GOOD)
def test_nan_and_inf(name, value, path):
    tensors = {each: tensor.copy() for each, tensor in GOOD.items()}
    tensors[name].flat[-1] = value
    save_file(tensors, path)
    assert f"{name} holds NaN or inf" in refused(path)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_types_that_numpy_has_not(kind, path):
    size = 2 if kind == "BF16" else 1
    tensors = {"0.bias": (3,), "0.weight": (3, 2)}
    header, end = {}, 0
    for name, shape in tensors.items():
        start, end = end, end + size * int(np.prod(shape))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"\0" * end)
    assert f"0.weight should be F32 (3, 2); got {kind} (3, 2)" in refused(path, Network([Dense(2, 3)], "numpy"))


def test_truncation_at_any_byte(path):
    net = Network([Dense(2, 3)], "numpy")
    save_state_dict(path, net)
    content = path.read_bytes()
    for length in truncations(path):
        assert "truncated" in refused(path, net), length
    path.write_bytes(content + b"\0")
    refused(path, net)


def test_a_flipped_bit_in_the_header_gives_the_same_tensors_or_none(path):
    net = Network([Dense(1, 2, use_bias=False)], "numpy")
    save_state_dict(path, net)
    length = 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]
    before = bytes_of(net)
    for position in flipped_bits(path):
        if position == length:
            break
        with contextlib.suppress(ValueError):
            load_state_dict(path, net)
        assert bytes_of(net) == before


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\3\4", b"\x80\2}q\0."])
def test_other_files_are_refused(content, path):
    path.write_bytes(content)
    assert "is no readable model file" in refused(path)


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "absent.safetensors", error=FileNotFoundError)
    refused(tmp_path, error=FileNotFoundError)


def test_a_layer_that_has_no_names(path):
    class Scale(Doubling):
        @property
        def parameters(self):
            return {"weights": np.ones(1, np.float32)}

    for use in (save_state_dict, load_state_dict):
        with pytest.raises(ValueError, match=r"Dense layers only; got Doubling\(\) as layer 1"):
            use(path, Network([Dense(4, 3), Scale()], "numpy"))
    net = Network([Doubling(), Dense(4, 3), ReLU(), Sigmoid()], "numpy")
    save_state_dict(path, net)
    assert sorted(load_file(path)) == ["1.bias", "1.weight"]


def test_a_diverged_network_is_not_saved_over_a_good_one(path):
    net = small_network()
    save_state_dict(path, net)
    old = path.read_bytes()
    net.layers[0].weights[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"0\.weights holds NaN or inf"):
        save_state_dict(path, net)
    assert path.read_bytes() == old


def test_an_interrupted_save_leaves_the_old_file_alone(path, monkeypatch):
    net = small_network()
    save_state_dict(path, net)
    old = path.read_bytes()
    net.layers[0].weights[...] = 7

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_state_dict(path, net)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == old
