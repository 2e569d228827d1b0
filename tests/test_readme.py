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
    """Return the cells of a page's table of benches by the CPU, by the work."""
    _, _, rest = page.read_text(encoding="utf-8").partition("<!-- bench:start -->")
    section, _, _ = rest.partition("<!-- bench:end -->")
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    (_, *cpus), *rows = ([cell.strip() for cell in cells] for cells in lines)
    return {work: dict(zip(cpus, cells, strict=True)) for work, *cells in rows}


def test_figures_of_the_table_are_those_of_the_last_bench_of_each_cpu():
    shown, measured = rows_by_work(PAGE), rows_by_work(ROOT / "bench" / "README.md")
    assert len(shown) > 5
    assert shown == {work: measured[work] for work in shown}
