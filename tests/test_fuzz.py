"""Damaged files give a right result or a message of one line; `tests/fuzz.py` does more of this for longer.

A few damages of each format are tried here, always the same ones, in processes of their own: their memory is limited.
"""

import math
import re
from pathlib import Path

import fuzz
import numpy as np
import processes
import pytest
from fuzz_format import Format, Subject, difference, plain

PROGRAM = Path(__file__).parent / "fuzz.py"
OUTCOME = re.compile(r"(.+): (\d+) damages(?:, (\d+) accepted)?, no finding")

DAMAGES = 200


def test_damaged_files_give_a_right_result_or_one_line():
    with processes.start(PROGRAM, arguments=["--count", str(DAMAGES), "--seed", "22"]) as process:
        output = processes.finish(process)
    found = {name: (int(damages), int(accepted or 0)) for name, damages, accepted in OUTCOME.findall(output)}
    expected = {of.name: math.ceil(DAMAGES / of.every) for of in fuzz.all_formats()} | {"kernels": DAMAGES}
    assert {name: damages for name, (damages, _) in found.items()} == expected
    assert all(accepted < expected[name] for name, (_, accepted) in found.items())
    assert sum(accepted > 0 for _, accepted in found.values()) > len(found) // 2


def outcome_of(folder, read, right=None, content=b"12"):
    """Return what comes of a file of text that is read in some way after its damage."""
    of = Format("text", (content,), lambda rng, content, other: content + b"3", "a.txt", read, right)
    subject = Subject(of, folder)
    return subject.outcome(seed=1, number=0)


def test_a_right_result_is_no_fault(tmp_path):
    assert outcome_of(tmp_path, lambda path: int(path.read_text()), int) == (b"123", True, None)
    assert outcome_of(tmp_path, lambda path: 12) == (b"123", True, None)


def test_another_result_is_a_fault(tmp_path):
    assert "another result: 123, expected 12" in outcome_of(tmp_path, lambda path: int(path.read_text())).fault
    fault = outcome_of(tmp_path, lambda path: 12, lambda content: int(content) / 0).fault
    assert "which a plain parser refuses" in fault


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("a.txt is damaged", None),
        ("it is damaged", "no a.txt in it"),
        ("a.txt is\ndamaged", "characters that cannot be printed"),
        ("a.txt is \x1b[31mdamaged", "characters that cannot be printed"),
        ("a.txt is \ud800", "characters that cannot be printed"),
        ("a.txt" + 5000 * "!", "5,005 characters"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_file(tmp_path, message, fault):
    def read(path):
        if path.read_text() == "123":
            raise ValueError(message)
        return 12

    outcome = outcome_of(tmp_path, read)
    assert not outcome.accepted
    assert outcome.fault == fault if fault is None else outcome.fault.startswith(fault)


@pytest.mark.parametrize("error", [KeyError("a.txt"), MemoryError("a.txt"), RuntimeWarning("a.txt")])
def test_other_errors_are_faults(tmp_path, error):
    def read(path):
        if path.read_text() == "123":
            raise error
        return 12

    assert "Traceback" in outcome_of(tmp_path, read).fault


def test_what_is_the_same():
    array = np.arange(3)
    for one, other in [(1, 1.0), (float("nan"), float("nan")), ((1, 2), [1, 2]), ({"a": [1]}, {"a": (1.0,)})]:
        assert difference(one, other) is None
    assert difference(plain(array), plain(array.copy())) is None
    assert difference({"a": [1, True]}, {"a": [1, 1]}) == "['a'][1]: True, expected 1"
    for one, other in [(0, False), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (None, 0)]:
        assert difference(one, other) is not None
    assert difference(plain(array), plain(array.astype(np.int32))) is not None


def test_a_finding_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    of = Format("text", (b"12",), lambda rng, content, other: b"3", "a.txt", lambda path: path.read_text())
    options = fuzz.parsed(["--count", "5", "--seed", "7", "--first", "2"])
    assert fuzz.fuzz([Subject(of, tmp_path)], options) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"text, --seed 7 --first 2, kept as {tmp_path / 'a.txt'}:\nanother result")
    assert (tmp_path / "a.txt").read_bytes() == b"3"
