"""Trainings by several processes over MPI: the same bits, and the same end for all of them."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, make_samples, write_csv
from processes import mpiexec_path

from fastfnn import Network

HERE = Path(__file__).parent
MPIEXEC = mpiexec_path()

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or not sys.platform.startswith("linux"),
    reason="MPICH is installed from the package index on Linux",
)

CASES = [
    ",".join(case)
    for case in (
        *itertools.product(
            ["numba", "numpy"],
            ["packed", "dense", "csr", "memmap"],
            ["full", "mini"],
            ["adam", "rmsprop", "momentum", "weighted"],
        ),
        *itertools.product(["numba", "numpy"], ["dense", "packed"], ["full", "mini"], ["small"]),
        ("numba", "packed", "full", "adam", "float64"),
        ("numpy", "dense", "mini", "adam", "float64"),
    )
]


def command(n_processes, program, *args):
    assert MPIEXEC is not None
    return [MPIEXEC, "-n", str(n_processes), sys.executable, str(HERE / program), *map(str, args)]


def run(n_processes, program, *args):
    """Run a program by several processes; return its lines, in order of ranks if they begin with one."""
    done = subprocess.run(
        command(n_processes, program, *args), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, sorted(done.stdout.splitlines()), done.stderr


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory):
    """Return the digests of all cases, computed without MPI."""
    folder = tmp_path_factory.mktemp("alone")
    args = [sys.executable, str(HERE / "mpi_trainings.py"), "alone", str(folder), *CASES]
    done = subprocess.run(args, capture_output=True, text=True, timeout=300, check=True)
    return sorted(done.stdout.splitlines())


def test_every_case_trains_another_network(of_one_process):
    assert len(of_one_process) == len(CASES)
    assert len({line.split()[1] for line in of_one_process}) > len(CASES) / 2


@pytest.mark.parametrize("n_processes", [1, 2, 3, 4])
def test_digests_do_not_depend_on_the_number_of_processes(n_processes, of_one_process, tmp_path):
    code, found, errors = run(n_processes, "mpi_trainings.py", "mpi", tmp_path, *CASES)
    assert (code, errors) == (0, "")
    assert found == of_one_process


SAME_ERRORS = {
    "fails": "ProcessFailedError: rank 1: MemoryError: no memory for the picture",
    "nan": "ProcessFailedError: rank 1: ValueError: X must be finite; got nan in row 0, column 3: clean the data",
    "wrong": "ProcessFailedError: rank 1: ValueError: clip_norm must be None or a finite number above 0; got -1.0",
    "wrong_everywhere": "ValueError: clip_norm must be None or a finite number above 0; got -1.0",
    "other_rate": "ValueError: all processes must train alike, but clip_norm is None on rank 0, and 1.0 on rank 1",
    "other_rows": "ValueError: the processes have [156, 178, 157] rows, 491 in all, and should have [153, 184, 154]: "
    "pass X[group.rows(n)] of the n rows of all processes, and y alike",
}


def test_all_processes_raise_the_same_error(tmp_path):
    code, found, _ = run(3, "mpi_failures.py", tmp_path, *SAME_ERRORS)
    assert code == 0
    assert found == sorted(f"{name} {rank} {text}" for name, text in SAME_ERRORS.items() for rank in range(3))


@pytest.mark.parametrize(
    ("situation", "end"),
    [("stops", "3 epochs, False"), ("stops_in_epoch", "0 epochs, False"), ("interrupted", "3 epochs, True")],
)
def test_all_processes_end_at_the_same_step(situation, end, tmp_path):
    code, found, _ = run(3, "mpi_failures.py", tmp_path, situation)
    assert code == 0
    ends = [line.split(" ", 2)[1:] for line in found]
    assert [rank for rank, _ in ends] == ["0", "1", "2"]
    assert len({seen for _, seen in ends}) == 1
    assert ends[0][1].startswith(end)


def test_a_process_that_does_not_answer_ends_the_others(tmp_path):
    code, _, errors = run(3, "mpi_failures.py", tmp_path, "hangs")
    assert code != 0
    assert "another process has not answered for 3 seconds" in errors


def resumed(n_processes, folder):
    """Train to the end from the checkpoint in a folder; return what all processes saw."""
    code, found, _ = run(n_processes, "mpi_failures.py", folder, "resumed")
    assert code == 0
    (seen,) = {line.split(" ", 2)[2] for line in found}
    return seen


@pytest.mark.parametrize(("situation", "code"), [("killed0", "not 0"), ("killed1", "not 0"), ("stops_in_epoch", "0")])
def test_a_training_goes_on_on_another_number_of_processes(situation, code, tmp_path):
    """Kill one of three processes at some step, or stop in the middle of an epoch; resume on four and on one."""
    broken = tmp_path / "broken"
    found, _, _ = run(3, "mpi_failures.py", broken, situation)
    assert (found == 0) == (code == "0")
    shutil.copytree(broken, tmp_path / "copy")
    unbroken = resumed(2, tmp_path / "unbroken")
    assert resumed(4, broken) == resumed(1, tmp_path / "copy") == unbroken


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells which pages of a file are read")
def test_a_process_reads_its_own_rows_of_a_mapped_file(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, np.random.default_rng(0).random((40_000, 400), np.float32))
    code, found, errors = run(3, "mpi_pages.py", path)
    assert (code, errors) == (0, "")
    for line in found:
        _, of_file, own, others = map(int, line.split())
        assert own <= path.stat().st_size * 0.4
        assert of_file <= 1.2 * own
        assert others <= own


def write_samples(folder):
    """Write the same samples in every form that the command line reads differently."""
    X, y = make_samples(200)
    np.savez(folder / "mapped.npz", X=X, y=y)
    np.savez_compressed(folder / "compressed.npz", X=X, y=y)
    write_csv(folder / "table.csv", 200)
    return X, y


def fastfnn_train(n_processes, *options):
    """Run `fastfnn train` by several processes; return its exit code, output and errors."""
    start = [] if n_processes == 0 else [MPIEXEC, "-n", str(n_processes)]
    distributed = ["--shares", "8"] if n_processes == 0 else ["--distributed", "mpi", "--shares", "8"]
    distributed = distributed if "--resume" not in options else distributed[:-2]
    words = [*start, sys.executable, "-m", "fastfnn", "train", *distributed, *map(str, options)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def parameters_in(folder):
    return {name: array.tobytes() for name, array in Network.load(folder / "model.safetensors").parameters.items()}


@pytest.mark.parametrize("name", ["mapped.npz", "compressed.npz", "table.csv"])
def test_the_command_line_trains_the_same_network(name, tmp_path):
    write_samples(tmp_path)
    options = [*TINY, "--data", tmp_path / name, "--test-data", tmp_path / "mapped.npz", "--batch-size", 50]
    options += ["--checkpoint-every", 2]
    trained = []
    for n_processes in (0, 1, 3):
        out = tmp_path / f"run{n_processes}"
        code, output, errors = fastfnn_train(n_processes, *options, "--out", out)
        assert (code, errors) == (0, "")
        assert output.count("200 samples to train, 200 to test") == 1
        trained.append(parameters_in(out))
    assert trained[0] == trained[1] == trained[2]


def test_the_command_line_resumes_on_any_number_of_processes(tmp_path):
    write_samples(tmp_path)
    options = [*TINY, "--data", tmp_path / "mapped.npz", "--batch-size", 50, "--checkpoint-every", 2]
    ends = []
    for n_processes in (2, 3):
        out = tmp_path / f"run{n_processes}"
        assert fastfnn_train(n_processes, *options, "--out", out)[0] == 0
        code, output, errors = fastfnn_train(n_processes % 3, "--resume", out, "--iterations", 8)
        assert (code, errors) == (0, "")
        assert "resumed after iteration 5" in output
        ends.append(parameters_in(out))
    assert ends[0] == ends[1]


def test_the_command_line_says_what_is_wrong_once_for_each_process(tmp_path):
    code, _, errors = fastfnn_train(3, *TINY, "--data", tmp_path / "nothing.npz", "--out", tmp_path / "run")
    assert code == 2
    lines = errors.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 1
    assert "nothing.npz" in lines[0]
    assert lines[0].startswith("error: ")
    assert not (tmp_path / "run").exists()
