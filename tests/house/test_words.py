"""Names say what a thing is: a budget for empty words, and one class for each class name."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in (ROOT / "src", *(ROOT / "integrations").glob("*/src"))
    for path in sorted(folder.rglob("*.py"))
]
#: How often a word is still the name of a variable or parameter. These figures may only fall: take a word of
#: the field instead (row, chunk, signal, previous, count, reading), and lower the figure.
BUDGET = {
    "found": 95, "one": 10, "place": 25, "known": 31, "given": 15, "told": 8, "said": 7, "made": 2,
}  # fmt: skip


@cache
def trees() -> list[tuple[str, ast.AST]]:
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES
    ]


def test_empty_words_become_fewer():
    counts: Counter[str] = Counter()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                counts[node.id] += 1
            elif isinstance(node, ast.arg):
                counts[node.arg] += 1
    over = {word: counts[word] for word, most in BUDGET.items() if counts[word] > most}
    assert over == {}, f"more than the budget {BUDGET}"


def test_a_class_name_is_used_once():
    places = defaultdict(list)
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
