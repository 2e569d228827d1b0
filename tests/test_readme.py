"""What the README shows runs, and names things that exist."""

import re

import pytest
from documents import ROOT, blocks, commands, parse, run_block

PAGE = ROOT / "README.md"
README = PAGE.read_text(encoding="utf-8")
BLOCKS = blocks(PAGE, "python")


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_block(PAGE, block, {})


def test_there_are_python_blocks():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("command", commands(PAGE))
def test_commands_are_known(command):
    parse(command)


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)#]+)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake (\w+)", README))))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def rows_by_work(page):
    """Return the cells of a page's table of benches, by the work."""
    lines = [line.strip("|").split("|") for line in page.read_text().splitlines() if line.startswith("| ")]
    header = next((cells for cells in lines if [cell.strip() for cell in cells[:2]] == ["work", "fastfnn"]), [])
    names = [cell.strip() for cell in header]
    rows = [[cell.strip() for cell in cells] for cells in lines if len(cells) == len(names) and cells != header]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def test_figures_of_the_table_are_those_of_the_last_bench():
    shown, measured = rows_by_work(PAGE), rows_by_work(ROOT / "bench" / "README.md")
    assert len(shown) > 5
    for work, row in shown.items():
        assert row["fastfnn"] == measured[work]["fastfnn"]
        assert row["NumPy takes"] == measured[work]["NumPy takes"]
        assert row["best other library takes"] == measured[work]["best peer takes"]
