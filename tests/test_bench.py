"""What the bench makes of its rounds: which it keeps, how passes and runs are joined, and what its tables say."""

import importlib
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from documents import ROOT
from processes import finish, start

BENCH = ROOT / "bench"


@pytest.fixture
def bench(monkeypatch):
    """Import the bench's modules by name."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


def described(name, seconds, peaks=(), dtype="float32", threads=2, **amounts):
    """Describe a pass of an entry as pytest-benchmark and `measure` do."""
    info = {"dtype": dtype, "threads": threads, "flop": 0.0, "n_bytes": 0.0, "samples": 0, **amounts}
    momentary = {"momentary_gflops": list(peaks)} if peaks else {}
    return {"fullname": name, "extra_info": info | momentary, "stats": {"data": list(seconds)}, "options": {}}


def test_rounds_of_a_slow_machine_are_left_out(bench):
    passes = [
        described("product", [4.0, 1.0], [100.0, 89.0], flop=2e11),
        described("product", [3.0, 2.0], [100.0, 91.0], flop=2e11),
    ]
    (joined,) = bench("summary").summarize(passes, copy_gbs=1.0)
    assert joined["stats"] == {"min": 2.0, "median": 3.0, "rounds": 4, "kept": 3}
    assert joined["extra_info"]["gflops"] == 100.0
    assert joined["extra_info"]["share_of_peak"] == pytest.approx(200 / 3 / 100)
    assert not {"options", "momentary_gflops"} & {*joined, *joined["extra_info"]}


def test_a_machine_that_was_never_itself_is_taken_at_its_best_and_says_so(bench):
    quick, slow = ([1.0] * 9, [100.0] * 9), ([5.0, 4.0], [50.0, 60.0])
    passes = [described("quick", *quick, flop=1e9), described("slow", *slow, flop=1e9)]
    _, joined = bench("summary").summarize(passes, copy_gbs=1.0)
    assert joined["stats"] == {"min": 4.0, "median": 4.0, "rounds": 2, "kept": 0}


def test_peaks_are_compared_with_those_of_as_many_threads_and_the_same_dtype(bench):
    passes = [
        described("two", [1.0], [100.0], flop=1e9),
        described("one", [2.0], [50.0], flop=1e9, threads=1),
        described("double", [3.0], [25.0], flop=1e9, dtype="float64"),
    ]
    assert [joined["stats"]["kept"] for joined in bench("summary").summarize(passes, copy_gbs=1.0)] == [1, 1, 1]


def test_what_memory_limits_is_compared_with_a_copy_and_keeps_all_rounds(bench):
    passes = [described("update", [2.0, 1.0], n_bytes=3e9), described("update", [4.0], n_bytes=3e9)]
    (joined,) = bench("summary").summarize(passes, copy_gbs=4.0)
    assert joined["stats"] == {"min": 1.0, "median": 2.0, "rounds": 3}
    assert joined["extra_info"]["share_of_peak"] == 0.75


@pytest.mark.parametrize(
    ("cpus", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (12, [1, 2, 4, 8, 12]), (16, [1, 2, 4, 8, 16])]
)
def test_threads_double_up_to_all_cpus(bench, cpus, counts):
    assert bench("machine").thread_counts(cpus) == counts


def test_peaks_are_measured_on_the_threads_that_the_package_chooses():
    measures = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import machine
    machine.fma_gflops("float32", steps=1000, rounds=1)
    """
    asks = """
    from fastfnn_kernels.runtime.thread_pool import thread_layer
    print(thread_layer())
    """
    chosen, after_peaks = (finish(start(program, arguments=[str(BENCH)])) for program in (asks, measures + asks))
    assert after_peaks == chosen


def test_no_pass_begins_that_would_not_end_in_time(bench, monkeypatch):
    module = bench("passes")
    moments = iter([0.0, 0.0, 0.4 * module.SECONDS, 0.8 * module.SECONDS])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    first, other = object(), object()
    passes = module.Passes([first])
    begun = [passes.begins_with(item) for item in [first, other] * 3]
    assert begun == [True, False, True, False, False, False]
    assert passes.over


def test_contenders_of_a_work_take_turns(bench, monkeypatch):
    module = bench("passes")
    monkeypatch.setattr(module, "TURNS", 3)

    def entry(work, contender):
        params = {"contender": contender}
        return SimpleNamespace(nodeid=f"{work}-{contender}]", callspec=SimpleNamespace(params=params))

    entries = [entry(work, contender) for work in ("epoch[32", "epoch[128") for contender in ("ours", "theirs")]
    turns = [item.nodeid for item in module.in_turns(entries)]
    of_32 = ["epoch[32-ours]", "epoch[32-theirs]", "epoch[32-theirs]", "epoch[32-ours]", *turns[:2]]
    assert turns == of_32 + [name.replace("32", "128") for name in of_32]


def test_an_entry_never_follows_itself(bench):
    first, second, pause = "first", "second", "pause"
    items = [first, first, second, first, second, second, second]
    expected = [first, pause, first, second, first, second, pause, second, pause, second]
    assert bench("passes").apart(items, pause) == expected
    assert bench("passes").apart([], pause) == []


def test_what_trainings_take_of_memory_is_written_in_megabytes(bench):
    entries = bench("entries")

    def entry(contender, memory):
        empty = dict.fromkeys(("n_kept", "samples_per_second", "gflops", "gbs", "share_of_peak"))
        named = {"work": "memory", "subject": entries.MEMORY, "case": "images", "headline": "memory, images"}
        times = dict.fromkeys(("seconds", "median_seconds", "first_call_seconds"), 7.0)
        return entries.Entry(
            **named, **times, **empty, contender=contender, threads=2, n_rounds=1, memory_bytes=memory
        )

    work = entries.Work([entry("numba", 5e6), entry("torch", 131.7e6)])
    peaks = {"cpu": "CPU", "threads": 2, "fma_gflops": {}, "copy_gbs": 1.0}
    results = entries.Results([work], peaks, {}, {}, "2030-01-01", "")
    assert bench("side_by_side").headlines([results]) == {"memory, images": ["5 MB; torch 132 MB"]}
    report = bench("tables").full_report(results, {})
    assert "| images | torch | 132 MB |" in report
    assert "7 s" not in report


class CountedBenchmark:
    """A stand-in for the fixture of pytest-benchmark that calls what it is given."""

    enabled = True
    stats = None

    def __init__(self):
        self.extra_info = {}

    def pedantic(self, run, setup=None, teardown=None, rounds=1, iterations=1):
        for _ in range(rounds * iterations):
            run()
            teardown()


def test_a_turn_is_one_round_and_only_the_first_is_verified(bench, monkeypatch):
    module, momentary = bench("measurement"), bench("momentary")
    monkeypatch.setattr(momentary, "settled_peak", lambda dtype: 1.0)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
    options = {"benchmark_min_rounds": 3, "benchmark_max_time": 1.0}
    work = module.Work("training", "epoch", "float32", flop=1.0)
    calls, checked = [], []
    for turn in range(3):
        measure = module.Measure(CountedBenchmark(), SimpleNamespace(getoption=options.get)).in_turns(turn)
        measure(work, "ours", lambda: calls.append(None) or len(calls), checked.append)
    assert (len(calls), checked) == (4, [1])


def test_pairs_count_when_the_machine_was_itself_in_both_turns(bench):
    turns = [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]
    peaks = [100.0, 100.0, 100.0, 100.0, 60.0, 100.0, 100.0]
    assert bench("compare").kept(turns, peaks) == [(1.0, 2.0)]


def test_a_comparison_says_its_median_and_quartiles(bench):
    comparison = bench("compare").Comparison([(1.0, 0.8), (2.0, 1.8), (4.0, 4.0)], 5)
    assert str(comparison) == "0.900 [0.850, 0.950] of the old time, 3 of 5 pairs kept, best 1 s -> 800 ms"
    assert "too busy" in str(bench("compare").Comparison([], 5))


OWN_MEASUREMENT = """
class Measure:
    def __call__(self, work, contender, run, check, restore=None):
        raise AssertionError("another takes its place")

    def typical(self, work, contender, run, rounds):
        raise AssertionError("another takes its place")
"""

ENTRIES = """
import pytest
from measurement import Measure

@pytest.fixture
def measure():
    return Measure()

def bench_restored(measure):
    state = [0]
    def run():
        state[0] += 1
        assert state == [1], "what a call changes is put back"
    measure("work", "numba", run, lambda _: None, lambda: state.__setitem__(0, 0))

def bench_typical(measure):
    measure.typical("work", "numba", lambda: None, 3)

def bench_wrong(measure):
    def check(result):
        raise AssertionError("a wrong result")
    measure("work", "numba", lambda: None, check)

def bench_{only}(measure):
    measure("work", "numba", lambda: None, lambda _: None)
"""


@pytest.fixture
def checkouts(tmp_path):
    """Write two small checkouts with benches of their own."""
    for name in ("old", "new"):
        kernels, folder = tmp_path / name / "kernels" / "fastfnn_kernels", tmp_path / name / "bench"
        kernels.mkdir(parents=True)
        folder.mkdir()
        (kernels / "__init__.py").touch()
        (folder / "measurement.py").write_text(OWN_MEASUREMENT)
        (folder / "bench_all.py").write_text(ENTRIES.format(only=f"only_{name}"))
        shutil.copy(BENCH / "pytest.ini", folder)
    return tmp_path / "old", tmp_path / "new"


def test_two_checkouts_run_their_own_benches_in_turns(bench, checkouts, tmp_path, monkeypatch, capfd):
    module = bench("compare")
    monkeypatch.setattr(module, "settled_peak", lambda dtype: 1.0)
    old, new = (module.Side(checkout, "bench_", tmp_path / f"{checkout.name}.log", None) for checkout in checkouts)
    try:
        module.compare(old, new, n_pairs=3)
    finally:
        old.close()
        new.close()
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "only in the old checkout: bench_all.py::bench_only_old"
    assert lines[1] == "only in the new checkout: bench_all.py::bench_only_new"
    compared = [f"bench_all.py::bench_{name}" for name in ("restored", "typical", "wrong")]
    assert [line.split(": ")[0] for line in lines[2:]] == compared
    assert all("3 of 3 pairs kept" in line for line in lines[2:4])
    assert "a wrong result" in lines[4]


def test_a_checkout_is_never_compared_with_what_is_installed(bench, checkouts, tmp_path):
    old, _ = checkouts
    shutil.rmtree(old / "kernels")
    side = bench("compare").Side(old, "bench_", tmp_path / "log", None)
    try:
        with pytest.raises(SystemExit, match="is to be measured, and"):
            side.hear()
    finally:
        side.close()


@pytest.fixture
def copied(tmp_path):
    """Copy what `report.py` reads and writes."""
    skipped = shutil.ignore_patterns("*.png", "__pycache__")
    shutil.copytree(BENCH, tmp_path / "bench", ignore=skipped)
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def renew(folder):
    """Run `report.py`; returns the tables of README.md and bench/README.md."""
    subprocess.run([sys.executable, str(folder / "bench" / "report.py")], check=True)
    return [page.read_text(encoding="utf-8") for page in (folder / "README.md", folder / "bench" / "README.md")]


def test_the_tables_are_those_of_the_results(copied):
    assert renew(copied) == [page.read_text(encoding="utf-8") for page in (ROOT / "README.md", BENCH / "README.md")]


def test_each_cpu_has_a_column_with_its_last_run(copied):
    results = copied / "bench" / "results"
    content = json.loads(next(results.glob("*.json")).read_text())
    for day, commit in (("2030-01-01", "1" * 40), ("2030-01-02", "2" * 40)):
        content["machine_info"]["peaks"].update(cpu="Another (one)", threads=16)
        content["datetime"], content["commit_info"]["id"] = f"{day}T00:00:00+00:00", commit
        (results / f"{day}.json").write_text(json.dumps(content))
    for page in renew(copied):
        (head,) = (line for line in page.splitlines() if line.startswith("| work |"))
        assert "| Another (one), 16 threads<br>2030-01-02, 2222222 |" in head
        assert "1111111" not in page
        assert len(set(head.split("|"))) == head.count("|") == head.count("<br>") + 2
