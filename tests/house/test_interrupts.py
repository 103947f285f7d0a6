"""Code that runs inside the app's calls swallows no exception without asking whose it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What runs while the app waits for it.
CALLED_BY_THE_APP = (
    "src/ragwheel/capture", "src/ragwheel/host", "src/ragwheel/citations", "src/ragwheel/journal",
    "src/ragwheel/redaction", "src/ragwheel/deploy", "src/ragwheel/runtime.py", "src/ragwheel/integration",
    "integrations/langchain/src", "integrations/llamaindex/src", "integrations/haystack/src",
    "integrations/dspy/src",
)  # fmt: skip
#: Functions that let through what a signal handler of the app raised, or raise everything.
ASKING = {
    "let_interrupts_through", "caught", "raised", "failed", "fell_back", "_check_failed", "_judge",
    "raise_after", "throw", "athrow",
}  # fmt: skip


def broad_handlers(path: Path) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            kinds = "BaseException" if node.type is None else ast.unparse(node.type)
            if {"Exception", "BaseException"} & set(kinds.strip("()").split(", ")):
                yield node


def asks(handler: ast.ExceptHandler) -> bool:
    """Whether the handler's first statement names a function that asks, or its last raises."""
    first, last = handler.body[0], handler.body[-1]
    if isinstance(last, ast.Raise):
        return True
    names = {node.id for node in ast.walk(first) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(first) if isinstance(node, ast.Attribute)}
    return bool(names & ASKING)


def files() -> list[str]:
    paths = [
        path
        for each in CALLED_BY_THE_APP
        for path in ((ROOT / each).rglob("*.py") if (ROOT / each).is_dir() else [ROOT / each])
    ]
    return sorted(str(path.relative_to(ROOT)) for path in paths)


@pytest.mark.parametrize("file", files())
def test_a_broad_handler_lets_the_apps_interrupts_through(file: str) -> None:
    silent = [handler.lineno for handler in broad_handlers(ROOT / file) if not asks(handler)]
    assert not silent, f"{file}, lines {silent}: begin with let_interrupts_through(error)"
