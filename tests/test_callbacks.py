import csv
import gc
import os
import struct
import sys

import numpy as np
import pytest
from networks import bytes_of, each_backend, samples, small_network
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from fastfnn import SGD, TrainingWarning
from fastfnn.callbacks import CsvLogger, EarlyStopping, TensorBoardLogger


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


def test_epochs_before_a_resume_count():
    (net, history, _), stopping = fit_with([3, 2, 4], EarlyStopping(patience=9)), EarlyStopping(patience=2)
    for record in history.records:
        record["validation_loss"] += 0.5

    def set_figure(epoch):
        epoch.record["validation_loss"] = 5.0

    after = bytes_of(net)
    with pytest.warns(TrainingWarning, match="the best epoch, 2, came before training was resumed"):
        history = net.fit(*samples(20), SGD(1e-30), epochs=9, callbacks=[set_figure, stopping], history=history)
    assert len(history) == 4
    assert (stopping.best_epoch, stopping.best) == (2, 2.5)
    assert bytes_of(net) == after  # the best parameters are gone


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
        ({"mode": "least"}, "mode must be one of auto, min, max; got 'least'"),
        ({"min_delta": -1}, "min_delta must be a finite number from 0 up"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**options)


def test_csv_of_a_resumed_training_has_all_epochs(tmp_path):
    net = small_network()
    history = net.fit(*samples(20), SGD(0.1), epochs=2)
    net.fit(*samples(20), SGD(0.1), epochs=4, callbacks=[CsvLogger(tmp_path / "log.csv")], history=history)
    with (tmp_path / "log.csv").open(newline="") as file:
        logged = list(csv.DictReader(file))
    assert [float(line["loss"]) for line in logged] == history["loss"]


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("of an earlier training\n")
    lines = []
    history = small_network().fit(
        *samples(20), SGD(0.1), epochs=3, validation_data=samples(8, seed=1),
        callbacks=[CsvLogger(path), lambda epoch: lines.append(path.read_text().count("\n"))],
    )  # fmt: skip
    assert lines == [0, 2, 3]  # the logger comes after what may add to the record
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == history.records


def test_csv_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        CsvLogger(tmp_path / "missing" / "log.csv")


def events_in(path):
    """Return the events of a file: each between its length, with a checksum, and a checksum of its own."""
    content, events = path.read_bytes(), []
    while content:
        length, of_length = struct.unpack("<QI", content[:12])
        event, (of_event,) = content[12 : 12 + length], struct.unpack("<I", content[12 + length : 16 + length])
        assert (of_length, of_event) == (masked_crc32c(content[:8]), masked_crc32c(event))
        events.append(Event.FromString(event))
        content = content[16 + length :]
    return events


def figures_in(path):
    """Return what a file tells of each epoch, as a history's records."""
    return [
        {"epoch": event.step} | {value.tag: value.simple_value for value in event.summary.value}
        for event in events_in(path)
        if event.HasField("summary")
    ]


def first_steps_in(path):
    """Return the epochs from which on what was written before no longer counts."""
    return [event.step for event in events_in(path) if event.session_log.status == SessionLog.START]


def train_with(logger, epochs=3, **options):
    return small_network().fit(*samples(20), SGD(0.1), epochs=epochs, callbacks=[logger], **options)


def as_float32(records):
    return [{name: float(np.float32(value)) for name, value in record.items()} for record in records]


def test_tensorboard(tmp_path):
    folder, seen = tmp_path / "runs" / "first", []
    logger = TensorBoardLogger(folder)
    (path,) = folder.iterdir()

    def log_and_look(epoch):
        logger(epoch)
        seen.append(figures_in(path))

    history = train_with(log_and_look, validation_data=samples(8, seed=1))
    expected = as_float32(history.records)
    assert seen == [expected[:1], expected[:2], expected]
    assert path.name.startswith("events.out.tfevents.")
    assert events_in(path)[0].file_version == "brain.Event:2"
    times = [event.wall_time for event in events_in(path)]
    assert times == sorted(times)


def test_tensorboard_with_a_figure_that_a_callback_adds(tmp_path):
    logger = TensorBoardLogger(str(tmp_path))

    def add_and_log(epoch):
        epoch.record.update({"whole": 3, "of numpy": np.float32(0.25), "nan": np.nan, "inf": np.inf})
        logger(epoch)

    train_with(add_and_log, epochs=1)
    (record,) = figures_in(next(tmp_path.iterdir()))
    assert (record["whole"], record["of numpy"], record["inf"]) == (3, 0.25, np.inf)
    assert np.isnan(record["nan"])


def test_tensorboard_with_a_training_that_is_begun_again_and_one_that_is_resumed(tmp_path):
    history = train_with(TensorBoardLogger(tmp_path), epochs=2)
    train_with(TensorBoardLogger(tmp_path), epochs=4, history=history)
    first, second = sorted(tmp_path.iterdir())
    assert (first_steps_in(first), first_steps_in(second)) == ([1], [3])
    assert figures_in(first) + figures_in(second) == as_float32(history.records)


def test_one_tensorboard_logger_for_two_trainings(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    for _ in range(2):
        train_with(logger, epochs=2)
    (path,) = tmp_path.iterdir()
    assert first_steps_in(path) == [1, 1]
    assert [record["epoch"] for record in figures_in(path)] == [1, 2, 1, 2]


def test_the_file_is_closed_when_nothing_holds_the_logger(tmp_path, monkeypatch):
    closed, close = [], EventsWriter.close
    monkeypatch.setattr(EventsWriter, "close", lambda self: closed.append(self) or close(self))
    train_with(TensorBoardLogger(tmp_path))
    gc.collect()
    assert len(closed) == 1


def test_tensorboard_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            TensorBoardLogger(folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_without_tensorboardx_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(ImportError, match=r'pip install "fastfnn\[tensorboard\]"'):
        TensorBoardLogger(tmp_path / "run")
    assert os.listdir(tmp_path) == []
