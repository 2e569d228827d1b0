import numpy as np
import pytest
from command_line import TINY, fail, make_samples, succeed, write_csv

from fastfnn import SGD, Dense, Network


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    long_enough = ("--optimizer", "adam", "--iterations", 100)
    succeed("train", "--data", write_csv(folder / "train.csv"), *TINY, *long_enough, "--out", folder)
    return folder / "model.safetensors"


def predict(model, data, out, *more):
    return succeed("predict", "--model", model, "--data", data, "--out", out, *more)


def labels_in(path):
    header, *lines = path.read_text().splitlines()
    assert header == "ImageId,Label"
    ids, labels = zip(*(line.split(",") for line in lines), strict=True)
    assert [int(i) for i in ids] == list(range(1, len(lines) + 1))
    return [int(label) for label in labels]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_unlabelled_samples(model, tmp_path, backend):
    data = write_csv(tmp_path / "test.csv", n_rows=30, seed=1, labels=False)
    printed = predict(model, data, tmp_path / "submission.csv", "--backend", backend)
    X, y = make_samples(30, seed=1)
    assert labels_in(tmp_path / "submission.csv") == Network.load(model, backend).predict(X).tolist() == y.tolist()
    assert printed == f"predicted 30 samples: {tmp_path / 'submission.csv'}\n"


@pytest.mark.parametrize("input_format", ["dense", "sparse"])
def test_the_input_format_reaches_the_network(model, tmp_path, input_format, monkeypatch):
    seen = []
    monkeypatch.setattr(Network, "predict", lambda self, X, input_format: seen.append(input_format) or X[:, 0])
    data = write_csv(tmp_path / "test.csv", labels=False)
    predict(model, data, tmp_path / "submission.csv", "--backend", "numpy", "--input-format", input_format)
    assert seen == [input_format]


def test_labels_give_the_accuracy(model, tmp_path):
    X, y = make_samples(30, seed=1)
    y[:3] = 77
    np.savez(tmp_path / "test.npz", X=X, y=y)
    printed = predict(model, tmp_path / "test.npz", tmp_path / "submission.csv", "--backend", "numpy")
    assert "accuracy 90.0000%" in printed
    assert labels_in(tmp_path / "submission.csv") == (np.arange(30) % 3).tolist()


def test_an_old_file_is_replaced_and_nothing_else_left(model, tmp_path):
    (tmp_path / "submission.csv").write_text("old")
    predict(model, write_csv(tmp_path / "test.csv"), tmp_path / "submission.csv", "--backend", "numpy")
    assert len(labels_in(tmp_path / "submission.csv")) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission.csv", "test.csv"]


def test_a_network_of_numbers_has_no_accuracy(tmp_path):
    X, y = make_samples(30, seed=1)
    net = Network([Dense(X.shape[1], 1)], "numpy", seed=1, loss="mean_squared_error")
    net.save(tmp_path / "model.safetensors")
    np.savez(tmp_path / "test.npz", X=X, y=y)
    out = tmp_path / "submission.csv"
    printed = predict(tmp_path / "model.safetensors", tmp_path / "test.npz", out, "--backend", "numpy")
    assert printed == f"predicted 30 samples: {out}\n"
    assert [float(line.split(",")[1]) for line in out.read_text().splitlines()[1:]] == net.predict(X).tolist()


def test_several_numbers_a_sample_are_no_labels(tmp_path):
    X, _ = make_samples(30, seed=1)
    Network([Dense(X.shape[1], 3)], "numpy", loss="huber").save(tmp_path / "model.safetensors")
    data, out = write_csv(tmp_path / "test.csv", labels=False), tmp_path / "submission.csv"
    message = fail("predict", "--model", tmp_path / "model.safetensors", "--data", data, "--out", out)
    assert "gives 3 numbers a sample, not one label: use Network.predict" in message
    assert not out.exists()


def test_a_network_of_columns_gives_one_label_a_sample(tmp_path):
    net = Network([Dense(16, 1)], "numpy", seed=1, loss="binary_cross_entropy")
    X, y = make_samples(30)
    net.fit(X, (y > 0)[:, np.newaxis], SGD(0.1))
    net.save(tmp_path / "model.safetensors")
    data = write_csv(tmp_path / "test.csv", n_rows=30, labels=False)
    predict(tmp_path / "model.safetensors", data, tmp_path / "submission.csv", "--backend", "numpy")
    assert labels_in(tmp_path / "submission.csv") == net.predict(X)[:, 0].tolist()
