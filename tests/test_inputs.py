"""Samples, labels, targets and weights in every form that users hold them in: one door for all of them."""

import array
import copy

import numpy as np
import pandas
import pytest
from fastfnn_kernels.workspace import CACHE_LINE
from networks import bytes_of, each_backend, each_dtype, samples, small_network
from scipy import sparse

import fastfnn
from fastfnn import SGD, Dense, Network
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.inputs.arrays import as_numbers
from fastfnn.inputs.samples import samples_of

WHOLE = np.random.default_rng(5).integers(0, 3, (30, 4)) * np.random.default_rng(6).integers(0, 2, (30, 4))
LABELS = np.arange(30) % 3


class OfInterface:
    """An object that describes its memory, as libraries of arrays do."""

    def __init__(self, values):
        self.__array_interface__ = values.__array_interface__
        self._kept = values


class OfMethod:
    """An object that converts itself, as tensors do."""

    def __init__(self, values):
        self._values = np.array(values)

    def __array__(self, dtype=None, copy=None):
        return self._values


def unaligned(X):
    """Store numbers behind a single byte."""
    memory = np.zeros(X.nbytes + 1, np.uint8)
    held = memory[1:].view(X.dtype).reshape(X.shape)
    held[...] = X
    assert not held.flags.aligned
    return held


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "every second column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "rows backwards": lambda X: X[::-1].copy()[::-1],
    "columns backwards": lambda X: X[:, ::-1].copy()[:, ::-1],
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "read-only": read_only,
    "unaligned": unaligned,
    "a field": lambda X: (
        np.stack([X, X]).transpose(1, 2, 0).copy().view([("a", X.dtype), ("b", X.dtype)])["a"][..., 0]
    ),
    "matrix": lambda X: X.view(np.matrix),
    "interface": OfInterface,
    "DataFrame": pandas.DataFrame,
    "tensor": OfMethod,
}
TYPES = ["bool", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "longdouble"]


def assert_same_in_every_method(held, X, backend, dtype, input_format="auto", scale=0.125):
    """Compare with plain floats of the network's dtype."""
    net, expected = (small_network(backend, dtype, input_scale=scale) for _ in range(2))
    options = {"epochs": 2, "input_format": input_format}
    for batch_size in (None, 7, 1):
        history = net.fit(held, LABELS, SGD(0.1), batch_size=batch_size, validation_data=(held, LABELS), **options)
        wanted = expected.fit(X, LABELS, SGD(0.1), batch_size=batch_size, validation_data=(X, LABELS), **options)
        assert history["loss"] == wanted["loss"]
        assert history["validation_loss"] == wanted["validation_loss"]
    assert bytes_of(net) == bytes_of(expected)
    assert net.predict_proba(held, input_format).tobytes() == expected.predict_proba(X, input_format).tobytes()
    assert np.array_equal(net.predict(held), expected.predict(X))
    assert net.evaluate(held, LABELS) == expected.evaluate(X, LABELS)
    assert net.loss_and_gradients(held, LABELS)[0] == expected.loss_and_gradients(X, LABELS)[0]


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_every_layout(backend, dtype, layout):
    X, _ = samples(30, dtype=dtype)
    assert_same_in_every_method(LAYOUTS[layout](X), X, backend, dtype)


@pytest.mark.parametrize("X", [np.ones((3, 4), "f4"), np.ones((3, 4), "f8"), np.ones((3, 4), "i4")])
def test_kernels_get_aligned_rows(X):
    held = samples_of(unaligned(X), np.dtype("f4"), 1.0, small_network().kernels)
    for rows in (slice(0, 3), np.array([2, 1])):
        assert held.dense(rows).flags.aligned
        assert held.packed(rows).values.flags.aligned


@each_backend
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("input_format", ["dense", "sparse"])
def test_bytes_of_every_layout_are_scaled(backend, layout, input_format):
    X = WHOLE.astype(np.uint8)
    if layout == "unaligned":
        return  # single bytes always are
    assert_same_in_every_method(LAYOUTS[layout](X), X, backend, "float32", input_format)
    assert_same_in_every_method(LAYOUTS[layout](X), X / np.float32(8), backend, "float32", input_format)


@each_backend
@pytest.mark.parametrize("number_type", TYPES)
@pytest.mark.parametrize("input_format", ["auto", "dense", "sparse"])
def test_numbers_of_every_type_are_converted_and_not_scaled(backend, number_type, input_format):
    X = (WHOLE > 0 if number_type == "bool" else WHOLE).astype(number_type)
    assert_same_in_every_method(X, X.astype(np.float32), backend, "float32", input_format)


@each_backend
@pytest.mark.parametrize("number_type", [*(name for name in TYPES if name != "float16"), "uint8"])
@pytest.mark.parametrize("layout", ["csr_array", "csc_array", "coo_matrix", "lil_array"])
def test_sparse_arrays_of_every_type(backend, number_type, layout):
    """SciPy has no float16."""
    X = (WHOLE > 0 if number_type == "bool" else WHOLE).astype(number_type)
    held = getattr(sparse, layout)(X)
    assert held.dtype == X.dtype
    floats = X.astype(np.float32)
    plain = sparse.csr_array(floats / 8 if number_type == "uint8" else floats)
    assert_same_in_every_method(held, plain, backend, "float32")


@each_backend
@pytest.mark.parametrize(
    "held",
    [
        WHOLE.tolist(),
        tuple(map(tuple, WHOLE)),
        list(WHOLE),
        [array.array("i", row) for row in WHOLE.tolist()],
        [[float(number) for number in row] for row in WHOLE],
        pandas.DataFrame(WHOLE.astype("i4")),
        pandas.DataFrame(WHOLE).astype({0: "i1", 1: "f4", 2: "f8", 3: "u1"}),
        pandas.DataFrame(WHOLE).astype({0: "Int64", 1: "Float32"}),
        pandas.DataFrame(WHOLE, index=range(100, 130), columns=list("aabb")),
    ],
    ids=lambda held: type(held).__name__,
)
def test_lists_and_tables(backend, held):
    assert_same_in_every_method(held, WHOLE.astype(np.float32), backend, "float32")


@pytest.mark.parametrize("layout", ["memmap", "memmap of int32", "memmap of big-endian int16"])
def test_mapped_files_of_every_type(layout, tmp_path):
    dtype = {"memmap": "f8", "memmap of int32": "i4", "memmap of big-endian int16": ">i2"}[layout]
    WHOLE.astype(dtype).tofile(tmp_path / "X")
    X = np.memmap(tmp_path / "X", dtype, "r", shape=WHOLE.shape)
    assert_same_in_every_method(X, WHOLE.astype(np.float64), "numpy", "float64")
    plan = small_network("numba", "float64").plan(X, LABELS, SGD(0.1))
    assert plan.data.is_mapped


def test_columns_of_flags_and_bytes_are_not_scaled():
    table = pandas.DataFrame({"a": np.array([200, 3], "u1"), "b": [True, False]})
    assert as_numbers(table, "X").tolist() == [[200, 1], [3, 0]]
    assert as_numbers(table, "X").dtype == np.int16
    assert as_numbers(table[["a", "a"]], "X").dtype == np.uint8


@pytest.mark.parametrize("table", [pandas.DataFrame(np.ones((3, 4))), pandas.DataFrame(np.ones((3, 4), "u1"))])
def test_a_table_of_one_type_is_not_copied(table):
    assert np.shares_memory(as_numbers(table, "X"), table.to_numpy(copy=False))


@pytest.mark.parametrize(
    "X", [np.ones((3, 4), "i8"), np.ones((3, 4), ">f4"), np.ones((4, 3)).T, np.ones((6, 4))[::2]]
)
def test_an_array_of_another_type_is_not_copied_as_a_whole(X):
    assert as_numbers(X, "X") is X
    converted = samples_of(X, np.dtype("f4"), 1.0, small_network().kernels)
    rows = converted.dense(slice(1, 2))
    assert rows.tolist() == [[1] * X.shape[1]]
    assert rows.base.nbytes < CACHE_LINE + 4 * X.size


COLUMNS = {
    "text": (["x"] * 3, "got text: encode labels with scikit-learn's LabelEncoder"),
    "categories": (pandas.Categorical(["x", "y", "x"]), "got text: encode labels"),
    "None": ([None, 1, 2], None),
    "missing": (pandas.array([None, 1, 2], dtype="Int64"), None),
    "objects": (pandas.Series([1, 2, (3,)]), r"got objects such as \(3,\): fill gaps and convert"),
    "dates": (pandas.to_datetime(["2020", "2021", "2022"]), "convert dates to numbers"),
    "complex": (np.ones(3) + 1j, "pass real and imaginary parts as separate numbers"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_does_not_fit_is_named(name):
    column, message = COLUMNS[name]
    table = pandas.DataFrame({"a": np.ones(3), "b": column, "c": [True, False, True], "d": [1, 2, 3]})
    error, message = (ValueError, "got nan in row 0, column 1") if message is None else (TypeError, message)
    for call, arguments in ((small_network().fit, ([0, 1, 2], SGD(0.1))), (small_network().predict, ())):
        with pytest.raises(error, match=message) as caught:
            call(table, *arguments)
    assert error is ValueError or str(caught.value).startswith("X, column 'b' must hold real numbers; got ")


FORMS = {
    "list": list,
    "column": lambda y: np.asarray(y)[:, None],
    "list of lists": lambda y: np.asarray(y)[:, None].tolist(),
    "Series": pandas.Series,
    "categories": lambda y: pandas.Series(y, dtype="category"),
    "Int64": lambda y: pandas.Series(y, dtype="Int64"),
    "DataFrame": pandas.DataFrame,
    "matrix": lambda y: np.asarray(y)[:, None].view(np.matrix),
    "tensor": OfMethod,
    "backwards": lambda y: np.asarray(y)[::-1].copy()[::-1],
    **{name: lambda y, name=name: np.asarray(y).astype(name) for name in (*TYPES[1:-2], "uint8", ">i4")},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_labels_of_every_form(form, batch_size):
    X, _ = samples(30)
    net, expected = small_network(), small_network()
    y = FORMS[form](LABELS)
    net.fit(X, y, SGD(0.1), batch_size=batch_size, validation_data=(X, y))
    expected.fit(X, LABELS, SGD(0.1), batch_size=batch_size)
    assert bytes_of(net) == bytes_of(expected)
    assert net.evaluate(X, y) == expected.evaluate(X, LABELS)
    assert net.predict(X).shape == (30,)


@pytest.mark.parametrize("form", [np.array, list, pandas.Series, lambda y: np.asarray(y)[:, None]])
def test_labels_may_be_truth_values(form):
    X, _ = samples(30)
    nets = [Network([Dense(4, 2)], "numpy", seed=1) for _ in range(2)]
    nets[0].fit(X, form(LABELS > 1), SGD(0.1))
    nets[1].fit(X, (LABELS > 1).astype(int), SGD(0.1))
    assert bytes_of(nets[0]) == bytes_of(nets[1])


@pytest.mark.parametrize("form", [np.array, list, pandas.Series, OfMethod, lambda w: np.array(w, "f2")])
def test_weights_of_every_form(form):
    X, _ = samples(30)
    weights = np.arange(30) / 4
    nets = [small_network() for _ in range(2)]
    nets[0].fit(X, LABELS, SGD(0.1), sample_weight=form(weights))
    nets[1].fit(X, LABELS, SGD(0.1), sample_weight=weights)
    assert bytes_of(nets[0]) == bytes_of(nets[1])
    classes = [fastfnn.losses.SoftmaxCrossEntropy(class_weight=kind([1, 2.5])) for kind in (form, np.array)]
    assert repr(classes[0]) == repr(classes[1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ma.ones(30), "sample_weight is a masked array"),
        (["1"] * 30, "sample_weight must hold real numbers; got text"),
        (np.ones(30, object), "sample_weight must hold real numbers; got objects"),
        (np.ones(30) + 0j, "sample_weight must hold real numbers; got complex128"),
    ],
)
def test_weights_that_are_no_numbers(weights, message):
    net = small_network()
    before = bytes_of(net)
    with pytest.raises(TypeError, match=message):
        net.fit(samples(30)[0], LABELS, SGD(0.1), sample_weight=weights)
    assert bytes_of(net) == before
    with pytest.raises(TypeError, match=message.replace("sample", "class")):
        fastfnn.losses.SoftmaxCrossEntropy(class_weight=weights)


LOSSES_OF_NUMBERS = ["mean_squared_error", "huber", "poisson", "binary_cross_entropy"]


def of_one_output(loss, **options):
    return Network([Dense(4, 1)], "numpy", "float64", seed=1, loss=loss, **options)


@pytest.mark.parametrize("loss", LOSSES_OF_NUMBERS)
@pytest.mark.parametrize("form", [np.array, list, pandas.Series, pandas.DataFrame, lambda y: np.array(y)[:, None]])
def test_predictions_have_the_shape_of_the_targets(loss, form, tmp_path):
    X, _ = samples(30)
    targets = form((LABELS > 1).astype(float))
    shape = np.shape(targets)
    net = of_one_output(loss)
    assert net.predict(X).shape == (30,)
    net.fit(X, targets, SGD(0.01), validation_data=(X, targets))
    net.save(tmp_path / "model")
    copies = [net, fastfnn.Network.load(tmp_path / "model", "numpy"), copy.deepcopy(net)]
    for each in copies:
        assert each.predict(X).shape == shape
        assert each.predict(X[:2]).shape == (2, *shape[1:])
        assert each.predict(np.vstack([X] * 4)).shape == (120, *shape[1:])
        if loss == "binary_cross_entropy":
            assert each.predict_proba(X).shape == shape
    assert (net.predict(X) - np.asarray(targets)).shape == shape
    net.reset(seed=1)
    assert net.predict(X).shape == (30,)


def test_the_last_targets_decide_the_shape():
    X, _ = samples(30)
    net = of_one_output("huber")
    for shape in ((30, 1), (30,), (30, 1)):
        net.fit(X, np.zeros(shape), SGD(0.01))
        assert net.predict(X).shape == shape
    with pytest.raises(ValueError, match="y must have shape"):
        net.fit(X, np.zeros((30, 2)), SGD(0.01))
    assert net.predict(X).shape == (30, 1)


def test_a_checkpoint_keeps_the_shape_and_takes_networks_of_either(tmp_path):
    X, _ = samples(30)
    net, optimizer = of_one_output("huber"), SGD(0.01)
    watch = Checkpoint(tmp_path / "checkpoint")
    net.fit(X, np.zeros((30, 1)), optimizer, callbacks=[watch])
    fresh = of_one_output("huber")
    load_checkpoint(tmp_path / "checkpoint", fresh, SGD(0.01))
    assert fresh.predict(X).shape == (30, 1)
    load_checkpoint(tmp_path / "checkpoint", net, optimizer)
    net.fit(X, np.zeros(30), SGD(0.01), callbacks=[watch])
    load_checkpoint(tmp_path / "checkpoint", fresh, SGD(0.01))
    assert fresh.predict(X).shape == (30,)


def test_model_files_of_other_networks_do_not_mention_the_shape():
    X, _ = samples(30)
    net = of_one_output("huber")
    assert "predicts_columns" not in net.architecture
    net.fit(X, np.zeros(30), SGD(0.01))
    assert "predicts_columns" not in net.architecture
    several = Network([Dense(4, 2)], "numpy", loss="huber")
    several.fit(X, np.zeros((30, 2)), SGD(0.01))
    assert "predicts_columns" not in several.architecture
    assert several.predict(X).shape == (30, 2)
