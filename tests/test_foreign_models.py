"""Model files of other programs, with a right digest: a network, or one sentence."""

import json

import numpy as np
import pytest
from networks import refused_model, small_network
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastfnn
from fastfnn import Network
from fastfnn.files.container import FORMAT, digest_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def loaded_or_refused(path):
    try:
        return Network.load(path, "numpy"), None
    except ValueError as error:
        return None, error


def model_file(path, architecture, tensors):
    if isinstance(architecture, dict):
        architecture = {"format": FORMAT, **architecture}
        architecture["sha256"] = digest_of(architecture, tensors)
    if not isinstance(architecture, str):
        architecture = json.dumps(architecture)
    save_file(tensors, path, {"fastfnn": architecture})


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


DENSE = {
    "type": "Dense", "n_inputs": 2, "n_outputs": 3, "activation": "relu", "use_bias": True,
    "learning_rate_factor": 1.0,
}  # fmt: skip
SOFTMAX = {"type": "SoftmaxCrossEntropy", "label_smoothing": 0.1, "class_weight": [1, 2, 3.5]}
GOOD = {"dtype": "float32", "input_scale": 1.0, "loss": SOFTMAX, "layers": [DENSE, {"type": "Dropout", "rate": 0.5}]}
TENSORS = {"0.weights": np.ones((2, 3), np.float32), "0.bias": np.ones(3, np.float32)}


def test_the_handmade_file_is_good(path):
    model_file(path, GOOD, TENSORS)
    net = Network.load(path, "numpy")
    assert net.layers[0].weights.tolist() == [[1] * 3] * 2
    assert net.architecture == GOOD


def test_a_file_that_is_older_than_losses(path):
    model_file(path, without(GOOD, "loss"), TENSORS)
    assert repr(Network.load(path, "numpy").loss) == repr(fastfnn.losses.SoftmaxCrossEntropy())


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
    message = refused_model(path)
    assert ("NaN or inf" if name in ("NaN", "inf") else "another architecture") in message


def nested(depth):
    return {"type": nested(depth - 1)} if depth else {}


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
    "no dtype": without(GOOD, "dtype"),
    "no scale": without(GOOD, "input_scale"),
    "an unknown field": GOOD | {"columns": ["a", "b"]},
    "a kind that is none": GOOD | {"kind": "model"},
    "layers an object": GOOD | {"layers": {"0": DENSE}},
    "a layer that is null": GOOD | {"layers": [None]},
    "a layer whose type is null": GOOD | {"layers": [DENSE | {"type": None}]},
    "a layer whose type is a list": GOOD | {"layers": [DENSE | {"type": ["Dense"]}]},
    "a layer whose type is an object": GOOD | {"layers": [DENSE | {"type": {}}]},
    **{f"a layer without {name}": GOOD | {"layers": [without(DENSE, name)]} for name in DENSE},
    "an activation that is a list": GOOD | {"layers": [DENSE | {"activation": ["relu"]}]},
    "an activation that is null": GOOD | {"layers": [DENSE | {"activation": None}]},
    "a bias in words": GOOD | {"layers": [DENSE | {"use_bias": "yes"}]},
    "a bias of one": GOOD | {"layers": [DENSE | {"use_bias": 1}]},
    "a width that is true": GOOD | {"layers": [DENSE | {"n_inputs": True}]},
    "a width of a float": GOOD | {"layers": [DENSE | {"n_inputs": 2.0}]},
    "a width of an object": GOOD | {"layers": [DENSE | {"n_inputs": {}}]},
    "a negative factor": GOOD | {"layers": [DENSE | {"learning_rate_factor": -1}]},
    "a factor of NaN": GOOD | {"layers": [DENSE | {"learning_rate_factor": float("nan")}]},
    "a factor of inf": GOOD | {"layers": [DENSE | {"learning_rate_factor": float("inf")}]},
    "a factor beyond floats": GOOD | {"layers": [DENSE | {"learning_rate_factor": 10**400}]},
    "no rate of dropout": GOOD | {"layers": [DENSE, {"type": "Dropout"}]},
    "a rate of one": GOOD | {"layers": [DENSE, {"type": "Dropout", "rate": 1}]},
    "a rate of NaN": GOOD | {"layers": [DENSE, {"type": "Dropout", "rate": float("nan")}]},
    "a rate in words": GOOD | {"layers": [DENSE, {"type": "Dropout", "rate": "half"}]},
    "dtype of another spelling": GOOD | {"dtype": "<f4"},
    "dtype float": GOOD | {"dtype": "float"},
    "dtype true": GOOD | {"dtype": True},
    "scale NaN": GOOD | {"input_scale": float("nan")},
    "scale inf": GOOD | {"input_scale": float("-inf")},
    "scale beyond float32": GOOD | {"input_scale": 1e39},
    "scale beyond floats": GOOD | {"input_scale": 10**400},
    "scale true": GOOD | {"input_scale": True},
    "scale an object": GOOD | {"input_scale": {}},
    "loss null": GOOD | {"loss": None},
    "loss a name": GOOD | {"loss": "huber"},
    "loss of no type": GOOD | {"loss": {}},
    "loss whose type is a list": GOOD | {"loss": {"type": ["Huber"]}},
    "an unknown loss": GOOD | {"loss": {"type": "Hinge"}},
    "an abstract loss": GOOD | {"loss": {"type": "ElementwiseLoss"}},
    "a loss with an unknown argument": GOOD | {"loss": {"type": "MeanSquaredError", "delta": 1.0}},
    "no delta": GOOD | {"loss": {"type": "Huber"}},
    "a delta of zero": GOOD | {"loss": {"type": "Huber", "delta": 0}},
    "a delta of NaN": GOOD | {"loss": {"type": "Huber", "delta": float("nan")}},
    **{f"a softmax without {name}": GOOD | {"loss": without(SOFTMAX, name)} for name in SOFTMAX},
    "smoothing of one": GOOD | {"loss": SOFTMAX | {"label_smoothing": 1}},
    "smoothing in words": GOOD | {"loss": SOFTMAX | {"label_smoothing": "some"}},
    **{
        f"class weights {weights}"[:60]: GOOD | {"loss": SOFTMAX | {"class_weight": weights}}
        for weights in (
            [],
            [1, 2],
            [1, 2, 3, 4],
            [0, 0, 0],
            [1, -1, 1],
            [1, float("nan"), 1],
            [1, float("inf"), 1],
            [1, 1e39, 1],
            [1, 10**400, 1],
            [1, "2", 3],
            [1, None, 3],
            [[1], [2], [3]],
            [[1, 2], [3]],
            [1, [2], 3],
            "123",
            3,
            {"0": 1},
            [1, {}, 3],
        )
    },
    "a scale twice": '{"format": 2, "input_scale": 1.0, "input_scale": 2.0}',
    "an unfinished object": '{"format": 2,',
    "a number of many digits": '{"format": ' + "1" * 5000 + "}",
    "format true": '{"format": true}',
    "format a float": '{"format": 2.5}',
    "format a list": '{"format": [2]}',
    "format of lines": '{"format": "\\n\\n"}',
    "format of any length": '{"format": "' + "x" * 10**6 + '"}',
    "sha256 null": '{"format": 2, "sha256": null}',
    "sha256 a list": '{"format": 2, "sha256": ["x"]}',
    "no sha256": '{"format": 2}',
    "deep in a field": GOOD | {"loss": nested(200)},
    "a name of any length": GOOD | {"layers": [DENSE | {"type": "x" * 10**6}]},
    "a field of any length": GOOD | {"x" * 10**6: 1},
    "a value of any length": GOOD | {"input_scale": "x" * 10**6},
    "lines in a name": GOOD | {"layers": [DENSE | {"type": "Den\nse"}]},
    "half a character": GOOD | {"layers": [DENSE | {"type": "\ud800"}]},
    "wider than any memory": GOOD | {"layers": [DENSE | {"n_inputs": 10**15}]},
    "wider than any index": GOOD | {"layers": [DENSE | {"n_inputs": 10**30}]},
    "too deep for json": "[" * 100_000,
    "a weight of a class true": GOOD | {"loss": SOFTMAX | {"class_weight": [True, 2, 3.5]}},
    "a weight of a class false": GOOD | {"loss": SOFTMAX | {"class_weight": [1, 2, False]}},
    "a smoothing of false": GOOD | {"loss": SOFTMAX | {"label_smoothing": False}},
    "a colour of the terminal in a name": GOOD | {"layers": [DENSE | {"type": "\x1b[31m"}]},
}


@pytest.mark.parametrize("name", WRONG_ARCHITECTURES)
def test_architectures_that_cannot_be(name, path):
    model_file(path, WRONG_ARCHITECTURES[name], TENSORS)
    refused_model(path)


def test_json_of_any_depth(path):
    for depth in (*range(850, 1000), 10**4, 10**6):
        model_file(path, '{"format": 2, "sha256": "", "a": ' + "[" * depth + "]" * depth + "}", TENSORS)
        _, error = loaded_or_refused(path)
        assert "is damaged" in str(error)


def test_no_architecture_at_all(path):
    save_file(TENSORS, path, {"fastfnn": "{}"})
    assert "architecture" in refused_model(path)


def test_a_file_of_another_version(path):
    save_file(TENSORS, path, {"fastfnn": json.dumps(GOOD | {"format": 1})})
    assert "is of format 1; this version of fastfnn reads format 2" in refused_model(path)


def test_metadata_beside_the_architecture_are_refused(path):
    small_network().save(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | {"format": "pt"})
    assert "'fastfnn' alone in its metadata" in refused_model(path)


def mutated(value, rng):
    """Return a value of JSON with one of its parts exchanged."""
    others = [None, True, 0, -1, 1, 2, 3, 0.5, 1e39, 10**22, float("nan"), float("-inf"), "", "relu", "Dense", [], {}]
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        chance = rng.random()
        if chance < 0.1:
            return without(value, key)
        if chance < 0.2:
            return value | {f"{key}_": value[key]}
        return value | {key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        i = int(rng.integers(len(value)))
        return [*value[:i], *([mutated(value[i], rng)] * int(rng.integers(3))), *value[i + 1 :]]
    return others[rng.integers(len(others))]


def test_random_architectures_with_a_right_digest_are_loaded_in_full_or_refused(path):
    rng = np.random.default_rng(3)
    n_loaded = 0
    for _ in range(2000):
        architecture = mutated(GOOD, rng)
        model_file(path, architecture, TENSORS)
        net, error = loaded_or_refused(path)
        if net is None:
            assert type(error) is ValueError
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            n_loaded += 1
            assert {"loss": net.architecture["loss"], **architecture} == net.architecture
            assert np.isfinite(net.predict_proba(np.ones((2, 2)))).all()
    assert 20 < n_loaded < 1000
