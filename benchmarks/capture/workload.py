"""The workload: 5,000 distinct chunks of realistic English and retrievers that return k of them.

The text comes from a word-level, order-2 Markov chain over CPython's own documentation
(``pydoc_data.topics`` and the docstrings of the standard library's top-level modules), so words,
punctuation and line breaks are realistic and nothing is downloaded. Popularity follows Zipf's law
with exponent 1. Everything is drawn from fixed seeds: one Python version gives one workload.
"""

from __future__ import annotations

import array
import ast
import itertools
import json
import os
import random
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capture.places import data_folder

__all__ = [
    "DRAWS",
    "POOL",
    "WORKLOADS",
    "Shape",
    "Workload",
    "make_retriever",
    "metadata",
    "query_text",
    "score",
]

POOL = 5000
DRAWS = 20_000  # distinct queries before the draws repeat
SEED = 20251122
GENERATOR = 2  # counts up when the text comes out different


@dataclass(frozen=True)
class Shape:
    """``k`` chunks of about ``characters`` characters for every query."""

    k: int
    characters: int


WORKLOADS = {
    "W5": Shape(5, 200),  # for the tests of this package
    "W10": Shape(10, 1000),
    "W20": Shape(20, 1000),
    "W40": Shape(40, 1000),
    "W100": Shape(100, 1000),
    "W200": Shape(200, 1000),
    "W40x4k": Shape(40, 4000),
}


def documentation() -> list[str]:
    """CPython's documentation as it lies beside the interpreter."""
    from pydoc_data import topics

    texts: list[str] = [topics.topics[name] for name in sorted(topics.topics)]
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node)
                if text and len(text) > 200:
                    texts.append(text)
    return texts


def chunks(texts: list[str], *, count: int, characters: int, seed: int) -> list[str]:
    """``count`` distinct texts of ``characters`` ± 5 % characters from a Markov chain over ``texts``."""
    words = list(itertools.chain.from_iterable([*t.replace("\n", " \n ").split(" "), "\n"] for t in texts))
    words = [w for w in words if w]
    following: dict[tuple[str, str], list[str]] = {}
    for a, b, c in zip(words, words[1:], words[2:], strict=False):
        following.setdefault((a, b), []).append(c)
    starts = sorted(following)
    rng = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        a, b = rng.choice(starts)
        line, length = [a, b], len(a) + len(b) + 1
        target = int(characters * rng.uniform(0.95, 1.05))
        while length < target:
            c = rng.choice(following.get((a, b)) or following[rng.choice(starts)])
            line.append(c)
            length += 0 if c == "\n" else len(c) + 1  # a line break replaces the spaces around it
            a, b = b, c
        made[" ".join(line).replace(" \n", "\n").replace("\n ", "\n")] = None
    return list(made)


def draws(k: int, *, pool: int, count: int, seed: int) -> array.array[int]:
    """``count`` rows of ``k`` distinct chunk numbers below ``pool``, Zipf-popular, in random order."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1.0 / (rank + 1) for rank in range(pool)))
    number = list(range(pool))
    rng.shuffle(number)
    rows = array.array("H")
    for _ in range(count):
        row: dict[int, None] = {}
        while len(row) < k:
            for drawn in rng.choices(range(pool), cum_weights=weights, k=2 * k):
                row[drawn] = None
                if len(row) == k:
                    break
        ranked = [number[drawn] for drawn in row]
        rng.shuffle(ranked)
        rows.extend(ranked)
    return rows


def _cached(name: str, make: Callable[[], bytes]) -> bytes:
    version = ".".join(map(str, sys.version_info[:3]))
    path = data_folder() / f"py{version}" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.tmp")
        partial.write_bytes(make())
        partial.rename(path)
    return path.read_bytes()


class Workload:
    """Chunks and draws of one shape, generated once per Python version and kept in the cache folder."""

    def __init__(self, name: str) -> None:
        self.name, self.shape = name, WORKLOADS[name]
        size, k = self.shape.characters, self.shape.k
        self.pool: list[bytes] = [
            text.encode()
            for text in json.loads(
                _cached(
                    f"pool-{size}-{GENERATOR}.json",
                    lambda: json.dumps(
                        chunks(documentation(), count=POOL, characters=size, seed=SEED + size)
                    ).encode(),
                )
            )
        ]
        self.rows: array.array[int] = array.array("H")
        self.rows.frombytes(
            _cached(f"draws-{k}.bin", lambda: draws(k, pool=POOL, count=DRAWS, seed=SEED * 7 + k).tobytes())
        )

    def row(self, query: int) -> array.array[int]:
        """The chunk numbers of query number ``query``, best first."""
        start = (query % DRAWS) * self.shape.k
        return self.rows[start : start + self.shape.k]

    def texts(self, query: int) -> list[str]:
        """What query number ``query`` must have retrieved."""
        return [self.pool[j].decode() for j in self.row(query)]


def query_text(number: int, prefix: str = "q") -> str:
    """The text of query ``number``; ``verify`` reads the number back."""
    return f"{prefix}{number:07d} how do I configure the retry policy for the ingestion service?"


def score(chunk: int, rank0: int) -> float:
    """The retriever's score of a chunk at 0-based rank ``rank0``."""
    return round(0.93 - 0.0117 * rank0 - (chunk % 13) * 1e-4, 6)


def metadata(chunk: int) -> dict[str, Any]:
    """Metadata of a chunk."""
    return {"source": f"s3://kb/handbook/{chunk % 317:03d}/doc-{chunk:05d}.md", "page": chunk % 97}


def make_retriever(workload: Workload, kind: str) -> Callable[[str], list[Any]]:
    """A retriever that searches nothing and builds fresh strings and documents on every call.

    ``langchain`` is the bound ``invoke`` of a ``BaseRetriever`` (documents carry the score in their
    metadata, as vector stores do), ``plain`` a function that returns dictionaries: an eighth of the
    cost, so that the capture and not the retriever is what limits throughput.
    """
    return {"langchain": _langchain, "plain": _plain}[kind](workload)


def _plain(workload: Workload) -> Callable[[str], list[Any]]:
    pool, row = workload.pool, workload.row

    def search(query: str) -> list[Any]:
        return [
            {"id": f"chunk-{j:05d}", "text": pool[j].decode(), "score": score(j, r), "metadata": metadata(j)}
            for r, j in enumerate(row(int(query[1:8])))
        ]

    return search


def _langchain(workload: Workload) -> Callable[[str], list[Any]]:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    pool, row = workload.pool, workload.row

    class PoolRetriever(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any = None) -> list[Document]:
            return [
                Document(
                    id=f"chunk-{j:05d}",
                    page_content=pool[j].decode(),
                    metadata={**metadata(j), "score": score(j, r)},
                )
                for r, j in enumerate(row(int(query[1:8])))
            ]

    retriever = PoolRetriever()
    return retriever.invoke
