"""Imports inside the package: none points up, and none goes round in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import fastfnn

PACKAGE = Path(fastfnn.__file__).parent

# The lowest rank first. `Network` imports `files` when it is called, and `files` takes models.
RANKS = [
    "_checks _memory _warnings backends",
    "_monitor",
    "inputs history initializers schedules parameters metrics splits datasets data_form",
    "losses layers optimizers",
    "model",
    "execution files",
    "training",
    "network",
    "callbacks checkpoints grid_search objective state_dict plots",
    "recipes",
    "app sklearn distributed",
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names.split()}
ENTRY = {"fastfnn", "fastfnn.__main__"}  # they import what they show

FILES = {
    ".".join(("fastfnn", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported_by(name):
    """Return every file of the package that a file imports: for types, or inside a function, as well."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written in full"
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= within & FILES.keys() or {node.module}
    ours = {module for module in found if module.split(".")[0] == "fastfnn"} - {name}
    assert ours <= FILES.keys(), f"{name} imports files that are not there: {ours - FILES.keys()}"
    return ours


def rank(name):
    return RANK[name.split(".")[1]]


def test_every_part_of_the_package_has_a_rank():
    assert {name.split(".")[1] for name in FILES.keys() - ENTRY} == RANK.keys()


def test_no_arrow_points_up():
    arrows = [(name, other) for name in FILES.keys() - ENTRY for other in imported_by(name)]
    assert len(arrows) > 100
    assert [f"{name} -> {other}" for name, other in arrows if other in ENTRY or rank(other) > rank(name)] == []


def test_there_is_no_circle():
    assert len(list(TopologicalSorter({name: imported_by(name) for name in FILES}).static_order())) == len(FILES)
