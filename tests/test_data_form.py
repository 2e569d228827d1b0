"""The form of a training's data, and its way through files, copies and checkpoints."""

import copy
import json
import pickle

import numpy as np
import onnx
import pytest
from networks import small_network

from fastfnn import SGD, Adam, Dense, History, Network
from fastfnn.checkpoints import load_checkpoint, save_checkpoint
from fastfnn.data_form import DataForm, from_entry, to_entry
from fastfnn.files.container import read_model, write_model

NAMES = ("a", "b ", "größe", 'quoted "c"')
FORMS = [DataForm(NAMES, True), DataForm(NAMES, False), DataForm(None, True), DataForm(None, False)]


def network_of(form):
    network = small_network()
    network.data_form = form
    return network


@pytest.mark.parametrize("form", [None, *FORMS])
def test_the_model_file_keeps_it(form, tmp_path):
    network_of(form).save(tmp_path / "model")
    assert Network.load(tmp_path / "model", "numpy").data_form == form


def test_without_a_form_the_model_file_is_as_before(tmp_path):
    small_network().save(tmp_path / "model")
    assert "data_form" not in read_model(tmp_path / "model")[0]


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_keep_it(twin):
    assert twin(network_of(FORMS[0])).data_form == FORMS[0]
    assert twin(small_network()).data_form is None


def test_onnx_metadata_hold_it(tmp_path):
    def metadata(form):
        network_of(form).to_onnx(tmp_path / "model.onnx")
        return {prop.key: prop.value for prop in onnx.load(tmp_path / "model.onnx").metadata_props}

    assert from_entry(json.loads(metadata(FORMS[0])["data_form"]), 4) == FORMS[0]
    assert "data_form" not in metadata(None)


@pytest.mark.parametrize(
    "entry",
    [
        3,
        [],
        "a",
        {},
        {"columns": None},
        {"columns": None, "is_bytes": 1},
        {"columns": None, "is_bytes": None},
        {"columns": None, "is_bytes": True, "more": 0},
        {"columns": "abcd", "is_bytes": True},
        {"columns": {"a": 1}, "is_bytes": True},
        {"columns": [], "is_bytes": True},
        {"columns": ["a", "b", "c"], "is_bytes": True},
        {"columns": ["a", "b", "c", 4], "is_bytes": True},
        {"columns": ["a", "b", "c", ["d"]], "is_bytes": True},
        {"columns": ["a", "b", "c", ""], "is_bytes": True},
        {"columns": ["a", "b", "c", "a"], "is_bytes": True},
    ],
)
def test_entries_that_are_refused(entry, tmp_path):
    network_of(FORMS[0]).save(tmp_path / "model")
    architecture, tensors = read_model(tmp_path / "model")
    write_model(tmp_path / "model", architecture | {"data_form": entry}, tensors)
    with pytest.raises(ValueError, match=r"model describes no network that this version can build: .*(must|form)"):
        Network.load(tmp_path / "model", "numpy")


def test_an_entry_is_json():
    for form in FORMS:
        assert from_entry(json.loads(json.dumps(to_entry(form))), 4) == form


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_whole_numbers_become_bytes_again(dtype, order):
    X = np.arange(256).reshape(64, 4).astype(dtype, order)
    numbers = FORMS[0].numbers(X, "X")
    np.testing.assert_array_equal(numbers, np.arange(256).reshape(64, 4).astype(np.uint8), strict=True)
    assert FORMS[0].numbers(numbers, "X") is numbers


@pytest.mark.parametrize("wrong", [0.5, -1, 256, 255.00002, 1e30, -1e30, 60.25])
def test_other_numbers_are_no_bytes(wrong):
    X = np.ones((5, 4), np.float32)
    X[3, 2] = wrong
    with pytest.raises(ValueError, match=r"a\.csv: .* trained on whole numbers.* in sample 4, column 3: "):
        FORMS[2].numbers(X, "a.csv")
    with pytest.raises(ValueError, match=r"in sample 4, column 'größe': convert them to such numbers, or train"):
        FORMS[0].numbers(X, "a.csv")


def test_bytes_become_floats_for_a_training_on_floats():
    numbers = FORMS[1].numbers(np.arange(4, dtype=np.uint8).reshape(1, 4), "X")
    np.testing.assert_array_equal(numbers, np.array([[0, 1, 2, 3]], np.float32), strict=True)
    floats = np.ones((1, 4))
    assert FORMS[3].numbers(floats, "X") is floats


@pytest.mark.parametrize(("kept", "given"), [(FORMS[0], FORMS[0]), (FORMS[0], None), (None, FORMS[3]), (None, None)])
def test_checkpoints_bring_it_back(kept, given, tmp_path):
    save_checkpoint(tmp_path / "c", network_of(kept), Adam(), History())
    network = network_of(given)
    load_checkpoint(tmp_path / "c", network, Adam())
    assert network.data_form == (kept or given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (FORMS[1], "c is of a training on bytes; got other numbers than bytes: resume it with the same data"),
        (DataForm(NAMES[::-1], True), "on other columns, or on the same in another order"),
        (FORMS[2], "on other columns"),
    ],
)
def test_a_training_goes_on_with_the_same_data_only(given, message, tmp_path):
    save_checkpoint(tmp_path / "c", network_of(FORMS[0]), Adam(), History())
    network = network_of(given)
    network.layers[0].weights[...] = 7
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "c", network, Adam())
    assert (network.layers[0].weights == 7).all()
    assert network.data_form == given


def test_a_network_trained_on_other_numbers_has_no_form_of_files():
    net = Network([Dense(3, 2)], backend="numpy", seed=1)
    X, y = np.arange(12, dtype=np.uint8).reshape(4, 3), np.array([0, 1, 0, 1])
    form = DataForm(("a", "b", "c"), is_bytes=True)
    net.data_form = form
    net.fit(X, y, SGD(0.1))
    assert net.data_form == form
    net.fit(X.astype(np.float32), y, SGD(0.1))
    assert net.data_form is None
    net.data_form = form
    net.reset(seed=2)
    assert net.data_form is None
