"""The program's output: closed pipes, closed streams, and terminals and names of other characters."""

import errno
import io
import os
import pty
import re
import subprocess
import sys

import pytest
from command_line import TINY, write_csv
from rich.console import Console

from fastfnn.app import terminal
from fastfnn.app.terminal import LossyFile

PROGRAM = [sys.executable, "-c", "from fastfnn.app.cli import main; main()"]
FILES = {"config.toml", "curves.png", "history.jsonl", "model.safetensors", "samples.png"}
LATIN_1 = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "iso8859-1", "LC_ALL": "C", "TERM": "xterm", "COLUMNS": "60"}


def start(*arguments, **options):
    return subprocess.run([*PROGRAM, *map(os.fsencode, arguments)], check=False, timeout=100, **options)


@pytest.fixture
def data(tmp_path):
    return write_csv(tmp_path / "train.csv")


@pytest.fixture
def closed_pipe():
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def train(data, out):
    return ["train", "--data", str(data), *TINY, "--out", str(out)]


@pytest.mark.parametrize("arguments", [["info"], ["recipes"], ["--help"], ["train", "--help"], []])
def test_a_closed_pipe_is_no_error(closed_pipe, arguments):
    ended = start(*arguments, stdout=closed_pipe, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (0 if arguments else 2, b"")


def test_a_training_goes_on_without_a_reader(closed_pipe, data, tmp_path):
    ended = start(*train(data, tmp_path / "run"), stdout=closed_pipe, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_a_training_whose_reader_goes_away(data, tmp_path):
    arguments = [*train(data, tmp_path / "run"), "--report-every", "1", "--iterations", "400"]
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"kaggle-rmsprop: 60 samples to train, 0 to test\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(100) == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_errors_keep_their_exit_code_without_a_reader(closed_pipe, tmp_path):
    assert (
        start(*train(tmp_path / "none.csv", tmp_path / "run"), stdout=closed_pipe, stderr=closed_pipe).returncode == 2
    )


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams(data, tmp_path, closing):
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh", *PROGRAM, *train(data, tmp_path / "run")]
    ended = subprocess.run(shell, capture_output=True, check=False, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert (b"the files are in" in ended.stdout) == (">&-" not in closing.split())


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path, closing):
    prepare = "from fastfnn.app.terminal import prepare_streams; prepare_streams(); "
    program = prepare + "print(open('a', 'w').fileno(), file=open('b', 'w'))"
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-c", program]
    subprocess.run(shell, cwd=tmp_path, check=True, timeout=100)
    assert int((tmp_path / "b").read_text()) > 2


def on_terminal(*arguments, **environment):
    """Run the program on a terminal, and return its exit code and what the terminal shows."""
    shown, screen = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), screen)
    with subprocess.Popen(
        [*PROGRAM, *map(os.fsencode, arguments)], env=os.environ | environment, **streams
    ) as process:
        os.close(screen)
        content = bytearray()
        while chunk := read_terminal(shown):
            content += chunk
    os.close(shown)
    return process.returncode, bytes(content)


def read_terminal(shown):
    try:
        return os.read(shown, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:  # nobody has the terminal open any more
            raise
        return b""


def test_a_terminal_of_few_characters(data, tmp_path):
    code, shown = on_terminal(*train(data, tmp_path / "run"), "--test-data", str(data), **LATIN_1)
    assert code == 0, shown
    assert shown.isascii()
    assert b"\\u" not in shown
    assert re.search(rb"[-|/\\](\x1b\[0m)? testing", shown)
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES | {"confusion.png"}


def test_a_terminal_of_all_characters(data, tmp_path):
    code, shown = on_terminal(*train(data, tmp_path / "run"), "--test-data", str(data), TERM="xterm", PYTHONUTF8="1")
    assert code == 0, shown
    assert "\u280b" in shown.decode()


@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["train", "--help"]])
def test_tables_on_a_terminal_of_few_characters(arguments):
    code, shown = on_terminal(*arguments, **LATIN_1)
    assert code == 0, shown
    assert len(shown) > 400
    assert shown.isascii()
    assert b"\\u" not in shown


ODD = os.fsdecode(b"gr\xf6sse\xff")


def test_a_name_that_is_not_unicode_is_refused_before_the_training(tmp_path, data):
    odd = tmp_path / f"{ODD}.csv"
    data.rename(odd)
    ended = start(*train(odd, tmp_path / "run"), capture_output=True)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr.startswith(b"error: data must be valid Unicode, because config.toml holds it; got '")
    assert ended.stderr.endswith(b"gr\\udcf6sse\\udcff.csv': rename it\n")
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [b"gr\xf6sse\xff.csv"]


def test_names_that_are_not_unicode_elsewhere(tmp_path, data):
    out = tmp_path / ODD
    ended = start(*train(data, out), capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"the files are in " in ended.stdout
    assert b"gr\\udcf6sse\\udcff" in ended.stdout
    assert {path.name for path in out.iterdir()} == FILES
    odd = tmp_path / f"{ODD}.csv"
    data.rename(odd)
    predict = ("predict", "--model", out / "model.safetensors", "--backend", "numpy", "--data", odd)
    ended = start(*predict, "--out", tmp_path / f"{ODD}.out", capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (tmp_path / f"{ODD}.out").read_text().startswith("ImageId,Label\n1,")
    ended = start(*predict, "--out", odd, capture_output=True)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    ended = start("predict", "--model", odd, "--data", odd, "--out", tmp_path / "o", capture_output=True)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize("gone", terminal.GONE)
def test_a_file_without_a_reader_takes_everything(monkeypatch, gone):
    class Gone(io.FileIO):
        def write(self, data):
            raise OSError(gone, "gone")

    class Lossy(LossyFile, Gone):
        pass

    with Lossy(os.devnull, "w") as file:
        assert file.write(b"12345") == 5
        assert file.failure is None


def test_a_full_disk_is_remembered():
    with LossyFile("/dev/full", "w") as file:
        assert file.write(b"1") == 1
        assert file.failure.errno == errno.ENOSPC


@pytest.mark.parametrize("arguments", [["info"], ["recipes"]])
def test_output_onto_a_full_disk_is_an_error_in_one_line(arguments):
    with open("/dev/full", "wb") as full:
        ended = start(*arguments, stdout=full, stderr=subprocess.PIPE)
    expected = b"error: the output is incomplete: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (2, expected)


def test_a_training_whose_log_is_on_a_full_disk_writes_its_files(data, tmp_path):
    with open("/dev/full", "wb") as full:
        ended = start(*train(data, tmp_path / "run"), stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_the_spinner_fits_the_terminal(monkeypatch):
    for encoding, frames in (("iso8859-1", "-\\|/"), ("utf-8", "\u280b\u2819")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(terminal, "Console", lambda stream=stream: Console(file=stream, force_terminal=True))
        assert "".join(terminal.spinner("waiting")._spinner.frames).startswith(frames)
