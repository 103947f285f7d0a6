"""Tool-independent records, which the modules of all tools yield.

A tool's module reads one record of a file and yields any number of these. They are structs that can be
encoded as MessagePack, so they can be kept on disk until their trace is complete.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["Author", "Feedback", "Neutral", "RetrievedPassage", "SpanKind", "ToolSpan", "TraceFacts"]

SpanKind = Literal["retriever", "reranker", "vector_db", "llm", "other"]
"""The kind of a span; ``vector_db`` is the client of a vector database, usually inside a retriever."""

Author = Literal["person", "model", "code", "unknown"]
"""The author of a score; ``unknown`` if the tool does not record it."""


class RetrievedPassage(msgspec.Struct, array_like=True):
    """A ranked chunk as a tool recorded it; missing fields are None."""

    id: str | None = None
    text: str | None = None
    score: float | None = None
    metadata: dict[str, Any] | None = None


class ToolSpan(msgspec.Struct, array_like=True):
    """A span of a tool: its place in the trace and what it says about retrieval.

    ``question`` and ``answer`` are input and output as text, ``prompt`` is the text sent to a language model.
    ``documents_in`` are the passages in the span's input: those that a re-ranker ranks, or those that a step
    got from a retriever whose own span has none. ``documents_out`` are the passages in the output of a step
    that the tool does not call a retriever. ``part`` is set if a file has one row per passage: the 0-based
    position of the row's passage, by which the rows of a span are joined. Times are Unix nanoseconds, 0 if
    unknown.
    """

    tool: str
    trace: bytes
    span: bytes
    parent: bytes | None
    name: str
    kind: SpanKind
    start_ns: int = 0
    end_ns: int = 0
    query: str | None = None
    passages: list[RetrievedPassage] | None = None
    documents_in: list[RetrievedPassage] | None = None
    question: str | None = None
    answer: str | None = None
    prompt: str | None = None
    session: str | None = None
    user: str | None = None
    app: str | None = None
    version: str | None = None
    source: str | None = None
    top_k: int | None = None
    error: str | None = None
    truncated: bool = False
    part: int | None = None
    documents_out: list[RetrievedPassage] | None = None


class TraceFacts(msgspec.Struct, array_like=True):
    """What a tool records about a whole trace, besides its spans."""

    tool: str
    trace: bytes
    question: str | None = None
    answer: str | None = None
    session: str | None = None
    user: str | None = None
    app: str | None = None
    version: str | None = None
    start_ns: int = 0
    end_ns: int = 0


class Feedback(msgspec.Struct, array_like=True):
    """A score, label, annotation or event about a trace, a span or one document of a retrieval.

    ``span`` and ``trace`` name its target; a tool may give only one of them. ``position`` is the 0-based
    position of a document in its retrieval, ``document`` the document's id or address. ``boolean`` is set
    if the tool declares the score to be yes or no. ``kind`` names a signal of ragwheel if the record is one
    already (a click); otherwise the kind is derived from the score and label.
    """

    tool: str
    key: str
    name: str
    trace: bytes | None = None
    span: bytes | None = None
    position: int | None = None
    document: str | None = None
    score: float | None = None
    label: str | None = None
    comment: str | None = None
    author: Author = "unknown"
    subject: str | None = None
    at_ns: int = 0
    boolean: bool = False
    kind: str | None = None
    value: float | None = None


Neutral = ToolSpan | TraceFacts | Feedback
