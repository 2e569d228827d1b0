"""Both backends offer the same files, names, signatures and checks."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from fastfnn_kernels import checks, jitted, reference
from fastfnn_kernels.protocol import Kernels


def public_names(module):
    return {name for name, value in vars(module).items() if inspect.isfunction(value) and not name.startswith("_")}


KERNELS = sorted(public_names(reference) - {"checked"})
JITTED = Path(jitted.__file__).parent
FILES = sorted(name for _, name, _ in pkgutil.iter_modules(reference.__path__))


def public(files):
    return [name for name in files if not name.startswith("_")]


def test_same_kernels():
    assert public_names(reference) == public_names(jitted)
    assert len(KERNELS) == 32


def test_the_protocol_lists_every_kernel():
    assert public_names(Kernels) == public_names(reference) - {"checked"}


@pytest.mark.parametrize("name", KERNELS)
def test_the_protocol_has_the_signature(name):
    method = inspect.signature(getattr(Kernels, name))
    of_self, *parameters = method.parameters.values()
    assert of_self.name == "self"
    assert method.replace(parameters=parameters) == inspect.signature(getattr(reference, name))


def test_same_files():
    assert public(sorted(name for _, name, _ in pkgutil.iter_modules(jitted.__path__))) == public(FILES)


@pytest.mark.parametrize("name", KERNELS)
def test_same_signature(name):
    specification = inspect.signature(getattr(reference, name))
    assert inspect.signature(getattr(jitted, name)) == specification


@pytest.mark.parametrize("name", KERNELS)
def test_same_file_for_each_kernel(name):
    home = getattr(reference, name).__module__.rsplit(".", 1)[1]
    assert getattr(jitted, name).__module__ == f"fastfnn_kernels.jitted.{home}"


@pytest.mark.parametrize("name", [name for name in KERNELS if name not in ("adam", "adamw", "compress_rows")])
def test_the_check_takes_what_the_kernel_takes(name):
    kernel = inspect.signature(getattr(reference, name)).parameters
    check = inspect.signature(checks.CHECKS[name]).parameters
    assert [(p.name, p.default) for p in kernel.values()] == [(p.name, p.default) for p in check.values()]


@pytest.mark.parametrize("name", KERNELS)
def test_the_specification_is_documented(name):
    assert "Parameters\n" in inspect.getdoc(getattr(reference, name))


@pytest.mark.parametrize("file", FILES)
def test_the_reference_needs_numpy_alone(file):
    source = inspect.getsource(importlib.import_module(f"fastfnn_kernels.reference.{file}"))
    imported = {
        line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= {"__future__", "collections", "typing", "numpy", "fastfnn_kernels"}


FOLDERS = ["_compile", "_llvm", "_products"]  # each builds on those before it


def imports_within_jitted(file):
    """Yield what a file imports from the compiled kernels: the first part of the module's path, and the names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("fastfnn_kernels.jitted."):
            yield node.module.split(".")[2], [alias.name for alias in node.names]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_builds_on_those_before_it(folder):
    files = sorted((JITTED / folder).glob("*.py"))
    assert len(files) > 1
    below = FOLDERS[: FOLDERS.index(folder) + 1]
    for file in files:
        assert {part for part, _ in imports_within_jitted(file)} <= set(below), file.name


@pytest.mark.parametrize("file", public(FILES))
def test_kernels_share_code_by_way_of_the_folders_alone(file):
    for part, names in imports_within_jitted(JITTED / f"{file}.py"):
        assert part in FOLDERS or set(names) <= set(KERNELS)
