import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, fail, read_history, succeed, write_csv
from networks import bytes_of, each_backend, samples, small_network

import fastfnn
from fastfnn import SGD, Adam, AdamW, Network, RMSprop, StopTraining, schedules
from fastfnn.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from fastfnn.files.container import digest_of, read_model, write_model

OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.1, momentum=0.9),
    "momentum of steps": lambda: SGD(0.1, momentum=0.9, velocity="steps"),
    "rmsprop": lambda: RMSprop(0.01),
    "rmsprop-tensor": lambda: RMSprop(0.1, granularity="tensor", initial=1.0, reset_every=3),
    "adam": lambda: Adam(0.01),
    "adamw": lambda: AdamW(0.01),
    "adamw with epsilon hat": lambda: AdamW(0.01, epsilon=0.1, epsilon_hat=True),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


def without_seconds(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@each_backend
@pytest.mark.parametrize("batch_size", [None, 1, 7])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_training_is_the_one_that_was_never_stopped(backend, batch_size, name, path):
    X, y = samples(20, dtype="float32")
    options = {
        "epochs": 5,
        "batch_size": batch_size,
        "validation_data": (X[:9], y[:9]),
        "schedule": schedules.on_plateau(0.1, 0.5, patience=1, monitor="loss"),
    }

    def stop(epoch):
        if epoch.number == 3:
            raise StopTraining

    whole, optimizer = small_network(backend, "float32"), OPTIMIZERS[name]()
    expected = whole.fit(X, y, optimizer, **options)
    stopped = small_network(backend, "float32")
    stopped.fit(X, y, OPTIMIZERS[name](), callbacks=[Checkpoint(path), stop], **options)
    resumed, optimizer_of_resumed = small_network(backend, "float32", seed=99), OPTIMIZERS[name]()
    history = load_checkpoint(path, resumed, optimizer_of_resumed)
    assert len(history) == 3
    assert bytes_of(resumed) == bytes_of(stopped)
    history = resumed.fit(X, y, optimizer_of_resumed, history=history, **options)
    assert bytes_of(resumed) == bytes_of(whole)
    assert without_seconds(history) == without_seconds(expected)
    assert history["seconds"] == sorted(history["seconds"])
    assert optimizer_of_resumed.n_steps == optimizer.n_steps
    for one, other in zip(optimizer.state.values(), optimizer_of_resumed.state.values(), strict=True):
        assert [np.asarray(value).tobytes() for value in one] == [np.asarray(value).tobytes() for value in other]


@each_backend
@pytest.mark.parametrize("velocity", ["gradients", "steps"])
def test_a_velocity_goes_on_with_the_rates_of_earlier_epochs(backend, velocity, path):
    X, y = samples(20)

    def train(net, epochs, history=None, optimizer=None):
        optimizer = optimizer or SGD(0.5, momentum=0.9, velocity=velocity)
        schedule, callbacks = schedules.exponential_decay(0.5, 0.25), [Checkpoint(path)]
        net.fit(X, y, optimizer, epochs, 7, schedule=schedule, history=history, callbacks=callbacks)
        return net

    whole = train(small_network(backend), 5)
    train(small_network(backend), 2)
    resumed, optimizer = small_network(backend, seed=99), SGD(0.5, momentum=0.9, velocity=velocity)
    history = load_checkpoint(path, resumed, optimizer)
    assert bytes_of(train(resumed, 5, history, optimizer)) == bytes_of(whole)


def test_when_checkpoints_are_due(path):
    written = []

    class Look:
        reads_record = True  # called after the checkpoint is written

        def __call__(self, epoch):
            if path.exists():
                written.append(epoch.number)
                path.unlink()

    small_network().fit(*samples(6), SGD(0.1), epochs=7, callbacks=[Checkpoint(path, every=3), Look()])
    assert written == [3, 6, 7]


def test_a_checkpoint_before_the_first_step(path):
    net = small_network()
    save_checkpoint(path, net, Adam(), fastfnn.History())
    other = small_network(seed=5)
    assert len(load_checkpoint(path, other, Adam())) == 0
    assert bytes_of(other) == bytes_of(net)


def trained(path, net=None, optimizer=None):
    net = net or small_network()
    net.fit(*samples(6), optimizer or Adam(), epochs=2, callbacks=[Checkpoint(path)])


def refused(path, message, net=None, optimizer=None):
    net, optimizer = net or small_network(seed=9), optimizer or Adam(0.5)
    before = bytes_of(net), optimizer.n_steps, optimizer.learning_rate, net.rng.bit_generator.state
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path, net, optimizer)
    assert (bytes_of(net), optimizer.n_steps, optimizer.learning_rate, net.rng.bit_generator.state) == before
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_another_architecture(path):
    trained(path)
    refused(path, "is of another architecture", Network([fastfnn.Dense(4, 3)], "numpy", "float64"))
    refused(path, "is of another architecture", small_network(dtype="float32"))


def test_another_optimizer(path):
    trained(path)
    refused(path, "holds the state of Adam; got the optimizer SGD", optimizer=SGD(0.1))
    trained(path, optimizer=SGD(0.1))
    message = "holds the state of SGD with .*'momentum': 0.0.*construct it with the same options"
    refused(path, message, optimizer=SGD(0.1, momentum=0.5))
    trained(path, optimizer=SGD(0.1, momentum=0.5))
    message = "with .*'velocity': 'gradients'.*construct it with the same options"
    refused(path, message, optimizer=SGD(0.1, momentum=0.5, velocity="steps"))
    trained(path, optimizer=AdamW(epsilon_hat=True))
    refused(path, "with .*'epsilon_hat': True.*construct it with the same options", optimizer=AdamW())


def test_another_version(path):
    trained(path)
    described, tensors = read_model(path)
    write_model(path, described | {"version": "0.0.1"}, tensors)
    refused(path, r"was written by fastfnn 0\.0\.1, and this is .*: resume it with that version")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("optimizer", "state", "mean_squares", 0), None, "holds another state: .*got .*'None', 'number'"),
        (("optimizer", "state", "mean_squares"), [1.0, 1.0], "holds another state: .*got "),
        (("optimizer", "state", "more"), [1.0], "holds another state: .*'more'"),
        (("optimizer", "options", "initial"), True, "with .*'initial': True.*construct it with the same options"),
        (("random", "has_uint32"), False, "is no state of PCG64"),
        (("random", "state", "more"), 0, "is no state of PCG64"),
        (("network", "input_scale"), True, "is of another architecture"),
        (("network", "layers", 0, "use_bias"), 1, "is of another architecture"),
        (("network", "layers"), [0] * 10_000, "is of another architecture"),
        (("version",), "1" * 10_000, "was written by fastfnn 111"),
    ],
)
def test_described_values_that_do_not_fit(path, place, value, message):
    def tensorwise():
        return RMSprop(0.1, granularity="tensor", initial=1.0)

    trained(path, optimizer=tensorwise())
    described, tensors = read_model(path)
    *outer, last = place
    holder = described
    for key in outer:
        holder = holder[key]
    holder[last] = value
    write_model(path, described, tensors)
    refused(path, message, optimizer=tensorwise())


class Remembering(SGD):
    """Knows the sum of each parameter's last gradient, and None before the first."""

    _STATE = ("sums",)

    def _start(self, parameters):
        self._sums = [None] * len(parameters)

    def _update(self, kernels, index, parameter, gradient):
        super()._update(kernels, index, parameter, gradient)
        self._sums[index] = float(gradient.sum())


def test_a_state_that_begins_with_none_becomes_a_number(path):
    trained(path, optimizer=Remembering(0.1))
    optimizer = Remembering(0.1)
    load_checkpoint(path, small_network(), optimizer)
    assert all(isinstance(each, float) for each in optimizer.state["sums"])


def test_a_model_is_no_checkpoint_and_a_checkpoint_no_model(path):
    small_network().save(path)
    refused(path, "is a model, not a checkpoint: load it with Network.load")
    trained(path)
    with pytest.raises(ValueError, match="is a checkpoint, not a model: load it with"):
        Network.load(path)


def test_damaged_files(path):
    trained(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(content), 200):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        refused(path, "damaged|truncated|format|is no fastfnn model")
    for length in rng.integers(0, len(content), 50):
        path.write_bytes(content[:length])
        refused(path, "truncated|damaged")


def test_a_diverged_training_leaves_the_old_checkpoint(path):
    net = small_network()
    trained(path, net)
    old = path.read_bytes()
    net.layers[0].weights[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"0\.weights holds NaN or inf"):
        save_checkpoint(path, net, Adam(), fastfnn.History())
    assert path.read_bytes() == old


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_count(every, path):
    with pytest.raises(ValueError, match="every must be a whole number from 1 up"):
        Checkpoint(path, every)


COMMAND = ("--iterations", 30, "--batch-size", 7, "--optimizer", "adam", "--checkpoint-every", 1, "--report-every", 4)


def run_of(data, out, *more):
    return ["train", "--data", data, *TINY, *COMMAND, *more, "--out", out]


def assert_same_runs(one, other):
    reports = [
        [{name: value for name, value in report.items() if name != "seconds"} for report in read_history(folder)]
        for folder in (one, other)
    ]
    assert reports[0] == reports[1]
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


# A fork starts as a new process does, but for the imports, which are there already.
STOPPED = """
import os, random, signal, sys, time, warnings
from networks import samples, small_network
from fastfnn import Adam, History, TrainingWarning
from fastfnn.checkpoints import Checkpoint, load_checkpoint
from pathlib import Path

number, backend, n_moments, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
X, y = samples(200)
chance = random.Random(number + backend)

def train(path, tell=lambda n_epochs: None, every=1):
    net, optimizer = small_network(backend), Adam(0.01)
    history = load_checkpoint(path, net, optimizer) if path.exists() else History()
    tell(len(history))
    callbacks = [Checkpoint(path, every), lambda epoch: tell(epoch.number)]
    net.fit(X, y, optimizer, epochs=20 + 10 * n_moments, batch_size=7, history=history, callbacks=callbacks)

def train_and_tell(writing):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore", TrainingWarning)
    train(path, lambda n_epochs: os.write(writing, b"%d\\n" % n_epochs))
    os._exit(0)

def start_and_stop(n_epochs, seconds):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        train_and_tell(writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        begun_with, *_ = [int(told.readline()) for _ in range(1 + n_epochs)]
        time.sleep(seconds)
        os.kill(child, signal.Signals[number])
        _, status = os.waitpid(child, 0)
    assert status == (signal.SIGKILL if number == "SIGKILL" else 0), status
    return begun_with

small_network(backend).fit(X, y, Adam(0.01), batch_size=7)  # compiles what the children need
begun = [start_and_stop(chance.randrange(1, 6), 0.02 * chance.random()) for _ in range(n_moments)]
train(path)
train(path.with_suffix(".whole"), every=10**6)
print(*begun)
"""

# Of each kind in a test; `python -c STOPPED SIGINT numba 40 PATH` tries more.
N_MOMENTS = 10


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_stopped_at_any_moment_and_resumed(path, backend, number):
    begun = list(map(int, run(STOPPED, number, backend, N_MOMENTS, path).split()))
    assert begun == sorted(begun)
    assert len(set(begun)) > N_MOMENTS // 2
    (one, parameters), (other, parameters_of_other) = read_model(path), read_model(path.with_suffix(".whole"))
    assert without_seconds(one.pop("history")) == without_seconds(other.pop("history"))
    assert one == other
    assert {name: array.tobytes() for name, array in parameters.items()} == {
        name: array.tobytes() for name, array in parameters_of_other.items()
    }


def run(program, *arguments):
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_the_command_line_goes_on_where_it_was_ended(tmp_path, monkeypatch):
    data = write_csv(tmp_path / "train.csv", n_rows=60)
    succeed(*run_of(data, tmp_path / "whole"))
    ended = tmp_path / "ended"

    def end(self, epoch, write=Checkpoint.__call__):
        if epoch.number == 13:
            raise MemoryError("ended here")
        write(self, epoch)

    monkeypatch.setattr(Checkpoint, "__call__", end)
    assert "ended here" in fail(*run_of(data, ended))
    monkeypatch.undo()
    assert "resumed after iteration 12" in succeed("train", "--resume", ended)
    assert_same_runs(tmp_path / "whole", ended)


def test_what_cannot_be_resumed(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    assert "holds no config.toml: resume the folder of a run with --checkpoint-every" in fail(
        "train", "--resume", tmp_path
    )
    succeed("train", "--data", data, *TINY, "--out", tmp_path / "run")
    assert "holds no checkpoint.safetensors" in fail("train", "--resume", tmp_path / "run")
    message = fail("train", "--resume", tmp_path / "run", "--iterations", 7, "--out", tmp_path / "other")
    assert "keeps its settings, except iterations, threads and checkpoint-every: leave out --out" in message
    message = fail("train", "--resume", tmp_path / "run", "--iterations", 7, "--l2", 0.1, "--seed", 3)
    assert "leave out --l2, --seed" in message


def test_a_finished_training_is_resumed_to_the_same_files(tmp_path):
    data = write_csv(tmp_path / "train.csv")
    out = tmp_path / "run"
    succeed("train", "--data", data, *TINY, "--checkpoint-every", 2, "--out", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "resumed after iteration 5" in succeed("train", "--resume", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_digest_covers_the_description(path):
    trained(path)
    described, tensors = read_model(path)
    assert json.loads(json.dumps(described)) == described
    assert digest_of(described, tensors) != digest_of(described | {"version": "1"}, tensors)
