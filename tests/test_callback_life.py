"""Callbacks start, see every epoch, and finish whatever ended training; their state is that of one training."""

import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse
from networks import bytes_of, each_backend, samples, small_network

import fastfnn
from fastfnn import SGD, Adam, Dense, Network, StopTraining, TrainingWarning, schedules
from fastfnn.callbacks import CsvLogger, EarlyStopping
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from fastfnn.grid_search import grid_search

X, Y = samples(20)


class Diary:
    """A callback that writes down what it is told."""

    def __init__(self, diary, name="", ends_at=None, error=None):
        self.diary, self.name, self.ends_at, self.error = diary, name, ends_at, error

    def start(self, training):
        assert training.error is None
        self.diary.append((self.name, "start", len(training.history)))

    def __call__(self, event):
        number = event.number
        self.diary.append((self.name, number))
        if number == self.ends_at:
            raise self.error or StopTraining

    def finish(self, training):
        self.diary.append((self.name, "finish", len(training.history), training.error))


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def fit(*callbacks, epochs=2, **options):
    return small_network().fit(X, Y, SGD(0.1), epochs=epochs, callbacks=callbacks, **options)


def test_all_start_see_each_epoch_and_finish_in_order():
    diary = []
    fit(Diary(diary, "a"), Diary(diary, "b"))
    assert diary == [
        ("a", "start", 0), ("b", "start", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2),
        ("a", "finish", 2, None), ("b", "finish", 2, None),
    ]  # fmt: skip


def test_one_that_ends_training_hides_nothing_from_the_others():
    diary = []
    history = fit(Diary(diary, "a", ends_at=1), Diary(diary, "b", ends_at=1), Diary(diary, "c"), epochs=5)
    assert len(history) == 1
    assert [entry for entry in diary if entry[0] == "c"] == [("c", "start", 0), ("c", 1), ("c", "finish", 1, None)]
    assert len(diary) == 9


def test_the_same_holds_for_steps():
    diary = []
    fit(batch_size=6, step_callbacks=[Diary(diary, "a", ends_at=2), Diary(diary, "b")])
    assert [entry for entry in diary if entry[0] == "b"] == [
        ("b", "start", 0), ("b", 1), ("b", 2), ("b", "finish", 0, None),
    ]  # fmt: skip


def test_one_object_for_epochs_and_steps_starts_once():
    diary = []
    both = Diary(diary)
    fit(both, epochs=1, step_callbacks=[both])
    assert [entry[1] for entry in diary] == ["start", 1, 1, "finish"]


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit("mine"), MemoryError("mine")])
def test_all_finish_after_an_error(error):
    diary = []
    with pytest.raises(type(error), match="mine"):
        fit(Diary(diary, "a"), Diary(diary, "b", ends_at=2, error=error), Diary(diary, "c"), epochs=5)
    assert [entry for entry in diary if "finish" in entry] == [(name, "finish", 2, error) for name in "abc"]


def test_all_finish_after_ctrl_c():
    diary = []
    with pytest.warns(TrainingWarning, match="training was interrupted"):
        fit(Diary(diary, "a"), lambda epoch: signal.raise_signal(signal.SIGINT), Diary(diary, "b"), epochs=5)
    assert diary[-3:] == [("b", 1), ("a", "finish", 1, None), ("b", "finish", 1, None)]


def test_those_that_were_started_finish_when_a_start_fails():
    class Fails(Diary):
        def start(self, training):
            raise ZeroDivisionError("mine")

    diary, net = [], small_network()
    before = bytes_of(net)
    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(X, Y, SGD(0.1), callbacks=[Diary(diary, "a"), Fails(diary, "b"), Diary(diary, "c")])
    assert [entry[:2] for entry in diary] == [("a", "start"), ("a", "finish")]
    assert bytes_of(net) == before


def test_all_finish_even_if_one_of_them_fails():
    class Fails(Diary):
        def finish(self, training):
            raise ZeroDivisionError("mine")

    diary = []
    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(Fails(diary, "a"), Diary(diary, "b"))
    assert diary[-1][:2] == ("b", "finish")


def test_an_attribute_named_start_is_no_method():
    class Timed:
        start = 0.0

        def __call__(self, epoch):
            self.finish = 1.0

    fit(Timed())


def test_one_early_stopping_judges_each_training_by_itself():
    stop, first, second = EarlyStopping(patience=5), small_network(), small_network(seed=4)
    options = {"validation_data": (X[:9], Y[:9]), "callbacks": [stop]}
    first.fit(X, Y, Adam(0.05), epochs=9, **options)
    history = second.fit(X, Y, SGD(1e-6), epochs=4, **options)
    assert stop.best == min(history["validation_loss"])
    assert second.evaluate(X[:9], Y[:9])[0] == stop.best
    assert bytes_of(first) != bytes_of(second)


@pytest.mark.parametrize("ended_by", ["another callback", "Ctrl-C", "an error", "its last epoch"])
def test_the_best_weights_come_back_whoever_ends_training(ended_by):
    figures, weights = [3.0, 1.0, 2.0, 4.0], []

    def watch(epoch):
        epoch.record["f1"] = figures[epoch.number - 1]
        weights.append(bytes_of(epoch.network))
        if epoch.number == 4 and ended_by == "another callback":
            raise StopTraining
        if epoch.number == 4 and ended_by == "Ctrl-C":
            raise KeyboardInterrupt
        if epoch.number == 4 and ended_by == "an error":
            raise ZeroDivisionError

    net = small_network()
    stop = EarlyStopping(9, "f1", mode="min")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        try:
            net.fit(X, Y, SGD(0.1), epochs=4 if ended_by == "its last epoch" else 9, callbacks=[watch, stop])
        except ZeroDivisionError:
            assert ended_by == "an error"
    assert stop.best_epoch == 2
    assert bytes_of(net) == weights[1]


@pytest.mark.parametrize(
    ("monitor", "mode", "best"),
    [
        ("accuracy", "auto", 3),
        ("validation_accuracy", "auto", 3),
        ("top_5_accuracy", "auto", 3),
        ("loss", "auto", 2),
        ("validation_loss", "auto", 2),
        ("f1", "max", 3),
        ("accuracy", "min", 2),
    ],
)
def test_the_direction_of_a_figure(monitor, mode, best):
    figures = [0.5, 0.25, 0.75, 0.5]

    def set_figure(epoch):
        epoch.record[monitor] = figures[epoch.number - 1]

    stop = EarlyStopping(9, monitor, mode)
    fit(set_figure, stop, epochs=4)
    assert stop.best_epoch == best
    plateau = schedules.on_plateau(1.0, 0.5, 2, monitor, mode)
    history = fastfnn.History()
    history.records.extend({"epoch": i, monitor: figure} for i, figure in enumerate(figures, 1))
    assert plateau(5, history) == (0.5 if best == 2 else 1.0)


@pytest.mark.parametrize(
    "make", [lambda name: EarlyStopping(monitor=name), lambda name: schedules.on_plateau(1, monitor=name)]
)
@pytest.mark.parametrize("name", ["f1", "lossy", "error", "auc"])
def test_a_figure_of_unknown_direction_must_say(make, name):
    with pytest.raises(ValueError, match=f"""not what '{name}' does: say mode="min" or mode="max\""""):
        make(name)


def test_a_plateau_counts_improvements_of_min_delta_alone():
    history = fastfnn.History()
    history.records.extend({"epoch": i, "loss": loss} for i, loss in enumerate([5.0, 4.9, 4.8, 4.7], 1))
    assert schedules.on_plateau(1.0, 0.5, 3, "loss", min_delta=0.5)(5, history) == 0.5
    assert schedules.on_plateau(1.0, 0.5, 3, "loss", min_delta=0.05)(5, history) == 1.0


def test_a_csv_log_is_that_of_its_last_training(tmp_path):
    logger = CsvLogger(tmp_path / "log.csv")
    fit(EarlyStopping(1, "loss", "max"), logger, epochs=9)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + 2
    history = fit(logger, epochs=3, validation_data=(X, Y))
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == ",".join(history.records[0])
    assert len(lines) == 1 + 3


def test_a_checkpoint_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    """The disk is full in the second epoch."""

    saved = []

    def save(path, content):
        saved.append(path)
        if len(saved) == 2:
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    from fastfnn.files import checkpoint_file

    write = checkpoint_file.write_checkpoint
    monkeypatch.setattr(checkpoint_file, "write_checkpoint", save)
    with pytest.warns(TrainingWarning, match=r"checkpoint after epoch 2 was not written: .*c: No space left"):
        history = fit(Checkpoint(tmp_path / "c"), epochs=3)
    assert len(history) == 3
    assert len(load_checkpoint(tmp_path / "c", small_network(), SGD(0.1))) == 3


def test_a_checkpoint_in_a_missing_folder_is_refused_before_training(tmp_path):
    net = small_network()
    before = bytes_of(net)
    with pytest.raises(
        FileNotFoundError,
        match=r"cannot write the file .*missing/c \(there is no folder .*missing",
    ):
        net.fit(X, Y, SGD(0.1), callbacks=[Checkpoint(tmp_path / "missing" / "c")])
    assert bytes_of(net) == before


def test_a_checkpoint_of_records_with_numpy_numbers(tmp_path):
    def note(epoch):
        epoch.record.update(largest=np.float32(0.1), n_large=np.int64(3), is_large=np.bool_(True))

    history = fit(note, Checkpoint(tmp_path / "c"))
    loaded = load_checkpoint(tmp_path / "c", small_network(), SGD(0.1))
    assert loaded.records == history.records
    assert [type(loaded.records[0][name]) for name in ("largest", "n_large", "is_large")] == [float, int, bool]


@each_backend
@pytest.mark.parametrize(("batch_size", "place"), [(None, "epoch 2, batch 1"), (6, "epoch 1, batch 2")])
def test_a_loss_that_is_no_number_is_a_warning_once(backend, batch_size, place):
    net = small_network(backend, "float32")
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always", TrainingWarning)
        history = net.fit(X.astype("f4"), Y, SGD(1e38), epochs=4, batch_size=batch_size)
    (warning,) = caught
    assert f"in {place}: lower the learning rate (1e+38)" in str(warning.message)
    assert warning.filename == __file__
    assert len(history) == 4


def test_a_diverged_training_keeps_its_last_finite_checkpoint(tmp_path):
    net = small_network()

    def diverge(epoch):
        if epoch.number == 2:
            epoch.network.layers[0].weights[0, 0] = np.nan

    with pytest.warns(TrainingWarning) as caught:
        net.fit(X, Y, SGD(0.1), epochs=3, callbacks=[Checkpoint(tmp_path / "c"), diverge])
    messages = [str(warning.message) for warning in caught]
    assert [message.split(":")[0] for message in messages] == [
        "the checkpoint after epoch 2 was not written",
        "the loss became nan in epoch 3, batch 1",
    ]
    assert len(load_checkpoint(tmp_path / "c", small_network(), SGD(0.1))) == 1


def test_ctrl_c_ends_a_grid_search_although_fit_returns():
    tried = []

    def score(rate):
        tried.append(rate)
        return -small_network().fit(
            X, Y, SGD(rate), epochs=9, callbacks=[lambda epoch: rate == 0.2 and signal.raise_signal(signal.SIGINT)]
        )["loss"][-1]

    reported = []
    with pytest.warns(TrainingWarning, match="training was interrupted"), pytest.raises(KeyboardInterrupt):
        grid_search({"rate": [0.1, 0.2, 0.3]}, score, reported.append)
    assert tried == [0.1, 0.2]
    assert [trial.settings for trial in reported] == [{"rate": 0.1}]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_a_score_ends_a_grid_search():
    with pytest.raises(KeyboardInterrupt):
        grid_search({"rate": [0.1, 0.2]}, lambda rate: signal.raise_signal(signal.SIGINT))


@each_backend
@pytest.mark.parametrize("batch_size", [None, 6])
def test_the_norm_that_clips_is_that_of_the_layers_that_are_trained(backend, batch_size):
    """Frozen or without a frozen layer before it, the last layer takes a step of the same length."""
    for factor in (0.0, 1.0):
        layers = [Dense(4, 5, "relu", learning_rate_factor=factor), Dense(5, 3, learning_rate_factor=0.5)]
        net = Network(layers, backend, "float64", seed=0)
        before = {name: array.copy() for name, array in net.parameters.items()}
        net.fit(X[:6], Y[:6], SGD(1.0), batch_size=batch_size, clip_norm=1e-3)
        lengths = [
            np.sqrt(
                sum(
                    ((net.parameters[f"{i}.{name}"] - before[f"{i}.{name}"]) ** 2).sum()
                    for name in ("weights", "bias")
                )
            )
            for i in (0, 1)
        ]
        if factor == 0:
            assert lengths == [0, pytest.approx(0.5e-3)]
        else:
            assert np.hypot(lengths[0], 2 * lengths[1]) == pytest.approx(1e-3)


@each_backend
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "mostly zero", "csr"])
@pytest.mark.parametrize("batch_size", [None, 6])
def test_samples_cannot_change_while_they_are_trained_on(backend, kind, batch_size):
    x = np.where(np.arange(80).reshape(20, 4) % 9, 0, 3).astype(kind if kind.startswith(("u", "f")) else "f4")
    x = scipy.sparse.csr_array(x) if kind == "csr" else x
    y, weights, held_out = Y.copy(), np.ones(20), (X.copy(), Y.copy())
    arrays = [x.data if kind == "csr" else x, y, weights, *held_out]

    def change(epoch):
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0

    net = small_network(backend, "float32")
    net.fit(
        x,
        y,
        SGD(0.1),
        epochs=2,
        batch_size=batch_size,
        sample_weight=weights,
        validation_data=held_out,
        callbacks=[change],
    )
    for array in arrays:
        array[...] = 0


def test_arrays_are_writable_again_whatever_ended_training():
    x, y = X.copy(), Y.copy()
    with pytest.raises(ZeroDivisionError):
        small_network().fit(x, y, SGD(0.1), callbacks=[lambda epoch: 1 / 0], validation_data=(x[:5], y[:5]))
    x[...], y[...] = 0, 0


def test_read_only_arrays_stay_so():
    x = X.copy()
    x.flags.writeable = False
    small_network().fit(x, Y, SGD(0.1))
    assert not x.flags.writeable


def test_arrays_are_writable_again_when_the_last_of_several_trainings_ends():
    x, y = X.copy(), Y.copy()
    first_is_in, second_is_out = threading.Event(), threading.Event()

    def wait(epoch):
        first_is_in.set()
        assert second_is_out.wait(60)
        assert not x.flags.writeable

    thread = threading.Thread(target=small_network().fit, args=(x, y, SGD(0.1)), kwargs={"callbacks": [wait]})
    thread.start()
    assert first_is_in.wait(60)
    small_network().fit(x, y, SGD(0.1))
    assert not x.flags.writeable
    second_is_out.set()
    thread.join()
    assert x.flags.writeable


def test_views_are_writable_again_after_the_training_on_their_base():
    x, y = X.copy(), Y.copy()
    view = x[:10]
    small_network().fit(x, y, SGD(0.1), callbacks=[lambda epoch: small_network().fit(view, y[:10], SGD(0.1))])
    assert x.flags.writeable
    assert view.flags.writeable


def test_arrays_whose_memory_another_library_owns_stay_writable():
    class Owner:
        def __init__(self, array):
            self.array, self.__array_interface__ = array, array.__array_interface__

    x = np.asarray(Owner(X.copy()))
    small_network().fit(x, Y, SGD(0.1), callbacks=[lambda epoch: x.fill(0)])
    assert x.flags.writeable


@pytest.mark.parametrize("first", [0, 1])
def test_what_reads_the_record_is_called_after_what_adds_to_it(tmp_path, first):
    def add(epoch):
        epoch.record["f1"] = float(epoch.number)

    readers = [Checkpoint(tmp_path / "c"), CsvLogger(tmp_path / "log"), EarlyStopping(9, "f1", "max")]
    fit(*([add, *readers] if first else [*readers, add]), epochs=3)
    loaded = load_checkpoint(tmp_path / "c", small_network(), SGD(0.1))
    assert loaded["f1"] == [1.0, 2.0, 3.0]
    assert (tmp_path / "log").read_text().splitlines()[0].endswith(",f1")


def test_a_log_of_a_resumed_training_without_an_epoch_has_the_earlier_ones(tmp_path):
    history = fit(epochs=2)
    fit(CsvLogger(tmp_path / "log"), epochs=2, history=history)
    assert len((tmp_path / "log").read_text().splitlines()) == 3


def test_ctrl_c_while_callbacks_finish_is_seen():
    class Pressed(Diary):
        def finish(self, training):
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(TrainingWarning, match="training was interrupted"):
        history = fit(Pressed([]))
    assert history.interrupted
    assert len(history) == 2


def test_ctrl_c_that_acts_at_once_says_what_it_leaves():
    def press(step):
        raise KeyboardInterrupt

    with pytest.warns(TrainingWarning, match="at once, possibly in the middle of a step: resume a checkpoint"):
        fit(batch_size=6, step_callbacks=[press])


def test_restored_weights_are_not_those_of_the_place_in_an_epoch():
    def stop(step):
        if step.number == 10:
            raise StopTraining

    history = fit(EarlyStopping(9, "loss", "max"), epochs=9, batch_size=6, step_callbacks=[stop])
    assert len(history) == 2
    assert history.unfinished is None


def test_a_best_epoch_before_a_resumed_run_is_a_warning():
    history = fit(epochs=3)
    with pytest.warns(TrainingWarning, match="the best epoch, 1, came before training was resumed"):
        fit(EarlyStopping(9, "loss", "max"), epochs=5, history=history)


def test_sigterm_ends_a_training_within_a_training():
    inner = []

    def train(epoch):
        def press(event):
            inner.append(event.number)
            signal.raise_signal(signal.SIGTERM)

        small_network().fit(X, Y, SGD(0.1), epochs=9, callbacks=[press])

    with pytest.raises(SystemExit, match="143"):
        fit(train, epochs=9)
    assert inner == [1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_rate_is_its_own_again_after_schedules_within_schedules():
    optimizer, net = SGD(0.1), small_network()

    def train(epoch):
        epoch.network.fit(X, Y, optimizer, schedule=lambda number, history: 0.01)
        copied = pickle.loads(pickle.dumps(optimizer))
        assert (copied.learning_rate, copied.own_learning_rate) == (0.1, 0.1)

    net.fit(X, Y, optimizer, schedule=lambda number, history: 0.2, callbacks=[train])
    assert optimizer.learning_rate == optimizer.own_learning_rate == 0.1


def test_a_negative_rate_is_refused():
    optimizer, net = SGD(0.1), small_network()
    optimizer.learning_rate = -0.1
    before = bytes_of(net)
    with pytest.raises(ValueError, match=r"SGD: learning_rate must be a finite number from 0 up; got -0.1"):
        net.fit(X, Y, optimizer)
    assert bytes_of(net) == before


@pytest.mark.parametrize("history", [{}, [], 3])
def test_a_history_of_another_kind_is_refused(history):
    with pytest.raises(TypeError, match="history must be a History, as returned by fit or load_checkpoint; got"):
        fit(history=history)


def test_a_refused_training_leaves_the_optimizer_free():
    def stop(step):
        raise StopTraining

    first, second, optimizer = small_network(), small_network(seed=4), Adam(0.1)
    history = first.fit(X, Y, optimizer, batch_size=6, step_callbacks=[stop])
    copied = pickle.loads(pickle.dumps(optimizer))
    with pytest.raises(ValueError, match="continue with the same samples"):
        second.fit(X, Y, copied, batch_size=5, history=history)
    first.fit(X, Y, copied)


def test_a_checkpoint_of_a_record_with_an_array_is_a_warning(tmp_path):
    def add(epoch):
        epoch.record["matrix"] = np.zeros(3)

    with pytest.warns(TrainingWarning, match=r"was not written: .*ndarray") as caught:
        history = fit(add, Checkpoint(tmp_path / "c"), epochs=4)
    assert len(caught) == 1
    assert len(history) == 4
