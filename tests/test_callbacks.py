import csv

import numpy as np
import pytest
from networks import bytes_of, each_backend, samples, small_network

from fastfnn import SGD
from fastfnn.callbacks import CsvLogger, EarlyStopping


def fit_with(figures, stopping, backend="numpy", n_epochs=None):
    """Train while the validation losses are what is given; returns the history and the parameters of each epoch."""
    net, after = small_network(backend), []

    def set_figure(epoch):
        epoch.record["validation_loss"] = figures[epoch.number - 1]
        after.append(bytes_of(epoch.network))

    history = net.fit(*samples(20), SGD(0.1), epochs=n_epochs or len(figures), callbacks=[set_figure, stopping])
    return net, history, after


@each_backend
@pytest.mark.parametrize(
    ("figures", "options", "n_epochs", "best"),
    [
        ([5, 4, 3, 3, 3, 1], {"patience": 2}, 5, 3),
        ([5, 4, 3, 2, 1], {"patience": 2}, 5, 5),
        ([5, 4, 6, 7], {"patience": 9}, 4, 2),
        ([1, 2, 4, 3, 3, 3], {"patience": 2, "mode": "max"}, 5, 3),
        ([5, 4.9, 4.8, 4.7, 4], {"patience": 2, "min_delta": 0.5}, 3, 1),
        ([np.nan, 4, 5, 6], {"patience": 2}, 4, 2),
    ],
)
def test_when_it_ends_and_what_is_restored(backend, figures, options, n_epochs, best):
    stopping = EarlyStopping(**options)
    net, history, after = fit_with(figures, stopping, backend)
    assert len(history) == n_epochs
    assert stopping.best_epoch == best
    assert bytes_of(net) == after[best - 1]
    assert not history.interrupted


def test_without_restoring():
    net, _, after = fit_with([3, 4, 5], EarlyStopping(patience=2, restore_best=False))
    assert bytes_of(net) == after[2]


def test_a_figure_that_is_not_recorded():
    with pytest.raises(
        ValueError, match="EarlyStopping watches 'validation_loss', which is not recorded; there are epoch, loss"
    ):
        small_network().fit(*samples(6), SGD(0.1), callbacks=[EarlyStopping()])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be a whole number from 1 up; got 0"),
        ({"mode": "least"}, 'mode must be "min" or "max"; got \'least\''),
        ({"min_delta": -1}, "min_delta must be a finite number from 0 up"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**options)


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("of an earlier training\n")
    lines = []
    history = small_network().fit(
        *samples(20), SGD(0.1), epochs=3, validation_data=samples(8, seed=1),
        callbacks=[CsvLogger(path), lambda epoch: lines.append(path.read_text().count("\n"))],
    )  # fmt: skip
    assert lines == [2, 3, 4]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == history.records


def test_csv_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        CsvLogger(tmp_path / "missing" / "log.csv")
