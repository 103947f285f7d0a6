"""The graded chunks of a dataset folder, query by query: what formats with ids are written from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from ragwheel.datasets.document_ids import document_id, several_sources
from ragwheel.datasets.options import SPLITS
from ragwheel.errors import DatasetError
from ragwheel.store import open_store

__all__ = ["GradedDataset", "GradedDocument", "GradedQuery"]

_LATEST_CHUNKS: Final = """
SELECT source, chunk_id, text FROM (
    SELECT source, chunk_id, text, row_number() OVER (
        PARTITION BY source, chunk_id ORDER BY first_seen_ns DESC, content_hash) AS n FROM chunks)
 WHERE n = 1 AND text <> '' ORDER BY source, chunk_id
"""
_COLUMNS: Final = [
    "row", "query_key", "source", "chunk_id", "chunk_version", "grade", "confidence", "strategy",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class GradedDocument:
    """A chunk with its grade (0-5) for a query; ``negative``: it passed the checks as a negative."""

    id: str
    text: str
    grade: float
    confidence: float
    negative: bool

    @property
    def level(self) -> int:
        """The grade as a whole number, for qrels."""
        return round(self.grade)


@dataclass(frozen=True, slots=True)
class GradedQuery:
    """A query group with its graded chunks, best first."""

    id: str
    text: str
    documents: tuple[GradedDocument, ...]

    @property
    def positives(self) -> tuple[GradedDocument, ...]:
        """Chunks of grade 3 or more."""
        return tuple(document for document in self.documents if document.grade >= 3)

    @property
    def negatives(self) -> tuple[GradedDocument, ...]:
        """Checked negatives."""
        return tuple(document for document in self.documents if document.negative)


class GradedDataset:
    """Reads the config ``pairs`` and its provenance; ids have no blanks, as TREC wants them.

    See :func:`ragwheel.datasets.document_ids.document_id` for a chunk's id; where the folder has several
    versions of a chunk, the version stands behind it (``id@7``).

    Args:
        folder: the dataset.
        db: a database whose other chunks belong to the corpus, too; None: the graded chunks only.
    """

    def __init__(self, folder: Path, db: Path | None = None) -> None:
        self.folder, self._db = folder, db

    @cached_property
    def _graded_chunks(self) -> set[tuple[str, str]]:
        columns = ["source", "chunk_id"]
        table = pq.read_table(
            self.folder / "provenance.parquet", columns=columns, filters=[("config", "==", "pairs")]
        )
        return set(zip(*(table[name].to_pylist() for name in columns)))

    @cached_property
    def _ids(self) -> dict[int, str]:
        table = pq.read_table(
            self.folder / "provenance.parquet",
            columns=["source", "chunk_id", "chunk_version"],
            filters=[("config", "==", "pairs")],
        )
        rows = sorted(
            set(zip(*(table[name].to_pylist() for name in ("chunk_version", "source", "chunk_id"))))
        )
        several = self._several(source for _, source, _ in rows)
        versions: dict[tuple[str, str], int] = {}
        for _, source, chunk_id in rows:
            versions[source, chunk_id] = versions.get((source, chunk_id), 0) + 1
        grades = {}
        for version, source, chunk_id in rows:
            name = document_id(source, chunk_id, several=several)
            grades[version] = f"{name}@{version}" if versions[source, chunk_id] > 1 else name
        return grades

    def queries(self, split: str) -> Iterator[GradedQuery]:
        """The queries of a split in the order of the dataset.

        Raises:
            DatasetError: rows and provenance do not fit together.
        """
        pairs = pq.read_table(self.folder / "pairs" / f"{split}.parquet")
        filters = [("config", "==", "pairs"), ("split", "==", split)]
        origins = pq.read_table(self.folder / "provenance.parquet", columns=_COLUMNS, filters=filters)
        if origins["row"].to_pylist() != list(range(pairs.num_rows)):
            raise DatasetError(
                f"{self.folder}: pairs/{split}.parquet and provenance.parquet do not belong together. "
                f"Build again: ragwheel build --out {self.folder}"
            )
        groups: dict[str, tuple[str, list[GradedDocument]]] = {}
        texts = zip(pairs["query"].to_pylist(), pairs["document"].to_pylist())
        for (query, document), origin in zip(texts, origins.to_pylist()):
            one = GradedDocument(
                self._ids[origin["chunk_version"]],
                document,
                origin["grade"],
                origin["confidence"],
                origin["strategy"] is not None,
            )
            groups.setdefault(origin["query_key"], (query, []))[1].append(one)
        for key, (query, documents) in groups.items():
            documents.sort(key=lambda document: (-document.grade, document.id))
            yield GradedQuery(key, query, tuple(documents))

    def corpus(self) -> Iterator[tuple[str, str]]:
        """(id, text) of each graded chunk once, in a fixed order, then of the database's other chunks."""
        texts: dict[str, str] = {}
        for split in SPLITS:
            for query in self.queries(split):
                texts.update((document.id, document.text) for document in query.documents)
        yield from sorted(texts.items())
        if self._db is not None:
            graded = self._graded_chunks
            several = self._several(source for source, _ in graded)
            with contextlib.closing(open_store(self._db)) as connection:
                for source, chunk_id, text in connection.execute(_LATEST_CHUNKS):
                    name = document_id(source, chunk_id, several=several)
                    if (source, chunk_id) not in graded and name not in texts:
                        yield name, text

    def _several(self, sources: Iterable[str]) -> bool:
        """Whether ids stand behind their source: the chunks of the whole corpus come from several."""
        distinct = set(sources)
        if self._db is not None:
            with contextlib.closing(open_store(self._db)) as connection:
                distinct |= {source for (source,) in connection.execute("SELECT DISTINCT source FROM chunks")}
        return several_sources(distinct)
