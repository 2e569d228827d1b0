import json
import os

import numpy as np
import pytest

from fastfnn.app import run_folder


def test_a_folder_is_made_with_its_parents_and_may_be_there(tmp_path):
    folder = tmp_path / "a" / "b"
    with run_folder.made_folder(folder):
        (folder / "kept").write_text("as it was")
    with run_folder.made_folder(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["kept"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_stays_empty_is_removed_with_the_parents_made_for_it(tmp_path, error):
    def fail_after(write):
        write()
        raise error

    (tmp_path / "a").mkdir()
    with pytest.raises(error), run_folder.made_folder(tmp_path / "a" / "b" / "c"):
        fail_after((tmp_path / "a" / "b" / "c").stat)
    assert list((tmp_path / "a").iterdir()) == []
    with pytest.raises(error), run_folder.made_folder(tmp_path / "a"):
        fail_after((tmp_path / "a").stat)
    assert (tmp_path / "a").is_dir()
    with pytest.raises(error), run_folder.made_folder(tmp_path / "b" / "c"):
        fail_after(lambda: (tmp_path / "b" / "kept").write_text("as it was"))
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_a_folder_that_cannot_be(tmp_path, name):
    (tmp_path / "file").write_text("as it was")
    failure = pytest.raises(OSError, match=r"cannot write into the folder .* choose another --out")
    with failure, run_folder.made_folder(tmp_path / name):
        pass
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "as it was")]


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors", "history.jsonl", "submission.csv"])
def test_a_folder_with_results_holds_a_run(tmp_path, name):
    run_folder.require_free(tmp_path, [], overwrite=False)
    (tmp_path / name).write_text("as it was")
    with pytest.raises(
        ValueError, match=rf"holds a run \({name}\): replace it with --overwrite, or choose another --out"
    ):
        run_folder.require_free(tmp_path, [], overwrite=False)
    run_folder.require_free(tmp_path, [], overwrite=True)


def test_pictures_are_no_run(tmp_path):
    for name in ("samples.png", "grid.png", "regions.png", "mine.csv"):
        (tmp_path / name).write_text("as it was")
    run_folder.require_free(tmp_path, [], overwrite=False)


def test_the_old_files_that_are_removed(tmp_path):
    for name in (*run_folder.RESULTS, *run_folder.PICTURES, "mine.csv"):
        (tmp_path / name).write_text("as it was")
    run_folder.remove_old(tmp_path)
    run_folder.remove_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "mine.csv"]


@pytest.mark.parametrize("name", ["model.safetensors", "submission.csv", "curves.png"])
def test_a_link_stays_when_the_old_file_behind_it_is_removed(tmp_path, name):
    (tmp_path / "kept").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "kept" / "old").write_text("as it was")
    (tmp_path / "run" / name).symlink_to(tmp_path / "kept" / "old")
    run_folder.remove_old(tmp_path / "run")
    assert (tmp_path / "run" / name).is_symlink()
    assert list((tmp_path / "kept").iterdir()) == []
    with run_folder.made_folder(tmp_path / "run"):
        run_folder.write_submission(tmp_path / "run" / name, np.array([7]))
    assert (tmp_path / "run" / name).is_symlink()
    assert (tmp_path / "kept" / "old").read_text() == "ImageId,Label\n1,7\n"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.symlink_to("missing/file"), "there is no folder"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (lambda path: path.symlink_to(os.devnull), "it is a device"),
    ],
)
@pytest.mark.parametrize("name", [*run_folder.RESULTS, *run_folder.PICTURES])
def test_a_file_of_a_run_that_cannot_be_replaced(tmp_path, name, make, reason):
    make(tmp_path / name)
    failure = pytest.raises(OSError, match=rf"cannot write the file .*{name} \(.*{reason}.*\): choose another --out")
    with failure, run_folder.made_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_failures_are_told_together_and_without_numbers(tmp_path):
    def write(name):
        return lambda: run_folder.write_history(tmp_path / name, [])

    (tmp_path / "file").write_text("as it was")
    with pytest.raises(OSError, match="cannot write") as caught:
        run_folder.write_all([write("missing/a"), write("b"), write("file/c")])
    reasons = "there is no folder {0}/missing", "Not a directory"
    first, second = str(caught.value).split("; ")
    assert first == f"cannot write the file {tmp_path}/missing/a ({reasons[0].format(tmp_path)})"
    assert second == f"cannot write the file {tmp_path}/file/c ({reasons[1]})"
    assert (tmp_path / "b").exists()


def test_a_file_that_can_be_written_is_not_touched(tmp_path):
    (tmp_path / "old").write_text("as it was")
    run_folder.require_writable(tmp_path / "old")
    run_folder.require_writable(tmp_path / "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "as it was")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_file_to_replace(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a device, a pipe or a socket"):
        run_folder.require_writable(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    with pytest.raises(OSError, match="it is a device, a pipe or a socket"):
        run_folder.require_writable(tmp_path / "link")


@pytest.mark.parametrize("name", ["", "missing/new", "file/new"])
def test_a_file_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("as it was")
    with pytest.raises(OSError, match=r"cannot write the file .* choose another --out"):
        run_folder.require_writable(tmp_path / name)


def test_history_has_a_line_for_each_report(tmp_path):
    reports = [{"iteration": 1, "loss": 0.1, "steps": {"0.bias": {"g": 1e-300}}}, {"iteration": 501, "loss": 1 / 3}]
    run_folder.write_history(tmp_path / "history.jsonl", reports)
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()] == reports


REPORT = {"iteration": 1, "loss": 0.5, "accuracy": 1, "seconds": 0.25}


def test_history_comes_back(tmp_path):
    reports = [REPORT, REPORT | {"iteration": 2, "steps": {"0.bias": {"g": 1.0}}}]
    run_folder.write_history(tmp_path / "history.jsonl", reports)
    assert run_folder.read_history(tmp_path / "history.jsonl") == reports


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "3",
        "null",
        "[]",
        '{"iteration": 1}',
        json.dumps(REPORT | {"iteration": "1"}),
        json.dumps(REPORT | {"iteration": True}),
        json.dumps(REPORT | {"iteration": 1.5}),
        json.dumps(REPORT | {"loss": None}),
        json.dumps(REPORT | {"loss": float("nan")}),
        json.dumps(REPORT | {"more": float("inf")}),
        json.dumps(REPORT | {"seconds": {}}),
        json.dumps(REPORT).replace("0.25", "1e999"),
        json.dumps(REPORT).replace("0.25", "9" * 5000),
        json.dumps(REPORT).replace("0.25", "9" * 400),
        "[" * 100_000,
        "\udcff",
        json.dumps(REPORT) + "\x0b" + json.dumps(REPORT),
        json.dumps(REPORT) + "\x85" + json.dumps(REPORT),
        json.dumps(REPORT).replace("}", ', "loss": 2}'),
    ],
)
def test_a_damaged_history_is_named(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_bytes(f"{json.dumps(REPORT)}\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"history\.jsonl is damaged: ") as caught:
        run_folder.read_history(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["\u2028", "\x85", "é"])
def test_only_line_ends_end_a_report(tmp_path, text):
    path = tmp_path / "history.jsonl"
    report = REPORT | {"text": text}
    path.write_text(2 * (json.dumps(report, ensure_ascii=False) + "\n"), encoding="utf-8")
    assert run_folder.read_history(path) == [report, report]


def test_a_history_without_reports(tmp_path):
    run_folder.write_history(tmp_path / "history.jsonl", [])
    assert run_folder.read_history(tmp_path / "history.jsonl") == []


def test_submission_counts_images_from_one(tmp_path):
    run_folder.write_submission(tmp_path / "submission.csv", np.array([7, 0, 12]))
    assert (tmp_path / "submission.csv").read_text() == "ImageId,Label\n1,7\n2,0\n3,12\n"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("as it was")
    with pytest.raises(ValueError, match="JSON"):
        run_folder.write_history(path, [{"loss": float("nan")}])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("history.jsonl", "as it was")]
