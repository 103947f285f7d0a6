"""No two modules import each other, even in a function; the picture in CONTRIBUTING shows the layers."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
#: Circles that are still there; this set may only shrink.
LEFT = {("ragwheel.labels.engines.engine", "ragwheel.labels.engines.spark")}


def modules() -> dict[str, Path]:
    names = {}
    for path in (SOURCES / "ragwheel").rglob("*.py"):
        name = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        names[name.removesuffix(".__init__")] = path
    return names


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """(module, names) of each import; those for the type checker alone are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        else:
            yield from imports(node)


def graph() -> dict[str, set[str]]:
    known = modules()
    edges = {}
    for name, path in known.items():
        targets = set()
        for module, members in imports(ast.parse(path.read_text(encoding="utf-8"))):
            inner = {f"{module}.{member}" for member in members} & known.keys()
            targets |= inner or ({module} & known.keys())
        edges[name] = targets - {name}
    return edges


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for target in edges[waiting.pop()] - reached:
            reached.add(target)
            waiting.append(target)
    return reached


def test_there_are_no_circles():
    edges = graph()
    reach = {name: reachable(edges, name) for name in edges}
    circles = {
        tuple(sorted({name} | {other for other in reach[name] if name in reach[other]}))
        for name in edges
        if name in reach[name]
    }
    assert circles == LEFT


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_the_picture_shows_every_layer_in_order():
    import tomllib

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    picture = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The picture")[1].split("```")[1]
    )
    drawn = [
        sorted(re.split(r"\s*·\s*", re.split(r"\s{2,}", line.strip())[0]))
        for line in picture.strip().splitlines()
        if "═" not in line
    ]
    assert drawn == [sorted(re.split(r"\s*\|\s*", layer)) for layer in reversed(layers)]
