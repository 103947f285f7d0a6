"""How much a page loads: the core and the component, built as they are published."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "integrations" / "browser"
SOURCES = FOLDER / "src"
PARTS = {"actions.js", "boxes.js", "copies.js", "debug.js", "stored.js"}


def loaded_at_once(name: str) -> set[str]:
    """A module and everything that it imports statically, of our own."""
    names, waiting = set(), [name]
    while waiting:
        names.add(current := waiting.pop())
        text = (SOURCES / current).read_text(encoding="utf-8")
        waiting += set(re.findall(r'^(?:import|export)[^;]*?"\./(\w+\.js)";', text, re.MULTILINE)) - names
    return names


def test_the_core_is_without_the_parts_that_only_some_pages_need():
    assert loaded_at_once("ragwheel.js") == {
        "ragwheel.js", "core.js", "looks.js", "outbox.js", "page.js", "watch.js"
    }  # fmt: skip
    imported = {
        name
        for module in SOURCES.glob("*.js")
        for name in re.findall(r'import\("\./(\w+\.js)"\)', module.read_text(encoding="utf-8"))
    }
    assert imported == PARTS | {"overlay.js"}


def test_the_core_and_the_component_are_little_enough():
    """At most 5,120 and 4,096 bytes, minified and gzipped: build.js fails otherwise."""
    if not (FOLDER / "node_modules" / "terser").is_dir() or shutil.which("node") is None:
        pytest.skip("needs Node.js and packages: make test-ui")
    built = subprocess.run(["node", "build.js"], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    sizes = dict(re.findall(r"^(\w+)\.js: (\d+) bytes", built.stdout, re.MULTILINE))
    assert {"ragwheel", "feedback"} < set(sizes)
    assert int(sizes["ragwheel"]) <= 5_120
    assert int(sizes["feedback"]) <= 4_096
