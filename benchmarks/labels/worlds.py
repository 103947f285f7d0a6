"""The collections: queries, passages, what the retriever ranks for them, and what people judged."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = ["World", "bm25", "hasty", "lines", "read_grades", "read_noveleval", "read_scifact"]


@dataclass(frozen=True)
class World:
    """A retriever's whole world.

    Args:
        name: of the collection.
        complete: every ranked passage was judged; otherwise what nobody judged counts as irrelevant.
        texts: chunk id -> text.
        rankings: wording of a query -> chunk ids, best first.
        grades: query -> chunk id -> grade above 0.
        short: query -> a hasty wording of the same need.
        facts: chunk id -> metadata, where there is any.
        wordings: query -> the wordings that it is asked in, where there are several.
        scores: wording of a query -> chunk id -> the retriever's score; without it, 1 / rank.
    """

    name: str
    complete: bool
    texts: Mapping[str, str]
    rankings: Mapping[str, Sequence[str]]
    grades: Mapping[str, Mapping[str, int]]
    short: Mapping[str, str]
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    wordings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def queries(self) -> list[str]:
        """In a fixed order."""
        return list(self.grades)

    @property
    def top(self) -> int:
        """The highest grade."""
        return max(max(grades.values(), default=1) for grades in self.grades.values())

    @property
    def needs(self) -> dict[str, str]:
        """Wording -> the query that it stands for; a query stands for itself."""
        needs = {query: query for query in self.queries} | {
            short: query for query, short in self.short.items()
        }
        return needs | {wording: query for query in self.wordings for wording in self.wordings[query]}

    def wordings_of(self, query: str) -> Sequence[str]:
        """The wordings that a query is asked in."""
        return self.wordings.get(query, (query,))

    def half(self, which: int) -> World:
        """Every other query: 0 is for choosing defaults, 1 was never looked at while choosing."""
        kept = {q: grades for n, (q, grades) in enumerate(self.grades.items()) if n % 2 == which}
        return replace(self, grades=kept)


def read_noveleval(folder: Path) -> World:
    """21 questions of 2023, 20 passages each, every one judged 0-2 (Sun et al., RankGPT, EMNLP 2023)."""
    texts = {row["_id"]: row["text"] for row in lines(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in lines(folder / "queries.jsonl")}
    ranked: dict[str, list[tuple[int, str]]] = {}
    for row in lines(folder / "retrieved.jsonl"):
        ranked.setdefault(queries[row["query_id"]], []).append((row["rank"], row["doc_id"]))
    rankings = {query: [doc for _, doc in sorted(found)] for query, found in ranked.items()}
    grades = read_grades(folder / "qrels.tsv", queries)
    short = {query: hasty(query) for query in grades}
    found = bm25(texts, list(short.values()), 20)
    return World("noveleval", True, texts, {**found, **rankings}, grades, short)


def read_scifact(folder: Path, n: int = 100) -> World:
    """``n`` expert claims over 5,183 abstracts, ranked by BM25; judged: the abstracts that claims cite."""
    texts = {row["_id"]: f"{row['title']}. {row['text']}" for row in lines(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in lines(folder / "queries.jsonl")}
    grades = read_grades(folder / "qrels.test.tsv", queries)
    chosen = sorted(grades)
    random.Random(0).shuffle(chosen)
    found = bm25(texts, chosen, 20)
    kept = [query for query in chosen if set(found[query]) & set(grades[query])][:n]
    short = {query: hasty(query) for query in kept}
    rankings = {**bm25(texts, list(short.values()), 20), **{query: found[query] for query in kept}}
    return World("scifact", False, texts, rankings, {query: grades[query] for query in kept}, short)


def hasty(query: str) -> str:
    """The first half of a question's words."""
    words = query.split()
    return " ".join(words[: max(2, len(words) // 2)])


def bm25(texts: Mapping[str, str], queries: list[str], k: int) -> dict[str, list[str]]:
    """The ``k`` best texts for each query."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts.values()), show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(queries, show_progress=False)
    found, _ = index.retrieve(tokens, corpus=list(texts), k=k, show_progress=False)
    return {query: [str(doc) for doc in row] for query, row in zip(queries, found)}


def read_grades(path: Path, queries: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Grades above 0 by the text of a query and the id of a passage, from BEIR's qrels."""
    grades: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            judged = grades.setdefault(queries[row["query-id"]], {})
            if int(row["score"]) > 0:
                judged[row["corpus-id"]] = int(row["score"])
    return grades


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
