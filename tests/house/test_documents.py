"""The code in README and in docs/ runs, and prints what is printed beside it.

In one file, blocks run from top to bottom in one empty folder and one namespace:

* ``python`` blocks are executed;
* ``console`` blocks are typed: each ``$`` line is a command of ours, what follows is its output;
* a ``text`` block after ``<!-- output -->`` is what the ``python`` block before it prints.

In printed output ``…`` stands for anything. ``<!-- not run: reason -->`` before a block leaves it out;
blocks in any other language (``sh``, ``sql``, ``json``) are only read.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ragwheel.errors import MissingExtra

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FRAMEWORKS = ("ragwheel_llamaindex", "ragwheel_haystack", "ragwheel_dspy")
BLOCK = re.compile(r"(?ms)^(?:<!-- (?P<note>[^\n]*?) -->\n+)?```(?P<language>\w+)\n(?P<code>.*?)^```$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the comment before it and its first line's number."""

    language: str
    code: str
    note: str
    line: int


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks that are to be run or compared, in order."""
    found = (
        Block(m["language"], m["code"], m["note"] or "", text[: m.start("code")].count("\n") + 1)
        for m in BLOCK.finditer(text)
    )
    return [b for b in found if not b.note.startswith("not run: ")]


def same_output(expected: str, got: str) -> bool:
    """Whether ``got`` is ``expected``, where `…` stands for anything and line ends are trimmed."""
    expected, got = ("\n".join(line.rstrip() for line in t.strip().splitlines()) for t in (expected, got))
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), got, re.DOTALL) is not None


def type_in(console: str) -> None:
    """Run the ``$`` lines of a console block and compare what each prints."""
    for command, expected in re.findall(r"(?m)^\$ (.+)\n((?:(?!\$ ).*\n)*)", console):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"},
        )  # fmt: skip
        if "pip install 'ragwheel[" in done.stderr:
            raise MissingExtra(done.stderr)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        assert same_output(expected, done.stdout), f"$ {command}\nprinted:\n{done.stdout}"


def run(path: Path, blocks: list[Block]) -> None:
    """Run a document's blocks in the current folder."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    try:
        for block in blocks:
            where = f"{path.relative_to(ROOT)}, line {block.line}"
            if block.language == "python":
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile("\n" * block.line + block.code, where, "exec"), namespace)
                printed = out.getvalue()
            elif block.language == "console":
                type_in(block.code)
            elif block.language == "text" and block.note == "output":
                assert same_output(block.code, printed), f"{where}: the code before prints\n{printed}"
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a page may leave the closing to the reader
            namespace.clear()
            gc.collect()


@pytest.fixture
def quick_collection() -> Iterator[None]:
    """Keep what lives already (millions of objects of torch) out of the collection after a page."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_document_runs(path, tmp_path, monkeypatch, quick_collection):
    blocks = blocks_of(path.read_text(encoding="utf-8"))
    if not blocks:
        return
    monkeypatch.chdir(tmp_path)
    try:
        run(path, blocks)
    except ImportError as exc:
        if exc.name in {*FRAMEWORKS, "dspy"}:  # make test-integrations installs it and runs the page
            pytest.skip(f"needs {exc.name}: make test-integrations")
        if importlib.util.find_spec("ragwheel_langchain"):  # everything is installed here
            raise
        pytest.skip(f"needs more than the light core: {exc}")
    finally:
        for name in ("ragwheel_langchain", *FRAMEWORKS):
            if integration := sys.modules.get(name):
                integration.uninstrument()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_comparison_can_fail():
    assert same_output("a … c\n", "a b c  \n")
    assert not same_output("a … c\n", "a b d\n")
    assert not same_output("a\n", "a\nb\n")
    assert [b.code for b in blocks_of("```python\n1\n```\n<!-- not run: why -->\n```python\n2\n```\n")] == [
        "1\n"
    ]


def test_the_site_is_built_without_a_warning(tmp_path):
    """Among what is a warning: a page that no menu has, a link or an anchor that leads nowhere."""
    pytest.importorskip("material", reason="the site is built with the dependency group docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference" / "app.html").read_text(encoding="utf-8")
    assert "user_id" in reference
    options = (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--db" in options
