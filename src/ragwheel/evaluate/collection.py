"""What systems are measured on: texts, questions, and who says which text answers which question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

from ragwheel.errors import DatasetError, LeakError

__all__ = ["LABELS", "ChunkFacts", "Collection", "Labels", "Qrels", "check_leaks"]

#: Who says what is relevant: people, in so many words; clicks and citations; the makers of an evaluation set.
Labels = Literal["explicit", "inferred", "evalset"]
LABELS: Final[tuple[Labels, ...]] = ("explicit", "inferred", "evalset")

#: Grades by query id and document id; 0 is judged and irrelevant.
Qrels = Mapping[str, Mapping[str, int]]


class ChunkFacts(NamedTuple):
    """The source, the app's own id and the metadata of a chunk."""

    source: str
    chunk_id: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Collection:
    """A corpus, queries and judgments, checked when made.

    Args:
        name: for people.
        corpus: text by document id.
        queries: text by query id; those without a judgment are left out.
        qrels: the judgments by kind of label. A query may have judgments of several kinds.
        positive: the grade from which a document counts as relevant in the measures that know only yes and
            no.
        clusters: query id to the name of what it shares with other queries (a session, a family of
            near-identical ones): differences within a cluster are not independent. A query without one stands
            for itself.
        seen: ids of the documents that were positives in training, if that is known.
        captured: rankings by retriever version and query id, best first, as the traces have them.
        notes: what a reader of the figures should know about how the collection came to be.
        dataset_id: of the dataset folder that it was read from.
        beliefs: P(relevant), 0-1, of every chunk that was exposed for a query, by query id and document id;
            the expected gain goes by them, see :mod:`ragwheel.evaluate.criterion`.
        chunks: of documents that are chunks of a store: source, id and metadata.

    Raises:
        DatasetError: no judged query, a judged document or a query without a text, a query without a relevant
            document.
    """

    name: str
    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[Labels, Qrels]
    positive: int = 1
    clusters: Mapping[str, str] = field(default_factory=dict)
    seen: frozenset[str] | None = None
    captured: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dataset_id: str | None = None
    beliefs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    chunks: Mapping[str, ChunkFacts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        judged = {query for qrels in self.qrels.values() for query in qrels}
        if not judged:
            raise DatasetError(
                f"{self.name} has no judged query, so nothing can be measured. Expected grades for at least "
                f"one query; of your own traces: ragwheel status says what is missing."
            )
        _known(f"{self.name}: judged queries", judged, self.queries, "the queries")
        documents = {
            document for qrels in self.qrels.values() for qrel in qrels.values() for document in qrel
        }
        _known(f"{self.name}: judged documents", documents, self.corpus, "the corpus")
        for labels, qrels in self.qrels.items():
            empty = [query for query, qrel in qrels.items() if max(qrel.values(), default=0) < self.positive]
            if empty:
                raise DatasetError(
                    f"{self.name}: {len(empty)} of {len(qrels)} queries with {labels} labels have no "
                    f"document of grade {self.positive} or more, for example {empty[0]!r}. Leave them out: "
                    f"no ranking of theirs is better than another."
                )
        object.__setattr__(self, "queries", {q: text for q, text in self.queries.items() if q in judged})

    @property
    def id(self) -> str:
        """12 hex digits over queries, judgments and document ids: runs with equal ids can be compared."""
        digest = sha256()
        for labels in sorted(self.qrels):
            for query, grades in sorted(self.qrels[labels].items()):
                digest.update(repr((labels, query, self.queries[query], sorted(grades.items()))).encode())
        for document in sorted(self.corpus):
            digest.update(repr(document).encode())
        return digest.hexdigest()[:12]

    def relevant(self, labels: Labels, query: str) -> frozenset[str]:
        """The ids of the documents that answer a query."""
        return frozenset(d for d, grade in self.qrels[labels][query].items() if grade >= self.positive)

    def slices(self, labels: Labels) -> dict[str, list[str]]:
        """Query ids by slice: ``all``; and ``seen`` and ``unseen`` where the training positives are known.

        A query is *unseen* when none of its relevant documents was a positive in training.
        """
        queries = list(self.qrels[labels])
        slices = {"all": queries}
        if self.seen is not None:
            met = {query for query in queries if self.relevant(labels, query) & self.seen}
            slices["seen"] = [query for query in queries if query in met]
            slices["unseen"] = [query for query in queries if query not in met]
        return slices

    def cluster(self, query: str) -> str:
        """The name of the query's cluster."""
        return self.clusters.get(query, query)


def check_leaks(train: Iterable[str], test: Mapping[str, str], where: str) -> None:
    """Refuse to test on what was trained on.

    Args:
        train: ids of the queries that were trained on.
        test: texts of the test queries by id.
        where: names the collection.

    Raises:
        LeakError: a query is in both.
    """
    shared = [query for query in train if query in test]
    if shared:
        raise LeakError(
            f"{where}: {len(shared)} of {len(test)} test queries are in train too, for example {shared[0]!r} "
            f"({test[shared[0]]!r}). Figures on them would show memory only; take them out of one of the two."
        )


def _known(what: str, ids: set[str], existing: Mapping[str, str], source: str) -> None:
    missing = sorted(ids - existing.keys())
    if missing:
        raise DatasetError(
            f"{what}: {len(missing)} of {len(ids)} are not in {source}, for example {missing[0]!r}. Are both "
            f"from the same version of the collection?"
        )
