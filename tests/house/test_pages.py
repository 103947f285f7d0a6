"""Pages say first what they are for and last where to go next; what can be seen going wrong is explained."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
HELP = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
FLAGS = (
    HELP
    + (DOCS / "capture.md").read_text(encoding="utf-8")
    + (DOCS / "durability.md").read_text(encoding="utf-8")
)
SOURCES = sorted((ROOT / "src" / "ragwheel").rglob("*.py"))


def paragraphs(path: Path) -> list[str]:
    text = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [part.strip() for part in text.split("\n\n") if part.strip()]


@cache
def all_calls() -> dict[str, list[ast.Call]]:
    """Every call in the code, by the name of what is called."""
    calls = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                calls[getattr(node.func, "attr", getattr(node.func, "id", ""))].append(node)
    return calls


def fixed_texts(node: ast.expr) -> list[str]:
    """The parts of a message that are the same whatever it is about."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_begins_with_what_it_is_for_and_ends_with_where_to_go_next(path):
    title, first, *_rest = paragraphs(path)
    assert title.startswith("# ")
    assert re.match(r"[A-Za-z*`\[]", first), (
        "the first paragraph is a sentence, no code, table, list or picture"
    )
    assert not first.startswith("```")
    last = paragraphs(path)[-1]
    if "## Where to go next" not in path.read_text(encoding="utf-8"):
        assert last.startswith("Next: "), last
    assert "](" in last, last


def test_every_warning_is_explained():
    texts = [fixed_texts(call.args[1]) for call in all_calls()["warn_once"] if len(call.args) > 1]
    messages = [parts for parts in texts if parts]  # one without is passed on from the process that merges
    assert len(messages) > 15
    beginnings = [[" ".join(text.strip(" :;,.()'").split()[:3]) for text in texts] for texts in messages]
    assert [each for each in beginnings if not any(len(text) > 10 and text in HELP for text in each)] == []


def test_every_line_of_doctor_is_explained():
    checks = {
        argument.value
        for call in all_calls()["Finding"]
        for argument in call.args[:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if argument.value not in {"ok", "note", "warning", "error"}
    }
    assert len(checks) > 8
    assert [check for check in sorted(checks) if f"`{check}`" not in HELP] == []


def test_every_flag_is_explained():
    flags = {
        re.split(r"[: ]", argument.value)[0]
        for name in ("flag", "append", "add")
        for call in all_calls()[name]
        if "flag" in ast.unparse(call.func)
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    assert len(flags) > 5
    assert [flag for flag in sorted(flags) if flag not in FLAGS] == []
