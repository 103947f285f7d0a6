"""Results in the wording and nesting of many clients and apps, with what has to be stored of each.

``ids``, ``texts`` and ``scores`` are what the chunks are, in rank order. ``ids=None``: the result carries
no id, so that the hash of the text stands in. ``texts=None`` and ``scores=None``: it carries none.
``refused=True``: nothing can be told, so that no chunk is stored and the retrieval is flagged.
"""

from __future__ import annotations

import array
import dataclasses
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace as Namespace
from typing import Any

__all__ = ["IDS", "NEIGHBOURS", "SCORES", "TEXTS", "Shape"]

TEXTS = [
    "Keys are rotated every ninety days; the old one keeps working for a week after that.",
    "To leave the mailing list, answer any of its messages with the single word STOP.",
    "Invoices are kept for ten years, because the tax office may ask for them that long.",
]
IDS = ["kb/12#3", "kb/7#1", "kb/40#9"]
SCORES = [0.91, 0.64, 0.22]
LINKS = ["https://docs.example.org/keys", "https://docs.example.org/list", "https://docs.example.org/tax"]
UUIDS = [uuid.UUID(int=n * 7_919_000_000_000_001 + 5) for n in range(1, 4)]
ROWS = list(zip(IDS, TEXTS, SCORES, strict=True))
VECTOR = [0.013 * n for n in range(32)]


@dataclasses.dataclass
class Shape:
    make: Callable[[], Any]
    ids: list[str] | None = None
    texts: list[str] | None = None
    scores: list[float] | None = None
    refused: bool = False


@dataclasses.dataclass
class Source:
    uri: str
    excerpt: str
    confidence: float


@dataclasses.dataclass(slots=True)
class Slotted:
    key: str
    passage_text: str


class Envelope:
    """A response of an SDK: attributes only."""

    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


class Getter:
    """A class whose public names are plain getters of private attributes."""

    def __init__(self, key: str, text: str) -> None:
        self._key, self._text = key, text

    @property
    def id(self) -> str:
        return self._key

    @property
    def text(self) -> str:
        return self._text


class Lazy:
    """An item that would load its text when it is asked."""

    def __init__(self, key: str) -> None:
        self.id = key

    @property
    def text(self) -> str:
        raise AssertionError("loaded")

    @property
    def chunk(self) -> Any:
        raise AssertionError("loaded")


class Cached:
    """An item whose related document is a computed attribute, kept after the first use."""

    def __init__(self, key: str, body: str) -> None:
        self.pk, self.body = key, body

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AssertionError(f"{name} was asked for")


class Pages:
    """A page of results that has a length and positions, and is no list."""

    def __init__(self, rows: list[Any]) -> None:
        self.__rows = rows

    def __len__(self) -> int:
        return len(self.__rows)

    def __getitem__(self, position: int) -> Any:
        return self.__rows[position]


class QuerySet(Pages):
    """A query that is run when its length or an item is asked for."""

    def __len__(self) -> int:
        raise AssertionError("run")

    def filter(self, **conditions: Any) -> QuerySet:
        return self

    def order_by(self, *names: str) -> QuerySet:
        return self


class Kind(str, enum.Enum):
    TEXT = "text"


class Hit(typing.NamedTuple):
    distance: float
    identifier: str
    passage: str


class Answer(typing.NamedTuple):
    documents: list[Any]
    took_ms: float


def hits(make: Callable[[str, str, float], Any]) -> list[Any]:
    return [make(key, text, score) for key, text, score in ROWS]


NEIGHBOURS: dict[str, Shape] = {
    # search engines and their like
    "OpenSearch aws4 response: body.hits.hits with inner field name `passage`": Shape(
        lambda: Envelope(
            status=200,
            body={
                "took": 4,
                "hits": {
                    "max_score": 1.0,
                    "hits": hits(
                        lambda i, t, s: {
                            "_index": "kb",
                            "_id": i,
                            "_score": s,
                            "_source": {"passage": t, "lang": "en", "acl": ["a"]},
                        }
                    ),
                },
            },
        ),
        IDS,
        TEXTS,
        SCORES,
    ),
    "hits with highlight and title in _source": Shape(
        lambda: {
            "hits": {
                "total": {"value": 3},
                "hits": hits(
                    lambda i, t, s: {
                        "_id": i,
                        "_score": s,
                        "_source": {"title": "Handbook", "content": t, "embedding": VECTOR},
                        "highlight": {"content": ["<em>x</em>"]},
                    }
                ),
            }
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    "Solr response.docs": Shape(
        lambda: {
            "responseHeader": {"status": 0},
            "response": {
                "numFound": 3,
                "start": 0,
                "docs": hits(lambda i, t, s: {"id": i, "body_txt": [t], "score": s, "_version_": 17}),
            },
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    "Algolia hits with objectID": Shape(
        lambda: {
            "hits": hits(lambda i, t, s: {"objectID": i, "content": t, "_highlightResult": {}}),
            "nbHits": 3,
            "page": 0,
        },
        IDS,
        TEXTS,
    ),
    "Marqo hits with _id and highlights": Shape(
        lambda: {
            "hits": hits(
                lambda i, t, s: {
                    "_id": i,
                    "Description": t,
                    "_score": s,
                    "_highlights": [{"Description": "x"}],
                }
            ),
            "limit": 3,
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    "Redis search result: docs of objects with payload None": Shape(
        lambda: Envelope(
            total=3,
            duration=0.2,
            docs=hits(lambda i, t, s: Namespace(id=i, payload=None, content=t, vector_score=str(s))),
        ),
        IDS,
        TEXTS,
        SCORES,
    ),
    "Manticore hits two levels down": Shape(
        lambda: {
            "took": 0,
            "timed_out": False,
            "data": {"hits": {"hits": hits(lambda i, t, s: {"_id": i, "_score": s, "_source": {"txt": t}})}},
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    # vector stores
    "Qdrant tuple (points, next_page_offset)": Shape(
        lambda: (
            hits(
                lambda i, t, s: Namespace(id=i, score=s, payload={"page_content": t, "metadata": {"page": 1}})
            ),
            None,
        ),
        IDS,
        TEXTS,
        SCORES,
    ),
    "SurrealDB [{result: [...], status, time}]": Shape(
        lambda: [
            {"result": hits(lambda i, t, s: {"id": i, "chunk": t, "dist": s}), "status": "OK", "time": "1ms"}
        ],
        IDS,
        TEXTS,
        SCORES,
    ),
    "Marqo-like nested data.items": Shape(
        lambda: {"data": {"items": hits(lambda i, t, s: {"item_id": i, "passage": t, "sim": s})}},
        IDS,
        TEXTS,
        SCORES,
    ),
    "objects with properties and an id of uuid": Shape(
        lambda: Envelope(
            objects=[
                Namespace(
                    uuid=u, properties={"chunk_body": t}, metadata=Namespace(distance=None, certainty=s)
                )
                for u, t, s in zip(UUIDS, TEXTS, SCORES)
            ]
        ),
        [str(u) for u in UUIDS],
        TEXTS,
        SCORES,
    ),
    "lists of one answer as tuples": Shape(lambda: [(*ROWS,)], IDS, TEXTS, SCORES),
    "several answers: one result list for each of two questions": Shape(
        lambda: [[{"id": "a", "text": "one passage"}], [{"id": "b", "text": "another passage"}]], refused=True
    ),
    "several answers: a dict of two questions": Shape(
        lambda: {
            "how do I leave?": [{"id": "a", "text": "one"}],
            "how do I pay?": [{"id": "b", "text": "two"}],
        },
        refused=True,
    ),
    "several answers: a batch of responses": Shape(
        lambda: [{"matches": [{"id": "a", "text": "one"}]}, {"matches": [{"id": "b", "text": "two"}]}],
        refused=True,
    ),
    "grouped hits of several documents": Shape(
        lambda: {
            "groups": [
                {"id": "g1", "hits": [{"id": IDS[0], "text": TEXTS[0]}, {"id": IDS[1], "text": TEXTS[1]}]},
                {"id": "g2", "hits": [{"id": IDS[2], "text": TEXTS[2]}]},
            ]
        },
        IDS,
        TEXTS,
    ),
    # databases
    "tuples (score, id, text)": Shape(lambda: [(s, i, t) for i, t, s in ROWS], IDS, TEXTS, SCORES),
    "tuples (int key, text, title, distance)": Shape(
        lambda: [(n * 11, t, "Handbook", s) for n, (_, t, s) in enumerate(ROWS, 5)],
        ["55", "66", "77"],
        TEXTS,
        SCORES,
    ),
    "tuples (text, uuid, distance)": Shape(
        lambda: [(t, u, s) for u, (_, t, s) in zip(UUIDS, ROWS)], [str(u) for u in UUIDS], TEXTS, SCORES
    ),
    "tuples (uuid, text, embedding, created, score)": Shape(
        lambda: [
            (u, t, VECTOR, datetime(2026, 1, 2, tzinfo=timezone.utc), s) for u, (_, t, s) in zip(UUIDS, ROWS)
        ],
        [str(u) for u in UUIDS],
        TEXTS,
        SCORES,
    ),
    "tuples (text, decimal)": Shape(
        lambda: [(t, decimal.Decimal(str(s))) for _, t, s in ROWS], None, TEXTS, SCORES
    ),
    "lists as rows [id, text, score]": Shape(lambda: [[i, t, s] for i, t, s in ROWS], IDS, TEXTS, SCORES),
    "rows of JSON: {columns, rows}": Shape(
        lambda: {"columns": ["doc_key", "body", "rank"], "rows": [[i, t, s] for i, t, s in ROWS]},
        IDS,
        TEXTS,
        SCORES,
    ),
    "dict rows with unknown names in another language": Shape(
        lambda: [
            {"nummer": n * 3 + 1, "absatz": t, "abstand": s, "sprache": "de"}
            for n, (_, t, s) in enumerate(ROWS)
        ],
        ["1", "4", "7"],
        TEXTS,
        SCORES,
    ),
    "two strings that could both be the text": Shape(
        lambda: [
            ("Where is the key kept in winter?", "The key is kept in the office."),
            ("Who pays the invoice then?", "The buyer pays the invoice."),
        ],
        refused=True,
    ),
    "two words of which neither is an id": Shape(
        lambda: [("alpha", "beta"), ("gamma", "delta")], refused=True
    ),
    "mapping rows by key": Shape(
        lambda: {i: {"text": t, "score": s} for i, t, s in ROWS}, IDS, TEXTS, SCORES
    ),
    "scores by id": Shape(lambda: {i: s for i, _, s in ROWS}, IDS, None, SCORES),
    "text and score by id": Shape(lambda: {i: (t, s) for i, t, s in ROWS}, IDS, TEXTS, SCORES),
    "a page object with positions": Shape(
        lambda: Pages(hits(lambda i, t, s: {"id": i, "text": t, "score": s})), IDS, TEXTS, SCORES
    ),
    "a query that was not run": Shape(lambda: QuerySet([]), refused=True),
    "a mapping proxy around records": Shape(
        lambda: types.MappingProxyType(
            {"records": hits(lambda i, t, s: types.MappingProxyType({"id": i, "text": t, "score": s}))}
        ),
        IDS,
        TEXTS,
        SCORES,
    ),
    "graph records {n: {...}, score}": Shape(
        lambda: hits(lambda i, t, s: {"node": {"id": i, "text": t, "embedding": VECTOR}, "score": s}),
        IDS,
        TEXTS,
        SCORES,
    ),
    # hosted retrieval and web search
    "search results of a model's tool: search_result blocks": Shape(
        lambda: {
            "content": [
                {
                    "type": "search_result",
                    "source": u,
                    "title": "Page",
                    "content": [{"type": "text", "text": t}],
                }
                for u, t in zip(LINKS, TEXTS)
            ]
        },
        LINKS,
        TEXTS,
    ),
    "Kendra ResultItems": Shape(
        lambda: {
            "QueryId": "q",
            "ResultItems": hits(
                lambda i, t, s: {
                    "Id": i,
                    "DocumentId": "d",
                    "DocumentURI": "s3://b/d",
                    "Content": t,
                    "ScoreAttributes": {"ScoreConfidence": "HIGH"},
                }
            ),
        },
        IDS,
        TEXTS,
    ),
    "Brave web.results": Shape(
        lambda: {
            "type": "search",
            "web": {
                "type": "search",
                "results": [{"title": "Page", "url": u, "description": t} for u, t in zip(LINKS, TEXTS)],
            },
        },
        LINKS,
        TEXTS,
    ),
    "Exa results with highlights": Shape(
        lambda: Envelope(
            results=[
                Namespace(
                    url=u, id=u, title="Page", score=s, text=t, highlights=["x"], highlight_scores=[0.1]
                )
                for u, t, s in zip(LINKS, TEXTS, SCORES)
            ],
            autoprompt_string=None,
        ),
        LINKS,
        TEXTS,
        SCORES,
    ),
    "SerpAPI organic_results": Shape(
        lambda: {
            "search_metadata": {"id": "x"},
            "organic_results": [
                {"position": n, "title": "Page", "link": u, "snippet": t}
                for n, (u, t) in enumerate(zip(LINKS, TEXTS), 1)
            ],
            "related_searches": [{"query": "more"}],
        },
        LINKS,
        TEXTS,
    ),
    "Bing webPages.value": Shape(
        lambda: {
            "_type": "SearchResponse",
            "webPages": {
                "totalEstimatedMatches": 9,
                "value": [{"id": u, "name": "Page", "url": u, "snippet": t} for u, t in zip(LINKS, TEXTS)],
            },
        },
        LINKS,
        TEXTS,
    ),
    "RAGFlow data.chunks": Shape(
        lambda: {
            "code": 0,
            "data": {
                "total": 3,
                "chunks": hits(
                    lambda i, t, s: {
                        "id": i,
                        "content": t,
                        "document_id": "d",
                        "similarity": s,
                        "vector_similarity": 0.1,
                        "term_similarity": 0.2,
                    }
                ),
            },
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    "Dify records[].segment": Shape(
        lambda: {
            "query": {"content": "how do I leave the list?"},
            "records": hits(
                lambda i, t, s: {
                    "segment": {"id": i, "content": t, "document": {"id": "d", "name": "f.md"}},
                    "score": s,
                }
            ),
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    "Ragie scored_chunks": Shape(
        lambda: Envelope(
            scored_chunks=hits(
                lambda i, t, s: Namespace(text=t, score=s, id=i, document_id="d", document_metadata={})
            )
        ),
        IDS,
        TEXTS,
        SCORES,
    ),
    "Vectara search_results": Shape(
        lambda: {
            "search_results": [
                {"text": t, "score": s, "document_id": "d", "part_metadata": {}} for _, t, s in ROWS
            ]
        },
        None,
        TEXTS,
        SCORES,
    ),
    "re-ranker with positions and no text": Shape(
        lambda: Envelope(
            data=[Namespace(index=2, relevance_score=0.9), Namespace(index=0, relevance_score=0.3)]
        ),
        refused=True,
    ),
    # frameworks
    "CrewAI style list of {context, metadata, score}": Shape(
        lambda: [{"context": t, "metadata": {"page": 2}, "score": s} for _, t, s in ROWS], None, TEXTS, SCORES
    ),
    "LlamaIndex response: source_nodes of node and score": Shape(
        lambda: Envelope(
            response="Answer to the question.",
            source_nodes=hits(lambda i, t, s: Namespace(node=Namespace(id_=i, text=t, metadata={}), score=s)),
            metadata={},
        ),
        IDS,
        TEXTS,
        SCORES,
    ),
    "graph state with question, answer, messages and retrieved documents": Shape(
        lambda: {
            "question": "how?",
            "messages": [Namespace(id="m", content="how do I do that?")],
            "answer": "So and so.",
            "retrieved_docs": hits(lambda i, t, s: Namespace(id=i, page_content=t, metadata={})),
        },
        IDS,
        TEXTS,
    ),
    "documents and artifact in a tuple, artifact first": Shape(
        lambda: (
            hits(lambda i, t, s: Namespace(id=i, page_content=t, metadata={})),
            "three documents were retrieved",
        ),
        IDS,
        TEXTS,
    ),
    "pipeline output two components deep": Shape(
        lambda: {
            "ranker": {"documents": hits(lambda i, t, s: Namespace(id=i, content=t, meta={}, score=s))},
            "prompt": {"prompt": "Answer the question."},
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    # plain application code
    "named tuples with names of their own": Shape(
        lambda: [Hit(s, i, t) for i, t, s in ROWS], IDS, TEXTS, SCORES
    ),
    "a named tuple around the documents": Shape(
        lambda: Answer(hits(lambda i, t, s: {"id": i, "text": t}), 3.5), IDS, TEXTS
    ),
    "dataclasses in a tuple": Shape(
        lambda: tuple(Source(u, t, s) for u, t, s in zip(LINKS, TEXTS, SCORES)), LINKS, TEXTS, SCORES
    ),
    "slots": Shape(lambda: [Slotted(i, t) for i, t, _ in ROWS], IDS, TEXTS),
    "plain getters": Shape(lambda: [Getter(i, t) for i, t, _ in ROWS], IDS, TEXTS),
    "items whose text would be loaded": Shape(lambda: [Lazy(i) for i in IDS], IDS, None),
    "items that answer every attribute": Shape(lambda: [Cached(i, t) for i, t, _ in ROWS], IDS, TEXTS),
    "camel case": Shape(
        lambda: {"searchResults": hits(lambda i, t, s: {"chunkId": i, "chunkText": t, "relevanceScore": s})},
        IDS,
        TEXTS,
        SCORES,
    ),
    "upper case": Shape(lambda: [{"ID": i, "TEXT": t, "SCORE": s} for i, t, s in ROWS], IDS, TEXTS, SCORES),
    "pairs of a record and its explanation": Shape(
        lambda: [({"id": i, "text": t}, {"score": s}) for i, t, s in ROWS], IDS, TEXTS, SCORES
    ),
    "pairs (id, record)": Shape(
        lambda: [(i, {"text": t, "score": s}) for i, t, s in ROWS], IDS, TEXTS, SCORES
    ),
    "triples (record, score, rank)": Shape(
        lambda: [({"id": i, "text": t}, s, n) for n, (i, t, s) in enumerate(ROWS, 1)], IDS, TEXTS, SCORES
    ),
    "parallel lists in a list": Shape(lambda: [IDS, TEXTS, SCORES], IDS, TEXTS, SCORES),
    "parallel lists in a tuple, scores first": Shape(lambda: (SCORES, IDS, TEXTS), IDS, TEXTS, SCORES),
    "parallel lists, scores as array": Shape(
        lambda: {"passages": TEXTS, "sims": array.array("d", SCORES)}, None, TEXTS, SCORES
    ),
    "parallel lists with names of their own": Shape(
        lambda: Envelope(keys=IDS, sentences=TEXTS, probabilities=SCORES), IDS, TEXTS, SCORES
    ),
    "counters and a list": Shape(
        lambda: {
            "n": 3,
            "ms": 1.5,
            "passages": hits(lambda i, t, s: {"ref": i, "txt": t, "cosine": s}),
            "ok": True,
        },
        IDS,
        TEXTS,
        SCORES,
    ),
    "texts in a language without blanks": Shape(
        lambda: [("鍵は九十日ごとに交換されます。", 0.9), ("請求書は十年間保管されます。", 0.4)],
        None,
        ["鍵は九十日ごとに交換されます。", "請求書は十年間保管されます。"],
        [0.9, 0.4],
    ),
    "an enumeration among the fields": Shape(
        lambda: [{"type": Kind.TEXT, "key": i, "value": t, "score": s} for i, t, s in ROWS],
        IDS,
        TEXTS,
        SCORES,
    ),
    "a status without results": Shape(
        lambda: {"status": "error", "message": "The index is being built, try again later."}, refused=True
    ),
    "an answer without sources": Shape(
        lambda: {"answer": "Keys are rotated every ninety days.", "model": "m-1"}, refused=True
    ),
    "a page without results": Shape(
        lambda: {"hits": {"total": {"value": 0}, "hits": []}, "took": 1}, [], [], []
    ),
    "a response without results": Shape(lambda: Envelope(matches=[], namespace="kb"), [], [], []),
    "true": Shape(lambda: True, refused=True),
    "a vector": Shape(lambda: VECTOR, refused=True),
    "records that hold only numbers": Shape(
        lambda: [{"a": 0.1, "b": 0.2}, {"a": 0.3, "b": 0.1}], refused=True
    ),
}
