"""`import ragwheel` is light, and so is everything that runs inside a host app."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = {"duckdb", "httpx", "ibis", "langchain", "langchain_core", "numpy", "pandas", "pyarrow", "pydantic"}
HEAVY |= {"rich", "sqlite_utils", "torch", "typer"}
# sqlite-utils, pydantic and httpx may come in once they are needed; these never may in a host app
NEVER = HEAVY - {"sqlite_utils", "pydantic", "httpx"}

A_CAPTURED_TURN = """
import ragwheel
ragwheel.configure("ragwheel.db")

@ragwheel.retriever
def search(query, k=5):
    return ["one", "two"]

with ragwheel.turn("a question") as turn:
    search("a question")
    turn.answer("an answer [1]")
assert ragwheel.signal(turn.handle, "thumbs_up")
assert ragwheel.flush()
"""


def modules_after(code: str, cwd: Path) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running ``code``."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_importing_ragwheel_brings_nothing_heavy(tmp_path):
    assert modules_after("import ragwheel", tmp_path) & HEAVY == set()


def test_capturing_brings_nothing_heavy(tmp_path):
    assert modules_after(A_CAPTURED_TURN, tmp_path) & NEVER == set()


def test_importing_has_no_side_effects(tmp_path):
    before = modules_after("", tmp_path)
    after = modules_after(
        "import logging, threading, warnings; import opentelemetry.sdk.trace\n"
        "seen = (threading.active_count(), list(logging.root.handlers), list(warnings.filters))\n"
        "import ragwheel\n"
        "assert seen == (threading.active_count(), list(logging.root.handlers), list(warnings.filters))",
        tmp_path,
    )
    assert "ragwheel" in after - before
    assert list(tmp_path.iterdir()) == []
