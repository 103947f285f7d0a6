"""Every module is of one make: documented, explicit about what it offers, short."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import ragwheel
from ragwheel.errors import MissingExtra

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in (ROOT / "src" / "ragwheel", *(ROOT / "integrations").glob("*/src"))
    for path in folder.rglob("*.py")
)
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Parse a module once for all tests that look at it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the first statement to the last; signature and docstring, which may be long, do not count."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_module_has_a_docstring_and_says_what_it_offers(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), "no module docstring"
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert "__all__" in assigned, "no __all__"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_module_and_its_functions_are_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_MODULE_LINES, f"{lines} lines: split it by topic"
    functions = (n for n in ast.walk(tree_of(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
    long = {f.name: length for f in functions if (length := lines_of(f)) > MAX_FUNCTION_LINES}
    assert long == {}, "functions that do not fit a screen"


def test_exported_members():
    """What can be seen in ``ragwheel`` is what ``__all__`` lists, and all of it is there."""
    missing = [name for name in ragwheel.__all__ if not hasattr(ragwheel, name)]
    assert missing == []
    # `annotations` is what `from __future__ import annotations` leaves behind
    visible = {
        name
        for name, value in vars(ragwheel).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert visible <= set(ragwheel.__all__)
    assert set(ragwheel.__all__) <= set(dir(ragwheel))


def test_public_members_are_documented():
    undocumented = [
        name
        for name in ragwheel.__all__
        if callable(getattr(ragwheel, name)) and not getattr(ragwheel, name).__doc__
    ]
    assert undocumented == []


@pytest.mark.parametrize(
    "name",
    [m.name for m in pkgutil.iter_modules(ragwheel.__path__, "ragwheel.") if m.name != "ragwheel.__main__"],
)
def test_package_offers_what_it_lists(name):
    try:
        module = importlib.import_module(name)
        assert [member for member in module.__all__ if not hasattr(module, member)] == []
    except MissingExtra as exc:
        pytest.skip(str(exc))


OPEN_TO_INTEGRATIONS = {"ragwheel", "ragwheel.deploy", "ragwheel.fewshot", "ragwheel.integration"}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "integrations" in path.relative_to(ROOT).parts], ids=short
)
def test_an_integration_imports_only_public_names(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
    ours = {name for name in imported if name == "ragwheel" or str(name).startswith("ragwheel.")}
    assert ours <= OPEN_TO_INTEGRATIONS
