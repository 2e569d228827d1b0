"""Bad input is refused before anything is computed, with the same words on both backends."""

import pickle
import re

import numpy as np
import pytest
from networks import bytes_of, each_backend, samples, small_network
from scipy import sparse

import fastfnn
from fastfnn import SGD, Dense, Network, ReLU

GOOD_X, GOOD_Y = samples(6)


def with_value(value, row, column, n_rows=6):
    X = samples(n_rows)[0]
    X[row, column] = value
    return X


def labels_with(label):
    y = GOOD_Y.copy()
    y[4] = label
    return y


BAD_X = {
    "one dimension": (GOOD_X[0], ValueError, r"shape \(n_samples, n_inputs\); got \(4,\): reshape it"),
    "three dimensions": (GOOD_X[None], ValueError, r"shape \(n_samples, n_inputs\); got \(1, 6, 4\)"),
    "no dimension": (np.float64(1)[...], ValueError, r"shape \(n_samples, n_inputs\); got \(\)"),
    "too few columns": (GOOD_X[:, :3], ValueError, r"must have 4 columns, the network's inputs; got shape \(6, 3\)"),
    "transposed": (np.ones((4, 6)), ValueError, r"must have 4 columns, the network's inputs; got shape \(4, 6\)"),
    "a list of one row": (GOOD_X[0].tolist(), ValueError, r"shape \(n_samples, n_inputs\); got \(4,\): reshape it"),
    "rows of different lengths": (
        [[1, 2, 3, 4], [5, 6]],
        TypeError,
        "must be an array of numbers; got list: .*inhomog",
    ),
    "None": (None, TypeError, "must hold real numbers; got NoneType: pass an array, lists of numbers, a DataFrame"),
    "a generator": ((row for row in GOOD_X), TypeError, "must hold real numbers; got generator: pass an array"),
    "objects": (
        GOOD_X.astype(object),
        TypeError,
        r"must hold real numbers; got objects: convert it with astype\(float",
    ),
    "None among numbers": (
        [[1, 2, 3, None]] * 6,
        TypeError,
        "got objects such as None: fill gaps and convert it with",
    ),
    "complex": (GOOD_X + 0j, TypeError, "got complex128: pass real and imaginary parts as separate numbers"),
    "strings": (
        GOOD_X.astype(str),
        TypeError,
        "got text: encode .* features with its OneHotEncoder, or convert numer",
    ),
    "strings as objects": (GOOD_X.astype(str).astype(object), TypeError, "must hold real numbers; got text: encode"),
    "bytes": (GOOD_X.astype("S9"), TypeError, "must hold real numbers; got text: encode labels with scikit-learn"),
    "dates": (
        np.zeros((6, 4), "M8[D]"),
        TypeError,
        r"got datetime64\[D\]: convert dates to numbers, such as days since",
    ),
    "durations": (np.zeros((6, 4), "m8[s]"), TypeError, r"got timedelta64\[s\]: divide durations by a unit"),
    "fields": (np.zeros(6, "f4,f4,f4,i4"), TypeError, "pass its fields as columns of one number type"),
    "masked": (
        np.ma.masked_invalid(GOOD_X),
        TypeError,
        r"is a masked array: fill its gaps with filled\(value\), or leave",
    ),
    "masked rows": ([np.ma.masked_invalid(row) for row in GOOD_X], TypeError, "is a masked array: fill its gaps"),
}

BAD_SAMPLES = {
    "NaN": (with_value(np.nan, 4, 2), GOOD_Y, ValueError, "must be finite; got nan in row 4, column 2"),
    "inf": (with_value(np.inf, 0, 3), GOOD_Y, ValueError, "must be finite; got inf in row 0, column 3"),
    "-inf": (with_value(-np.inf, 5, 0), GOOD_Y, ValueError, "must be finite; got -inf in row 5, column 0"),
    "NaN in float32": (
        with_value(np.nan, 4, 2).astype(np.float32), GOOD_Y, ValueError, "must be finite; got nan in row 4, column 2",
    ),
    "NaN behind a row block": (
        with_value(np.nan, 2405, 1, 2406), samples(2406)[1], ValueError, "got nan in row 2405, column 1",
    ),
    "NaN between columns": (
        np.repeat(with_value(np.nan, 4, 2), 2, axis=1)[:, ::2], GOOD_Y, ValueError, "got nan in row 4, column 2",
    ),
    "no rows": (np.empty((0, 4)), np.empty(0, int), ValueError, "has no rows: there is nothing to learn from"),
}  # fmt: skip

BAD_Y = {
    "label too large": (labels_with(3), ValueError, r"from 0 to 2, the network's outputs; got 3 in row 4"),
    "label too small": (labels_with(-1), ValueError, r"from 0 to 2, the network's outputs; got -1 in row 4"),
    "label above int64": (labels_with(0).astype(np.uint64) + np.uint64(2**63), ValueError, "from 0 to 2"),
    "float labels": (
        GOOD_Y.astype(float),
        TypeError,
        r"integer labels; got float64: convert them with astype\(numpy",
    ),
    "object labels": (
        GOOD_Y.astype(object),
        TypeError,
        "must hold real numbers; got objects: convert it with astype",
    ),
    "string labels": (GOOD_Y.astype(str), TypeError, "got text: encode labels with scikit-learn's LabelEncoder"),
    "a list of strings": (["cat"] * 6, TypeError, "got text: encode labels with scikit-learn's LabelEncoder"),
    "complex labels": (GOOD_Y + 0j, TypeError, "got complex128: pass real and imaginary parts"),
    "masked labels": (np.ma.array(GOOD_Y), TypeError, r"is a masked array: fill its gaps with filled"),
    "sparse labels": (
        sparse.coo_array(GOOD_Y),
        TypeError,
        r"must be dense; got coo_array: convert it with toarray\(\)",
    ),
    "None": (None, TypeError, "must hold real numbers; got NoneType: pass an array"),
    "too few labels": (GOOD_Y[:5], ValueError, r"shape \(6,\), one label a sample; got \(5,\)"),
    "too many labels": (np.zeros(7, int), ValueError, r"shape \(6,\), one label a sample; got \(7,\)"),
    "a row of labels": (GOOD_Y[None], ValueError, r"shape \(6,\), one label a sample; got \(1, 6\)"),
    "one-hot labels": (np.eye(3, dtype=int)[GOOD_Y], ValueError, r"shape \(6,\), one label a sample; got \(6, 3\)"),
    "one label": (1, ValueError, r"shape \(6,\), one label a sample; got \(\)"),
}

PAIRS = {f"X: {name}": (X, GOOD_Y, *rest) for name, (X, *rest) in BAD_X.items()}
PAIRS |= {f"samples: {name}": case for name, case in BAD_SAMPLES.items()}
PAIRS |= {f"y: {name}": (GOOD_X, y, *rest) for name, (y, *rest) in BAD_Y.items()}

FIT_ARGUMENTS = {
    "no epochs": ({"epochs": 0}, ValueError, "epochs must be a whole number from 1 up; got 0"),
    "negative epochs": ({"epochs": -1}, ValueError, "epochs must be a whole number from 1 up; got -1"),
    "fractional epochs": ({"epochs": 2.0}, ValueError, "epochs must be a whole number from 1 up; got 2.0"),
    "epochs True": ({"epochs": True}, ValueError, "epochs must be a whole number from 1 up; got True"),
    "epochs None": ({"epochs": None}, ValueError, "epochs must be a whole number from 1 up; got None"),
    "empty batches": ({"batch_size": 0}, ValueError, "batch_size must be a whole number from 1 up; got 0"),
    "negative batches": ({"batch_size": -3}, ValueError, "batch_size must be a whole number from 1 up; got -3"),
    "fractional batches": ({"batch_size": 2.5}, ValueError, "batch_size must be a whole number from 1 up; got 2.5"),
    "batches in words": ({"batch_size": "all"}, ValueError, "batch_size must be a whole number from 1 up; got 'all'"),
    "negative l2": ({"l2": -1e-9}, ValueError, "l2 must be a finite number from 0 up; got -1e-09"),
    "l2 NaN": ({"l2": np.nan}, ValueError, "l2 must be a finite number from 0 up; got nan"),
    "another format": (
        {"input_format": "packed"}, ValueError, "input_format must be one of auto, dense, sparse; got 'packed'",
    ),
    "no format": ({"input_format": None}, ValueError, "input_format must be one of auto, dense, sparse; got None"),
    "l2 inf": ({"l2": np.inf}, ValueError, "l2 must be a finite number from 0 up; got inf"),
}  # fmt: skip


def trained(backend):
    """Return a network and an optimizer that are both in the middle of a training."""
    net, optimizer = small_network(backend), fastfnn.Adam(0.01)
    net.fit(GOOD_X, GOOD_Y, optimizer)
    return net, optimizer


def assert_refused(call, error, message):
    """Check that call(net, optimizer) is refused alike on both backends, and leaves everything as it was."""
    messages = []
    for backend in ("numba", "numpy"):
        net, optimizer = trained(backend)
        before = bytes_of(net), pickle.dumps(optimizer), [layer.gradient for layer in net.layers]
        with pytest.raises(error, match=message) as caught:
            call(net, optimizer)
        assert type(caught.value) is error
        assert bytes_of(net) == before[0]
        assert pickle.dumps(optimizer) == before[1]
        assert all(layer.gradient is old for layer, old in zip(net.layers, before[2], strict=True))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]


@pytest.mark.parametrize("name", PAIRS)
def test_fit_refuses(name):
    X, y, error, message = PAIRS[name]
    assert_refused(lambda net, optimizer: net.fit(X, y, optimizer), error, message)


@pytest.mark.parametrize("name", PAIRS)
def test_fit_in_batches_refuses(name):
    X, y, error, message = PAIRS[name]
    assert_refused(lambda net, optimizer: net.fit(X, y, optimizer, batch_size=2), error, message)


@pytest.mark.parametrize("name", PAIRS)
def test_fit_refuses_as_validation_data(name):
    X, y, error, message = PAIRS[name]
    assert_refused(lambda net, optimizer: net.fit(GOOD_X, GOOD_Y, optimizer, validation_data=(X, y)), error, message)


@pytest.mark.parametrize("name", PAIRS)
def test_errors_in_validation_data_say_so(name):
    X, y, error, _ = PAIRS[name]
    with pytest.raises(error, match="validation"):
        small_network().fit(GOOD_X, GOOD_Y, SGD(0.1), validation_data=(X, y))


@pytest.mark.parametrize("name", PAIRS)
def test_loss_and_gradients_refuse(name):
    X, y, error, message = PAIRS[name]
    assert_refused(lambda net, optimizer: net.loss_and_gradients(X, y), error, message)


@pytest.mark.parametrize("name", PAIRS)
def test_evaluate_refuses(name):
    X, y, error, message = PAIRS[name]
    assert_refused(lambda net, optimizer: net.evaluate(X, y), error, message)


@pytest.mark.parametrize("name", BAD_X)
def test_predictions_refuse(name):
    X, error, message = BAD_X[name]
    assert_refused(lambda net, optimizer: net.predict(X), error, message)
    assert_refused(lambda net, optimizer: net.predict_proba(X), error, message)


@pytest.mark.parametrize("name", [name for name in BAD_SAMPLES if name != "no rows"])
def test_predictions_refuse_what_is_not_finite(name):
    X, _, error, message = BAD_SAMPLES[name]
    assert_refused(lambda net, optimizer: net.predict(X), error, message)
    assert_refused(lambda net, optimizer: net.predict_proba(X), error, message)


@pytest.mark.parametrize("name", FIT_ARGUMENTS)
def test_fit_refuses_the_argument(name):
    arguments, error, message = FIT_ARGUMENTS[name]
    assert_refused(lambda net, optimizer: net.fit(GOOD_X, GOOD_Y, optimizer, **arguments), error, re.escape(message))


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.predict(GOOD_X, input_format="packed"),
        lambda net: net.predict_proba(GOOD_X, input_format="packed"),
        lambda net: net.evaluate(GOOD_X, GOOD_Y, input_format="packed"),
        lambda net: net.loss_and_gradients(GOOD_X, GOOD_Y, input_format="packed"),
    ],
)
def test_another_input_format_is_refused(call):
    message = "input_format must be one of auto, dense, sparse; got 'packed'"
    assert_refused(lambda net, _: call(net), ValueError, message)


@pytest.mark.parametrize("l2", [-1.0, np.nan, np.inf])
def test_loss_and_gradients_refuse_the_penalty(l2):
    message = f"l2 must be a finite number from 0 up; got {l2}"
    assert_refused(lambda net, optimizer: net.loss_and_gradients(GOOD_X, GOOD_Y, l2), ValueError, message)


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_values_beyond_the_range_of_the_network_are_refused(density):
    X = np.eye(6, 4) if density < 1 else np.ones((6, 4))
    X[3, 1] = 1e300
    for backend in ("numba", "numpy"):
        net = small_network(backend, "float32")
        before = bytes_of(net)
        for call, arguments in ((net.fit, (GOOD_Y, SGD(0.1))), (net.predict, ()), (net.predict_proba, ())):
            with pytest.raises(ValueError, match="1e\\+300 in row 3, column 1, which float32 cannot hold"):
                call(X, *arguments)
        assert bytes_of(net) == before


@pytest.mark.parametrize("data", [(GOOD_X,), (GOOD_X, GOOD_Y, GOOD_Y), GOOD_X, GOOD_X[:2], 5])
def test_validation_data_that_is_no_pair_is_named(data):
    assert_refused(
        lambda net, optimizer: net.fit(GOOD_X, GOOD_Y, optimizer, validation_data=data),
        TypeError,
        "validation_data",
    )


@pytest.mark.parametrize("optimizer", ["sgd", None, SGD])
def test_an_optimizer_that_is_none_is_refused(optimizer):
    assert_refused(lambda net, _: net.fit(GOOD_X, GOOD_Y, optimizer), TypeError, "optimizer must be")


def test_a_callback_that_cannot_be_called_is_refused_before_training():
    assert_refused(
        lambda net, optimizer: net.fit(GOOD_X, GOOD_Y, optimizer, callbacks=[print, "log"]), TypeError, "callback"
    )


OPTIMIZERS = [
    lambda: SGD(0.1, momentum=0.5),
    lambda: fastfnn.RMSprop(0.1),
    lambda: fastfnn.RMSprop(0.1, granularity="tensor"),
    lambda: fastfnn.Adam(0.1),
    lambda: fastfnn.AdamW(0.1),
]


@each_backend
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_an_optimizer_of_another_network_is_refused(backend, make):
    optimizer = make()
    Network([Dense(4, 2), Dense(2, 3)], backend).fit(GOOD_X, GOOD_Y, optimizer)
    net = small_network(backend)
    before, state = bytes_of(net), pickle.dumps(optimizer)
    with pytest.raises(ValueError, match=r"of 1 steps of another network: make a new one, or call reset\(\)"):
        net.fit(GOOD_X, GOOD_Y, optimizer)
    assert bytes_of(net) == before
    assert pickle.dumps(optimizer) == state


@each_backend
@pytest.mark.parametrize("make", [make for index, make in enumerate(OPTIMIZERS) if index != 2])
def test_an_optimizer_of_another_dtype_is_refused_and_unchanged(backend, make):
    optimizer = make()
    small_network(backend, "float32").fit(GOOD_X, GOOD_Y, optimizer)
    optimizer = pickle.loads(pickle.dumps(optimizer))  # a copy belongs to no network yet
    net = small_network(backend, "float64")
    before, state = bytes_of(net), pickle.dumps(optimizer)
    with pytest.raises((TypeError, ValueError), match="float"):
        net.fit(GOOD_X, GOOD_Y, optimizer)
    assert bytes_of(net) == before
    assert pickle.dumps(optimizer) == state


NETWORKS = {
    "no layers": (list, {}, ValueError, "at least one Dense layer"),
    "no Dense layer": (lambda: [ReLU(), ReLU()], {}, ValueError, "at least one Dense layer"),
    "one layer twice": (lambda: [Dense(4, 4)] * 2, {}, ValueError, "a layer stands twice in the network"),
    "widths": (lambda: [Dense(4, 5), Dense(6, 3)], {}, ValueError, r"Dense\(6, 3\) cannot follow a layer of 5 out"),
    "widths around an activation": (
        lambda: [Dense(4, 5), ReLU(), Dense(6, 3)], {}, ValueError, r"Dense\(6, 3\) cannot follow a layer of 5 out",
    ),
    "dtype float16": (lambda: [Dense(4, 3)], {"dtype": "float16"}, ValueError, "float32 or float64; got float16"),
    "dtype int": (lambda: [Dense(4, 3)], {"dtype": int}, ValueError, "float32 or float64; got int64"),
    "dtype of foreign bytes": (lambda: [Dense(4, 3)], {"dtype": ">f4"}, ValueError, "float32 or float64; got >f4"),
    "dtype unknown": (lambda: [Dense(4, 3)], {"dtype": "float31"}, (TypeError, ValueError), "float31"),
    "scale 0": (lambda: [Dense(4, 3)], {"input_scale": 0}, ValueError, "input_scale must be a finite number other"),
    "scale NaN": (lambda: [Dense(4, 3)], {"input_scale": np.nan}, ValueError, "input_scale must be a finite number"),
    "scale beyond float32": (lambda: [Dense(4, 3)], {"input_scale": 1e300}, ValueError, "input_scale"),
    "not a layer": (lambda: [Dense(4, 3), "relu"], {}, TypeError, "[Ll]ayer"),
    "a layer class": (lambda: [Dense(4, 3), ReLU], {}, TypeError, "[Ll]ayer"),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_cannot_be_are_refused_alike(name):
    layers, arguments, error, message = NETWORKS[name]
    messages = []
    for backend in ("numba", "numpy"):
        with pytest.raises(error, match=message) as caught:
            Network(layers(), backend, **arguments)
        messages.append(f"{type(caught.value)} {caught.value}")
    assert messages[0] == messages[1]


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend must be one of numba, numpy; got 'torch'"):
        Network([Dense(4, 3)], backend="torch")


@each_backend
def test_a_layer_of_another_network_is_refused(backend):
    net = small_network(backend)
    before = bytes_of(net)
    with pytest.raises(ValueError, match="this Dense belongs to a network already: make a new one"):
        Network(net.layers, backend)
    assert bytes_of(net) == before


FAILURES = {
    "a used layer": lambda fresh: Network([fresh, *Network([Dense(3, 3)], "numpy").layers], "numpy"),
    "an initializer": lambda fresh: Network(
        [fresh, Dense(3, 3, initializer=lambda *_: np.ones(2))], "numpy"
    ),
    "an initializer that fails": lambda fresh: Network(
        [fresh, Dense(3, 3, initializer=lambda *_: np.ones(int("x")))], "numpy"
    ),
    "a dtype": lambda fresh: Network([fresh], "numpy", "float16"),
    "a width": lambda fresh: Network([fresh, Dense(9, 3)], "numpy"),
    "a seed": lambda fresh: Network([fresh], "numpy", seed=-1),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_network_that_could_not_be_built_leaves_its_layers_free(name):
    fresh = Dense(4, 3)
    with pytest.raises(ValueError, match=r".+"):
        FAILURES[name](fresh)
    assert Network([fresh], "numpy").n_outputs == 3
