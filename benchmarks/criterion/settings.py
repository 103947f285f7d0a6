"""Judged collections as an app uses them: questions that are asked, and others that are kept for the truth.

``scifact``: expert claims over abstracts. ``python``: the first lines of Python's own documentation over the
rest of it. ``expertqa``: experts' questions over the web passages that support the answers' claims.
``mtrag`` and ``paraphrases``: questions of conversations, and these with claims in several wordings each.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from labels.crowds.wordings import read_paraphrased
from labels.rows_worlds import read_mtrag
from labels.worlds import World, lines, read_grades

from ragwheel.demo.pydocs import read_python_docs
from ragwheel.train.adapter.embedding import embedding
from ragwheel.train.adapter.examples import unit
from ragwheel.train.adapter.ranking import top

__all__ = ["APPS", "COLLECTIONS", "Setting", "read_setting"]

Floats = npt.NDArray[np.float32]

APPS: Final = ("base", "bm25", "hybrid")
BASE: Final = "minilm"
_DEPTH: Final = 20
_TEST: Final = {"scifact": 0, "python": 500, "expertqa": 130, "mtrag": 70, "paraphrases": 130}
_SUPPORTS: Final = frozenset({"Complete", "Partial"})


@dataclass(frozen=True)
class Setting:
    """A collection in use.

    Attributes:
        world: the questions that the crowd asks, ranked by the app's retriever.
        app: the app's retriever, of :data:`APPS`.
        documents: (m, d) base vectors of the chunks, in the order of ``world.texts``.
        vectors: base vectors by the text of each question or wording.
        test: questions that nobody asks, with the numbers of their relevant chunks.
        words: BM25 scores (questions, m) by the text of each question, as rows of one array.
    """

    world: World
    app: str
    documents: Floats
    vectors: Mapping[str, Floats]
    test: Mapping[str, npt.NDArray[np.int64]]
    words: Callable[[Sequence[str]], Floats]

    @property
    def texts(self) -> list[str]:
        """The texts of the chunks."""
        return list(self.world.texts.values())

    def of(self, questions: Sequence[str]) -> Floats:
        """(n, d) base vectors of questions."""
        return np.stack([self.vectors[question] for question in questions])


def read_setting(name: str, data: Path, app: str) -> Setting:
    """A collection with an app over it; the same questions are kept for the test every time."""
    whole, test = _divided(name, data)
    texts = list(whole.texts.values())
    asked = [wording for query in whole.queries for wording in whole.wordings_of(query)]
    encode = embedding(BASE)

    def tell(_stage: str, done: int, total: int) -> None:
        print(f"{name}: {done:,} of {total:,} texts embedded", file=sys.stderr, flush=True)

    documents = unit(encode(texts, "document", progress=tell))
    every = [*dict.fromkeys([*asked, *test])]
    vectors = dict(zip(every, unit(encode(every, "query", progress=tell)), strict=True))
    numbers = {chunk: number for number, chunk in enumerate(whole.texts)}
    words = _bm25_scores(texts)
    queries = np.stack([vectors[text] for text in asked])
    near = top(queries, documents, 100)
    ranked = near
    if app != "base":
        lexical = np.argsort(-words(asked), axis=1, kind="stable")[:, :100]
        ranked = lexical if app == "bm25" else _fused(near, lexical, len(documents))
    chunks = list(whole.texts)
    rankings = {text: [chunks[n] for n in row[:_DEPTH]] for text, row in zip(asked, ranked, strict=True)}
    relevant = {
        query: np.array(sorted(numbers[chunk] for chunk in grades), dtype=np.int64)
        for query, grades in test.items()
    }
    return Setting(replace(whole, rankings=rankings), app, documents, vectors, relevant, words)


def _fused(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Reciprocal rank fusion, k = 60."""
    scores = np.zeros((len(first), n), np.float32)
    for ranking in (first, second):
        worth = np.take_along_axis(scores, ranking, 1) + 1 / (61 + np.arange(ranking.shape[1]))
        np.put_along_axis(scores, ranking, worth, 1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :100]


@cache
def _divided(name: str, data: Path) -> tuple[World, dict[str, Mapping[str, int]]]:
    """What is asked, and the grades of the questions that are not."""
    world = COLLECTIONS[name](data)
    queries = sorted(query for query, grades in world.grades.items() if grades)
    random.Random(0).shuffle(queries)
    kept = queries[: _TEST[name]]
    if name == "scifact":
        rows = lines(data / "scifact" / "queries.jsonl")
        kept = [row["text"] for row in rows if row["split"] == "test" and world.grades.get(row["text"])]
    test = {query: world.grades[query] for query in kept}
    asked = {query: world.grades[query] for query in queries if query not in test}
    return replace(world, grades=asked), test


def _read_scifact(data: Path) -> World:
    folder = data / "scifact"
    texts = {row["_id"]: f"{row['title']} {row['text']}" for row in lines(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in lines(folder / "queries.jsonl")}
    return World("scifact", False, texts, {}, read_grades(folder / "qrels.tsv", queries), {})


def _read_python(_data: Path) -> World:
    corpus = read_python_docs()
    texts = {passage.id: passage.text for passage in corpus.passages}
    grades = {query: dict.fromkeys(sorted(ids), 1) for query, ids in corpus.truth().items()}
    return World("python", False, texts, {}, grades, {})


def _read_expertqa(data: Path) -> World:
    """A passage answers a question when it supports a claim of an answer, by an expert's word."""
    texts: dict[str, str] = {}
    grades: dict[str, dict[str, int]] = {}
    for row in lines(data / "expertqa_citations" / "answers.jsonl"):
        for claim in row["claims"]:
            for evidence in claim["evidence"]:
                if text := " ".join(str(evidence.get("text") or "").split()):
                    chunk = blake2b(text.encode(), digest_size=8).hexdigest()
                    texts[chunk] = text
                    if claim["support"] in _SUPPORTS:
                        grades.setdefault(row["question"], {})[chunk] = 1
    return World("expertqa", False, texts, {}, grades, {})


def _read_paraphrased(data: Path) -> World:
    """As :func:`_read_scifact` writes the abstracts, so that they are embedded once for both collections."""
    world, own = read_paraphrased(data), _read_scifact(data).texts
    return replace(world, texts={chunk: own.get(chunk, text) for chunk, text in world.texts.items()})


def _bm25_scores(texts: Sequence[str]) -> Callable[[Sequence[str]], Floats]:
    """Scores (questions, texts) of BM25 for any questions."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), show_progress=False), show_progress=False)

    def scores(questions: Sequence[str]) -> Floats:
        tokens = bm25s.tokenize(list(questions), return_ids=False, show_progress=False)
        zero = np.zeros(len(texts), np.float32)
        known = [[token for token in row if token in index.vocab_dict] for row in tokens]
        return np.stack([index.get_scores(row).astype(np.float32) if row else zero for row in known])

    return scores


#: By name.
COLLECTIONS: Final[Mapping[str, Callable[[Path], World]]] = {
    "scifact": _read_scifact,
    "python": _read_python,
    "expertqa": _read_expertqa,
    "mtrag": lambda data: read_mtrag(data / "mtrag_human_sub"),
    "paraphrases": _read_paraphrased,
}
