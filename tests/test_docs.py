"""The pages in docs/: their code runs, and nothing is missing that they are to describe; Sphinx checks the links."""

import doctest
import importlib
import inspect
import pkgutil
import re
import sys

import pytest
from documents import ROOT, blocks, commands, parse, run_block
from fastfnn_kernels.checks import CHECKS

import fastfnn
from fastfnn.recipes import RECIPES

DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).with_suffix("").as_posix(): page for page in sorted(DOCS.rglob("*.rst"))}
TEXTS = {name: page.read_text(encoding="utf-8") for name, page in PAGES.items()}
PROGRAMS = [name for name, page in PAGES.items() if blocks(page, "python")]


def named_by(directives, pages=tuple(PAGES)):
    """Return what some directives are given on some pages."""
    pattern = re.compile(rf"^\.\. (?:{directives}):: (\S+)$", re.MULTILINE)
    return {name for page in pages for name in pattern.findall(TEXTS[page])}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_is_a_program(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(PAGES[name], "python"):
        run_block(PAGES[name], block, names)


@pytest.mark.parametrize("module", ["fastfnn.network", "fastfnn.history", "fastfnn.objective", "fastfnn_kernels"])
def test_examples_in_docstrings_run(module):
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_what_newcomers_read_is_run():
    pages = {"index", "tour", "own_code", "own_layers", "training", "saving", "sklearn", "determinism"}
    assert pages <= set(PROGRAMS)
    assert named_by("code-block") == {"python", "console"}


@pytest.mark.parametrize("command", [command for page in PAGES.values() for command in commands(page)])
def test_commands_are_known(command):
    assert parse(command).get("recipe") in {None, *RECIPES}


def test_every_recipe_has_its_page():
    assert {name.removeprefix("recipes/") for name in PAGES if name.startswith("recipes/")} == {"index", *RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_and_its_page_report_the_same(name):
    docstring = inspect.getmodule(RECIPES[name].build_network).__doc__
    tables = re.findall(r"^=+ .*?^=+ .*?^=+ [= ]+$", docstring, re.MULTILINE | re.DOTALL)
    figures = set(re.findall(r"\d+\.\d+", "".join(tables)))
    assert figures <= set(re.findall(r"\d+\.\d+", TEXTS[f"recipes/{name}"]))


def test_every_kernel_has_its_entry():
    assert named_by("autofunction", ["kernels"]) == set(CHECKS)


def entries_of(module):
    """Return the names that `automodule` takes: what a module exports, or else what it defines."""
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [f"{module.__name__}.{name}" for name in getattr(module, "__all__", defined)]


def test_every_public_name_has_its_entry():
    modules = [importlib.import_module(name) for name in named_by("automodule")]
    pages = [name for name in PAGES if name.startswith("api/")]
    entries = named_by("autoclass|autoexception|autofunction", pages).union(*map(entries_of, modules))
    documented = {pkgutil.resolve_name(entry) for entry in entries} | set(modules)
    missing = {name for name in fastfnn.__all__ if getattr(fastfnn, name) not in documented}
    assert missing == {"__version__"}


@pytest.fixture
def docstrings(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "extensions")
    monkeypatch.delitem(sys.modules, "docstrings", raising=False)
    return importlib.import_module("docstrings")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("y = 1 - y**2", r"y = 1 - y\*\*2"),
        ("s + |g|**2, see `a * b`", r"s + \|g\|\*\*2, see `a * b`"),
        ("    w.", r"    \w."),
        (">>> 2 * 3", ">>> 2 * 3"),
    ],
)
def test_formulas_of_docstrings_are_no_markup(docstrings, line, shown):
    assert docstrings.escaped(line) == shown


@pytest.mark.parametrize("block", [["    a = b * c", "    d = |a|"], ["=====  ===", "a * b  |a|", "=====  ==="]])
def test_formulas_on_lines_of_their_own_stay_as_they_are(docstrings, block):
    section = ["Parameters", "----------", "a"]
    lines = ["Compute:", "", *block, "", "x * y", "", *section, "    b * c"]
    docstrings.keep_formulas(None, "function", "f", None, None, lines)
    literal = ["::", "", *(f"    {line}" for line in block), "    "]
    assert lines == ["Compute:", "", *literal, r"x \* y", "", *section, r"    b \* c"]
