"""Making the records of an assembled trace, as a live app would have journalled them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ragwheel.citations import CitableChunk, extract
from ragwheel.host import safe
from ragwheel.host.columns import content_hash
from ragwheel.importing.corpus import CorpusFile
from ragwheel.importing.records import RetrievedPassage
from ragwheel.importing.traces import Retrieved, Trace
from ragwheel.journal.records import RetrievalRecord, TurnRecord
from ragwheel.redaction import Redaction
from ragwheel.store.imported import NO_TEXT, StoredRanking

__all__ = ["RowBuilder", "StoredRetrieval", "chunk_id", "citable"]

MIN_PROBE_CHARS: Final = 20
PROBE_CHARS: Final = 300
AHEAD_NS: Final = 24 * 3600 * 10**9
EARLIEST_NS: Final = 10**18  # 2001: before that no such tool existed, so the clock was wrong
MAX_ID_CHARS: Final = 1000


@dataclass
class StoredRetrieval:
    """A retrieval for the store: the record, and the id and text of each chunk in rank order."""

    record: RetrievalRecord
    ids: list[str]
    texts: list[str]


@dataclass
class RowBuilder:
    """Makes records of traces; ``counts`` counts missing data by reason.

    Args:
        corpus: texts by id.
        redaction: the hook that every text goes through before it is written.
        source: the source of all chunks; None: the name of each retriever.
        max_text_chars: longer texts are cut.
    """

    corpus: CorpusFile
    redaction: Redaction | None = None
    source: str | None = None
    max_text_chars: int = 1_000_000
    counts: Counter[str] = field(default_factory=Counter)
    now_ns: int = field(default_factory=time.time_ns)

    def of(
        self, trace: Trace, citable_chunks: Sequence[CitableChunk] = ()
    ) -> tuple[list[StoredRetrieval], TurnRecord | None]:
        """Return the retrievals of a trace, and its turn or None.

        ``citable_chunks`` are the chunks of stored retrievals, for an answer that arrives without them.
        """
        retrievals: list[StoredRetrieval] = []
        for retrieved in trace.retrievals:
            retrievals.append(self._retrieval(trace, retrieved, retrievals))
        turn = self._turn(trace, retrievals, citable_chunks) if trace.has_turn else None
        if self.redaction is not None:
            for stored in retrievals:
                stored.texts = self.redaction.retrieval(stored.record, stored.texts)
            if turn is not None:
                self.redaction.turn(turn)
        return retrievals, turn

    def _retrieval(
        self, trace: Trace, retrieved: Retrieved, earlier: list[StoredRetrieval]
    ) -> StoredRetrieval:
        span, flags = retrieved.span, Flags(self.max_text_chars)
        for passage in retrieved.passages:
            self.corpus.fill(passage)
        texts = [flags.text(passage.text or "") for passage in retrieved.passages]
        ids = [flags.id(passage.id) or chunk_id(text) for passage, text in zip(retrieved.passages, texts)]
        if self.redaction is not None:
            ids = self.redaction.ids(ids, texts)
        if any(passage.text is None for passage in retrieved.passages):
            flags.add(NO_TEXT)
            self.counts["retrievals without texts"] += 1
        if any(passage.id is None for passage in retrieved.passages):
            flags.add("no_id")
        if len(set(ids)) < len(ids) and len(set(zip(ids, texts))) > len(set(ids)):
            flags.add("repeated_id")
        name = flags.text(span.name)[:200]
        source, in_ranks = self.source or span.source or name, None
        if retrieved.rerank:
            own_source, in_ranks = _ranked_before(ids, earlier)
            source = self.source or span.source or own_source or name
        start_ns, duration_ns = self._times(span.start_ns or trace.start_ns, span.end_ns, flags)
        scores: list[float | None] = [passage.score for passage in retrieved.passages]
        metadata = [flags.json(passage.metadata) for passage in retrieved.passages]
        record = RetrievalRecord(
            span.span,
            span.trace,
            span.parent,
            trace.turn_id if trace.has_turn else None,
            retrieved.outer,
            int(retrieved.rerank),
            source,
            name,
            flags.text(span.version or trace.version),
            flags.text(span.app or trace.app),
            flags.text(retrieved.query),
            span.session or trace.session,
            span.user or trace.user,
            start_ns,
            duration_ns,
            span.top_k,
            max(1, len(ids)),
            len(ids),
            scores if any(score is not None for score in scores) else None,
            metadata if any(metadata) else None,
            in_ranks,
            span.error,
            flags.all(),
        )
        return StoredRetrieval(record, ids, texts)

    def _turn(
        self, trace: Trace, retrievals: list[StoredRetrieval], citable_chunks: Sequence[CitableChunk]
    ) -> TurnRecord:
        flags = Flags(self.max_text_chars)
        prompted = prompted_chunks(trace, retrievals)
        answer = None if trace.answer is None else flags.text(trace.answer)
        citations: list[dict[str, Any]] | None = None
        if answer is not None:
            extracted = extract(answer, None, _candidates(retrievals, prompted) or list(citable_chunks))
            flags.add(*extracted.flags)
            citations = [
                {
                    "marker": c.marker,
                    "retrieval": c.retrieval,
                    "rank": c.rank,
                    "source": c.source,
                    "chunk": c.chunk,
                    "start": c.start,
                    "end": c.end,
                    "text": c.text,
                    "method": c.method,
                }
                for c in extracted.citations
            ]
        start_ns, duration_ns = self._times(trace.start_ns, trace.end_ns, flags)
        return TurnRecord(
            trace.turn_id,
            trace.trace,
            None,
            1,
            flags.text(trace.app),
            None if trace.question is None else flags.text(trace.question),
            answer,
            trace.session,
            trace.user,
            start_ns,
            duration_ns,
            prompted,
            None,
            citations,
            trace.error,
            flags.all(),
        )

    def _times(self, start_ns: int, end_ns: int, flags: Flags) -> tuple[int, int]:
        """Return start and duration.

        An impossible start is replaced by now, an end before the start by the start.
        """
        if start_ns and not EARLIEST_NS <= start_ns <= self.now_ns + AHEAD_NS:
            self.counts["spans with an impossible time"] += 1
            flags.add("clock")
            return self.now_ns, 0
        if end_ns and start_ns and end_ns < start_ns:
            self.counts["spans that end before they start"] += 1
            flags.add("clock")
        return start_ns or self.now_ns, max(0, end_ns - start_ns) if start_ns and end_ns else 0


class Flags:
    """Makes values storable and collects flags for the changes."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._words: dict[str, None] = {}

    def add(self, *words: str) -> None:
        """Add flags for what could not be recorded unchanged."""
        self._words.update(dict.fromkeys(words))

    def text(self, value: str) -> str:
        """Return a storable text."""
        clean, words = safe.text(value, self._max_chars)
        self.add(*words)
        return clean

    def id(self, value: str | None) -> str | None:
        """Return a storable id."""
        if value is None:
            return None
        clean, words = safe.text(value, MAX_ID_CHARS)
        self.add(*words)
        return clean or None

    def json(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return plain metadata."""
        if not value:
            return None
        plain, words = safe.jsonable(value)
        self.add(*words)
        return plain if isinstance(plain, dict) else None

    def all(self) -> tuple[str, ...]:
        """Return the flags in the order in which they were added."""
        return tuple(self._words)


def chunk_id(text: str) -> str:
    """Return the id of a chunk that has none; it is the one that live capture would give it."""
    return "text:" + content_hash(text).hex()[:16]


def _ranked_before(
    ids: list[str], earlier: list[StoredRetrieval]
) -> tuple[str | None, list[int | None] | None]:
    """Return the source, and the ranks in the latest retrieval that had one of these chunks."""
    for stored in reversed(earlier):
        ranks = {app_id: rank for rank, app_id in reversed(list(enumerate(stored.ids, 1)))}
        if any(app_id in ranks for app_id in ids):
            return stored.record.source, [ranks.get(app_id) for app_id in ids]
    return None, None


def prompted_chunks(trace: Trace, retrievals: list[StoredRetrieval]) -> list[tuple[str, int]] | None:
    """Return the chunks in the last prompt that has any, in prompt order; None if that is unknown."""
    for prompt in reversed(trace.prompts):
        squeezed = _squeezed(prompt)
        places: dict[tuple[str, int], int] = {}
        for stored in _answering(retrievals):
            for rank, text in enumerate(stored.texts, 1):
                probe = _squeezed(text[: 4 * PROBE_CHARS])[:PROBE_CHARS]
                at = squeezed.find(probe) if len(probe) >= MIN_PROBE_CHARS else -1
                if at >= 0:
                    places[stored.record.span_id.hex(), rank] = at
        if places:
            return sorted(places, key=lambda key: (places[key], key[1]))
    return None


def _answering(retrievals: list[StoredRetrieval]) -> list[StoredRetrieval]:
    """Return what the model was given: the last re-ranking, else every outermost retrieval."""
    reranked = [stored for stored in retrievals if stored.record.kind == 1]
    return reranked[-1:] or [stored for stored in retrievals if stored.record.outer_id is None]


def _candidates(
    retrievals: list[StoredRetrieval], prompted: list[tuple[str, int]] | None
) -> list[CitableChunk]:
    by_span = {stored.record.span_id.hex(): stored for stored in retrievals}
    places = prompted or [
        (stored.record.span_id.hex(), rank)
        for stored in _answering(retrievals)
        for rank in range(1, len(stored.ids) + 1)
    ]
    return [
        CitableChunk(
            span, rank, by_span[span].record.source, by_span[span].ids[rank - 1], _item(by_span[span], rank)
        )
        for span, rank in places
    ]


def citable(rankings: Sequence[StoredRanking], prompted: Sequence[tuple[str, int]]) -> list[CitableChunk]:
    """Return the chunks of stored retrievals in the order that an answer's ``[n]`` refers to."""
    reranked = [ranking for ranking in rankings if ranking.reranked]
    answering = reranked[-1:] or [ranking for ranking in rankings if not ranking.inner]
    chunks = {
        (ranking.span_id.hex(), chunk.rank): CitableChunk(
            ranking.span_id.hex(),
            chunk.rank,
            ranking.source,
            chunk.chunk_id,
            {"id": chunk.chunk_id, "text": "", "metadata": {}},
        )
        for ranking in rankings
        for chunk in ranking.chunks
    }
    order = prompted or [(r.span_id.hex(), chunk.rank) for r in answering for chunk in r.chunks]
    return [chunks[key] for key in map(tuple, order) if key in chunks]


def _item(stored: StoredRetrieval, rank: int) -> dict[str, Any]:
    metadata = stored.record.metadata
    passage = RetrievedPassage(
        stored.ids[rank - 1], stored.texts[rank - 1], None, metadata[rank - 1] if metadata else None
    )
    return {"id": passage.id, "text": passage.text, "metadata": passage.metadata or {}}


def _squeezed(text: str) -> str:
    return " ".join(text.split())
