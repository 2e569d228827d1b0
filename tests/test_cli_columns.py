"""Columns and numbers of the files that the command line reads: as in the training, or refused."""

import gzip

import numpy as np
import pytest
from command_line import TINY, fail, make_samples, succeed, write_csv

from fastfnn import Network
from fastfnn.app.config_file import read_config
from fastfnn.data_form import DataForm

NAMES = tuple(f"pixel{i}" for i in range(16))
LEARN = (*TINY, "--optimizer", "adam", "--iterations", 60)


def write_table(path, names, X, y=None, label="label", number="{}"):
    header = [*names, *([] if y is None else [label])]
    rows = [[number.format(value) for value in row] for row in X.tolist()]
    if y is not None:
        rows = [[*row, str(label)] for row, label in zip(rows, y, strict=True)]
    path.write_text("".join(f"{','.join(row)}\n" for row in [header, *rows]))
    return path


def trained(folder, data, *more):
    succeed("train", "--data", data, *LEARN, *more, "--out", folder / "run")
    return folder / "run" / "model.safetensors"


def accuracy(model, data, *more):
    printed = succeed("predict", "--model", model, "--data", data, "--out", data.parent / "out.csv", *more, *NUMPY)
    return float(printed.split("accuracy ")[1].split("%")[0])


NUMPY = ("--backend", "numpy")
X, Y = make_samples(90, seed=1)
ORDER = np.random.default_rng(0).permutation(16)
SHUFFLED = [NAMES[i] for i in ORDER]


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    return trained(folder, write_csv(folder / "train.csv"))


@pytest.fixture(scope="module")
def of_floats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("floats")
    scaled = make_samples()[0] / 255
    return trained(folder, write_table(folder / "train.csv", NAMES, scaled, make_samples()[1]))


def test_the_model_keeps_names_and_numbers(of_bytes, of_floats):
    assert Network.load(of_bytes, "numpy").data_form == DataForm(NAMES, True)
    assert Network.load(of_floats, "numpy").data_form == DataForm(NAMES, False)


def test_another_order_of_columns_is_put_right(of_bytes, tmp_path):
    assert accuracy(of_bytes, write_table(tmp_path / "a.csv", NAMES, X, Y)) == 100
    assert accuracy(of_bytes, write_table(tmp_path / "b.csv", SHUFFLED, X[:, ORDER], Y)) == 100
    unmatched = Network.load(of_bytes, "numpy").predict(np.ascontiguousarray(X[:, ORDER]))
    assert (unmatched == Y).mean() < 0.7


def test_the_test_file_is_put_in_the_order_of_the_training(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    test = write_table(tmp_path / "b.csv", SHUFFLED, X[:, ORDER], Y, number="{}.0")
    printed = succeed("train", "--data", data, "--test-data", test, *LEARN, "--out", tmp_path / "run")
    assert "accuracy 100.0000%" in printed.split("test loss")[1]


def test_held_out_samples_are_those_of_the_test_file(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    plain = write_table(tmp_path / "a.csv", NAMES, X, Y)
    other = write_table(tmp_path / "b.csv", SHUFFLED, X[:, ORDER], Y, number="{}.0")
    recipe = ("--recipe", "layers-adam", *TINY, "--batch-size", 20)
    for name, test in (("a", plain), ("b", other)):
        succeed("train", "--data", data, "--test-data", test, *recipe, "--out", tmp_path / name)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    one, two = ((tmp_path / name / "history.jsonl").read_text().splitlines()[-1] for name in "ab")
    assert one.split('"validation_loss"')[1] == two.split('"validation_loss"')[1]


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (NAMES[:-1], "lacks 1 column: pixel15"),
        ((*NAMES, "id"), "adds 1 column: id"),
        ((*NAMES[:-1], "Pixel15"), "lacks 1 column: pixel15 and adds 1 column: Pixel15"),
        ((*NAMES[:-1], NAMES[0]), "expected one column 'pixel0', found 2"),
    ],
)
@pytest.mark.parametrize("command", ["train", "predict"])
def test_other_columns_are_refused(of_bytes, tmp_path, names, difference, command):
    data = write_table(tmp_path / "a.csv", names, np.ones((3, len(names)), np.uint8))
    if command == "predict":
        message = fail("predict", "--model", of_bytes, "--data", data, "--out", tmp_path / "out.csv", *NUMPY)
    else:
        train = write_csv(tmp_path / "train.csv")
        message = fail("train", "--data", train, "--test-data", data, *TINY, "--out", tmp_path / "run")
    assert f"{data}: line 1: " in message
    assert difference in message
    assert len(message) < 500
    assert {path.name for path in tmp_path.iterdir()} <= {"a.csv", "train.csv"}


def test_files_without_header_are_matched_by_number(of_bytes, tmp_path):
    lines = write_table(tmp_path / "a.csv", NAMES, X, Y).read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join(lines[1:]))
    assert accuracy(of_bytes, tmp_path / "b.csv", "--no-header", "--label", 17) == 100
    predict = ("predict", "--model", of_bytes, "--data", tmp_path / "b.csv", "--out", tmp_path / "out.csv", *NUMPY)
    assert "X must have 16 columns, the network's inputs; got shape (90, 17)" in fail(*predict, "--no-header")
    assert "read the file without a header (--no-header, header=False)" in fail(*predict)


def test_a_training_without_header_knows_no_names(tmp_path):
    lines = write_csv(tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "bare.csv").write_text("\n".join(lines[1:]))
    model = trained(tmp_path, tmp_path / "bare.csv", "--no-header", "--label", 1)
    assert Network.load(model, "numpy").data_form == DataForm(None, True)
    config = read_config(model.with_name("config.toml"))
    assert (config["header"], config["label"]) == (False, "1")
    assert accuracy(model, write_table(tmp_path / "a.csv", NAMES, X, Y, number="{}.0")) == 100


def test_label_and_drop(tmp_path):
    X_train, y_train = make_samples()
    noisy = np.column_stack([np.arange(60) * 1000, X_train])
    data = write_table(tmp_path / "train.csv", ("id", *NAMES), noisy, y_train, label="class")
    choice = ("--label", "class", "--drop", "id")
    test = write_table(tmp_path / "test.csv", SHUFFLED, X[:, ORDER], Y, label="class")
    printed = succeed("train", "--data", data, "--test-data", test, *LEARN, *choice, "--out", tmp_path / "run")
    assert "accuracy 100.0000%" in printed.split("test loss")[1]
    model = tmp_path / "run" / "model.safetensors"
    assert Network.load(model, "numpy").data_form == DataForm(NAMES, True)
    config = read_config(tmp_path / "run" / "config.toml")
    assert (config["label"], config["drop"]) == ("class", ("id",))
    assert accuracy(model, data, *choice) == 100
    predict = ("predict", "--model", model, "--data", data, "--out", tmp_path / "out.csv", *NUMPY)
    assert "adds 2 columns: id, class; rename them, or leave columns out (--drop, --label)" in fail(*predict)
    assert "predicted 60 samples" in succeed(*predict, "--drop", "id", "--drop", "class")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("--label", "class"), "a CSV file needs a column 'class', or --label with the name of another"),
        (("--drop", "ID"), "there is no column 'ID' to drop, found 17 columns: label, pixel0"),
        (("--drop", "label"), "the column 'label' cannot be both the label and dropped"),
        (("--no-header",), "line 1: column '1': expected a number, got 'label'"),
    ],
)
def test_choices_that_do_not_fit(tmp_path, choice, message):
    data = write_csv(tmp_path / "train.csv")
    assert message in fail("train", "--data", data, *TINY, *choice, "--out", tmp_path / "run")


@pytest.mark.parametrize("choice", [("--label", "y"), ("--drop", "x"), ("--no-header",)])
def test_choices_without_a_file(tmp_path, choice):
    message = fail("train", "--recipe", "spiral", *TINY, *choice, "--out", tmp_path / "run")
    assert (
        "label, drop and no-header say what is in a CSV file (.csv, .csv.gz); got no file: leave them out" in message
    )


CHOICES = [("--label", "y"), ("--drop", "x"), ("--no-header",)]


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_for_files_without_names(of_bytes, tmp_path, choice):
    data = save_npz(tmp_path / "a.npz", X, Y)
    message = fail("train", "--data", data, "--test-data", data, *TINY, *choice, "--out", tmp_path / "run")
    assert f"say what is in a CSV file (.csv, .csv.gz); got {data}, {data}: leave them out" in message
    predict = ("predict", "--model", of_bytes, "--data", data, "--out", tmp_path / "out.csv", *NUMPY)
    assert f"{data}: only the columns of a CSV file (.csv, .csv.gz) have names: leave out" in fail(*predict, *choice)


def test_choices_are_for_the_csv_file_of_the_two(tmp_path):
    table = write_table(tmp_path / "a.csv", ["id", *NAMES], np.column_stack([np.arange(90) / 8, X]), Y, "class")
    arrays = save_npz(tmp_path / "b.npz", X, Y)
    choices = (*LEARN, "--label", "class", "--drop", "id", "--out", tmp_path / "run", "--overwrite")
    for data, test in ((table, arrays), (arrays, table)):
        printed = succeed("train", "--data", data, "--test-data", test, *choices)
        assert "accuracy 100.0000%" in printed.split("test loss")[1]


@pytest.mark.parametrize("labels", [Y[:, np.newaxis], Y.astype(np.float32), Y[:, np.newaxis].astype("u1")])
def test_labels_of_any_form_are_learned(tmp_path, labels):
    plain = trained(tmp_path / "a", save_npz(tmp_path / "a.npz", X, Y))
    other = trained(tmp_path / "b", save_npz(tmp_path / "b.npz", X, labels))
    assert plain.read_bytes() == other.read_bytes()


def test_the_index_of_a_table_can_be_dropped(tmp_path):
    index = np.arange(90)[::-1] / 8
    data = write_table(tmp_path / "a.csv", ["", *NAMES], np.column_stack([index, X]), Y)
    assert 'line 1: column 1 has no name; name it, or leave it out (--drop "", drop=[""])' in fail(
        "train", "--data", data, *TINY, "--out", tmp_path / "run"
    )
    assert accuracy(trained(tmp_path, data, "--drop", ""), data, "--drop", "") == 100
    assert read_config(tmp_path / "run" / "config.toml")["drop"] == ("",)


def test_the_column_of_a_number_that_is_no_byte_is_named(of_bytes, tmp_path):
    numbers = X.astype(float)
    numbers[6, 3] = 0.5
    data = write_table(tmp_path / "a.csv", SHUFFLED, numbers[:, ORDER], Y)
    message = fail("predict", "--model", of_bytes, "--data", data, "--out", tmp_path / "out.csv", *NUMPY)
    assert "got 0.5 in sample 7, column 'pixel3': convert them" in message


def save_npz(path, X, y):
    np.savez(path, X=X, y=y)
    return path


def save_idx(path, X, code, dtype):
    header = bytes([0, 0, code, X.ndim]) + np.array(X.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + X.astype(dtype).tobytes()))
    return path


def test_the_same_numbers_give_the_same_predictions(of_bytes, tmp_path):
    save_idx(tmp_path / "i-labels-idx1", Y, 0x08, "u1")
    files = [
        write_table(tmp_path / "a.csv", NAMES, X, Y),
        write_table(tmp_path / "b.csv", NAMES, X, Y, number="{}.0"),
        write_table(tmp_path / "c.csv", SHUFFLED, X[:, ORDER], Y, number="{}e0"),
        save_npz(tmp_path / "d.npz", X, Y),
        save_npz(tmp_path / "e.npz", X.astype(np.float64), Y),
        save_npz(tmp_path / "f.npz", X.astype(np.int32), Y),
        save_idx(tmp_path / "i-images-idx3", X, 0x08, "u1"),
    ]
    predicted = []
    for file in files:
        assert accuracy(of_bytes, file) == 100
        predicted.append((tmp_path / "out.csv").read_text())
    assert len(set(predicted)) == 1
    save_idx(tmp_path / "i-images-idx3", X, 0x0D, ">f4")
    assert accuracy(of_bytes, tmp_path / "i-images-idx3") == 100


@pytest.mark.parametrize("scale", [1 / 255, 1.5, -1])
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_numbers_that_are_no_bytes_are_refused(of_bytes, tmp_path, scale, kind):
    other = X * np.float32(scale)
    if kind == "csv":
        data = write_table(tmp_path / "a.csv", NAMES, other, Y)
    else:
        data = save_npz(tmp_path / "a.npz", other, Y)
    message = fail("predict", "--model", of_bytes, "--data", data, "--out", tmp_path / "out.csv", *NUMPY)
    assert f"{data}: the network was trained on whole numbers from 0 to 255; got " in message
    assert "in sample 1, column " in message


def test_a_training_on_floats_scales_nothing(of_floats, tmp_path):
    assert Network.load(of_floats, "numpy").input_scale == 1
    assert accuracy(of_floats, write_table(tmp_path / "a.csv", SHUFFLED, X[:, ORDER] / 255, Y)) == 100
    ones = np.array([[0, 1] * 8, [1, 0] * 8])
    predicted = []
    for number in ("{}", "{}.0"):
        data = write_table(tmp_path / "b.csv", NAMES, ones, number=number)
        succeed("predict", "--model", of_floats, "--data", data, "--out", tmp_path / "out.csv", *NUMPY)
        predicted.append((tmp_path / "out.csv").read_text())
    assert predicted[0] == predicted[1]
    expected = Network.load(of_floats, "numpy").predict(ones.astype(np.float32)).tolist()
    assert [int(line.split(",")[1]) for line in predicted[0].splitlines()[1:]] == expected


def test_a_training_on_numbers_beyond_bytes_is_one_on_floats(tmp_path):
    large = make_samples()[0].astype(int) + 100
    data = write_table(tmp_path / "train.csv", NAMES, large, make_samples()[1])
    test = write_table(tmp_path / "test.csv", NAMES, np.minimum(X.astype(int) + 100, 255), Y)
    succeed("train", "--data", data, "--test-data", test, *TINY, "--out", tmp_path / "run")
    network = Network.load(tmp_path / "run" / "model.safetensors", "numpy")
    assert (network.input_scale, network.data_form.is_bytes) == (1, False)


def test_a_factor_of_bytes_is_refused_for_floats(tmp_path):
    data = write_table(tmp_path / "train.csv", NAMES, make_samples()[0] / 255, make_samples()[1])
    train = ("train", "--data", data, *TINY, "--out", tmp_path / "run", "--input-scale")
    assert "input_scale is a factor of bytes; got 0.5 for other numbers" in fail(*train, 0.5)
    succeed(*train, 1)


def test_a_model_of_unknown_form_takes_files_as_they_are(tmp_path, of_bytes):
    network = Network.load(of_bytes, "numpy")
    network.data_form = None
    network.save(tmp_path / "model.safetensors")
    data = write_table(tmp_path / "a.csv", [f"column {i}" for i in range(16)], X, Y)
    assert accuracy(tmp_path / "model.safetensors", data) == 100


def test_a_resumed_training_has_the_same_columns(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    succeed("train", "--data", data, *TINY, "--checkpoint-every", 2, "--out", tmp_path / "run")
    assert "resumed after iteration 5" in succeed("train", "--resume", tmp_path / "run")
    assert Network.load(tmp_path / "run" / "model.safetensors", "numpy").data_form == DataForm(NAMES, True)
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    write_table(data, SHUFFLED, make_samples()[0][:, ORDER], make_samples()[1])
    message = fail("train", "--resume", tmp_path / "run")
    assert "checkpoint.safetensors is of a training on other columns, or on the same in another order" in message
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == model
