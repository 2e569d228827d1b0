import json

import numpy as np
import pytest

from fastfnn.app import run_folder


def test_a_folder_is_made_with_its_parents_and_may_be_there(tmp_path):
    folder = tmp_path / "a" / "b"
    run_folder.make_folder(folder)
    (folder / "kept").write_text("as it was")
    run_folder.make_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_a_folder_that_cannot_be(tmp_path, name):
    (tmp_path / "file").write_text("as it was")
    with pytest.raises(OSError, match=r"cannot write into the folder .* choose another --out"):
        run_folder.make_folder(tmp_path / name)
    assert (tmp_path / "file").read_text() == "as it was"


def test_a_file_that_can_be_written_is_not_touched(tmp_path):
    (tmp_path / "old").write_text("as it was")
    run_folder.require_writable(tmp_path / "old")
    run_folder.require_writable(tmp_path / "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "as it was")]


@pytest.mark.parametrize("name", ["", "missing/new", "file/new"])
def test_a_file_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("as it was")
    with pytest.raises(OSError, match=r"cannot write the file .* choose another --out"):
        run_folder.require_writable(tmp_path / name)


def test_history_has_a_line_for_each_report(tmp_path):
    reports = [{"iteration": 1, "loss": 0.1, "steps": {"0.bias": {"g": 1e-300}}}, {"iteration": 501, "loss": 1 / 3}]
    run_folder.write_history(tmp_path / "history.jsonl", reports)
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()] == reports


def test_submission_counts_images_from_one(tmp_path):
    run_folder.write_submission(tmp_path / "submission.csv", np.array([7, 0, 12]))
    assert (tmp_path / "submission.csv").read_text() == "ImageId,Label\n1,7\n2,0\n3,12\n"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("as it was")
    with pytest.raises(ValueError, match="JSON"):
        run_folder.write_history(path, [{"loss": float("nan")}])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("history.jsonl", "as it was")]
