"""A BEIR folder as something that people can ask, with BM25 as the retriever."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from ragwheel.testing import World

__all__ = ["promoted_and_demoted", "read_world"]


def read_world(folder: Path, queries: int, k: int) -> World:
    """The first ``queries`` questions of the train split whose relevant chunks BM25 finds among its ``k``.

    Raises:
        SystemExit: the folder is not in BEIR's layout.
    """
    for name in ("corpus.jsonl", "queries.jsonl", "qrels.train.tsv"):
        if not (folder / name).is_file():
            raise SystemExit(f"--data {folder}: got no {name} there, expected a folder in BEIR's layout.")
    corpus = _lines(folder / "corpus.jsonl")
    place = {chunk["_id"]: n for n, chunk in enumerate(corpus)}
    grades: dict[str, dict[int, int]] = {}
    with (folder / "qrels.train.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            grades.setdefault(row["query-id"], {})[place[row["corpus-id"]]] = int(row["score"])
    asked = [query for query in _lines(folder / "queries.jsonl") if query["_id"] in grades]
    texts = [f"{chunk.get('title', '')}\n{chunk['text']}".strip() for chunk in corpus]
    rankings = _bm25(texts, [query["text"] for query in asked], k)
    found = [
        (query, ranking)
        for query, ranking in zip(asked, rankings)
        if any(chunk in grades[query["_id"]] for chunk in ranking)
    ][:queries]
    return World(
        [query["text"] for query, _ in found],
        [(chunk["_id"], text) for chunk, text in zip(corpus, texts)],
        [ranking for _, ranking in found],
        [grades[query["_id"]] for query, _ in found],
    )


def promoted_and_demoted(world: World, displayed: int) -> tuple[int, int]:
    """Targets: the chunk displayed most often without being relevant, and the most often where it is."""
    pushed: Counter[int] = Counter()
    buried: Counter[int] = Counter()
    for ranking, grades in zip(world.rankings, world.grades):
        for chunk in ranking[:displayed]:
            (buried if grades.get(chunk, 0) > 0 else pushed)[chunk] += 1
    relevant = {chunk for grades in world.grades for chunk in grades}
    promoted = max((n, -chunk) for chunk, n in pushed.items() if chunk not in relevant)
    demoted = max((n, -chunk) for chunk, n in buried.items())
    return -promoted[1], -demoted[1]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _bm25(texts: list[str], queries: list[str], k: int) -> list[list[int]]:
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    found, _ = index.retrieve(bm25s.tokenize(queries, show_progress=False), k=k, show_progress=False)
    return [[int(chunk) for chunk in ranking] for ranking in found]
