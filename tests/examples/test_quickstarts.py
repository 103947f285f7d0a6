"""The scripts under examples/ run as a stranger would run them, and `ragwheel show` finds what they kept."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def in_folder(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def missing(script: Path) -> list[str]:
    """The packages that a script imports and that are not installed here."""
    imports = [
        node
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    modules = {
        node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports
    }
    packages = sorted({module.partition(".")[0] for module in modules})
    return [package for package in packages if importlib.util.find_spec(package) is None]


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_and_is_kept(script, tmp_path):
    if packages := missing(script):
        pytest.skip(f"needs {', '.join(packages)}: make test-integrations")
    printed = in_folder(tmp_path, sys.executable, str(script))
    assert printed.endswith("Next: ragwheel show\n")
    shown = in_folder(tmp_path, str(Path(sys.executable).with_name("ragwheel")), "show")
    last_question = [line for line in printed.splitlines() if line.endswith("?")][-1]
    assert last_question in shown
