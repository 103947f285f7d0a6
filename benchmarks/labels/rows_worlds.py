"""More collections for reading: conversations (MTRAG), and the documentation of two Python versions."""

from __future__ import annotations

import random
import runpy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from labels.worlds import World, bm25, hasty, lines, read_grades
from ragwheel.demo import pydocs
from ragwheel.demo.corpus import Passage

__all__ = ["read_mtrag", "read_python"]


def read_mtrag(folder: Path) -> World:
    """Questions of conversations; hasty is what was really typed (Katsis et al., MTRAG, 2025).

    The category of a passage is the collection it comes from: Wikipedia, finance, government, cloud.
    """
    passages = lines(folder / "corpus.jsonl")
    texts = {row["_id"]: row["text"] for row in passages}
    facts = {row["_id"]: {"category": row["collection"]} for row in passages}
    rows = lines(folder / "queries.jsonl")
    grades = read_grades(folder / "qrels.tsv", {row["_id"]: row["rewrite"] for row in rows})
    typed = Counter(row["text"] for row in rows)
    short = {row["rewrite"]: hasty(row["rewrite"]) for row in rows}
    short |= {
        row["rewrite"]: row["text"]
        for row in rows
        if row["text"] != row["rewrite"] and typed[row["text"]] == 1
    }
    rankings = bm25(texts, [*short, *short.values()], 20)
    return World("mtrag", False, texts, rankings, grades, short, facts)


def read_python(old: Path, new: Path, n: int = 200) -> tuple[World, World]:
    """The documentation of two Python versions under the same ids, a world each.

    Of the old one are asked ``4 * n`` questions, of the new one ``n`` whose passages have changed and ``n``
    others. Relevant is the rest of the documentation whose first line is the question.

    Args:
        old, new: folders of the standard libraries (``.../lib/python3.8``); their names end in the version.
    """
    was, now = dict(_entries(old)), dict(_entries(new))
    texts_then = {passage.id: passage.text for _, parts in was.values() for passage in parts}
    changed: list[str] = []
    same: list[str] = []
    for question, parts in now.values():
        moved = any(texts_then.get(passage.id, passage.text) != passage.text for passage in parts)
        (changed if moved else same).append(question)
    rng = random.Random(0)
    for questions in (changed, same):
        rng.shuffle(questions)
    before = [question for question, _ in was.values()]
    rng.shuffle(before)
    return (
        _world(old, was, before[: 4 * n]),
        _world(new, now, [*changed[:n], *same[:n]]),
    )


def _world(root: Path, entries: dict[str, tuple[str, list[Passage]]], asked: list[str]) -> World:
    texts = {passage.id: passage.text for _, parts in entries.values() for passage in parts}
    facts = {
        passage.id: passage.metadata | {"version": root.name.removeprefix("python")}
        for _, parts in entries.values()
        for passage in parts
    }
    grades: dict[str, dict[str, int]] = {}
    for question, parts in entries.values():
        if question in asked:
            grades.setdefault(question, {}).update({passage.id: 2 for passage in parts})
    short = {question: hasty(question) for question in grades}
    rankings = bm25(texts, [*short, *short.values()], 20)
    kept = {
        question: grades[question] for question in grades if set(rankings[question]) & set(grades[question])
    }
    return World(root.name, False, texts, rankings, kept, short, facts)


def _entries(root: Path) -> Iterator[tuple[str, tuple[str, list[Passage]]]]:
    """Name of what is documented, its first line, and the passages with the rest."""
    found = [entry for path in _files(root) for entry in pydocs._source_entries(_module(root, path), path)]
    topics: dict[str, str] = runpy.run_path(str(root / "pydoc_data" / "topics.py"))["topics"]
    for key, text in sorted(topics.items()):
        title, _, rest = text.strip().partition("\n")
        entry = pydocs._entry(f"topics.{key}", title, f"{title}\n\n{rest.lstrip('*=-' + chr(10))}")
        found += [entry] if entry else []
    for entry in found:
        if pydocs._is_question(entry):
            yield entry.name, (entry.summary, pydocs._parts(entry))


def _files(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.rglob("*.py"))
        if not any(
            part in pydocs.SKIPPED_FOLDERS or part.startswith("config-")
            for part in path.relative_to(root).parts
        )
    ]


def _module(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
