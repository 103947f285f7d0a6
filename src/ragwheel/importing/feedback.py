"""Writing imported feedback as signals and judgments.

Feedback on an answer becomes a signal of the turn, feedback on a document becomes a judgment. A model's score
becomes a judgment of kind ``llm`` or is dropped; it is never a person's signal. A signal whose trace is not
stored yet is kept among the unmatched signals and joins the trace later. A judgment without its trace is
counted and dropped.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ragwheel import handles
from ragwheel.host import safe
from ragwheel.importing.keys import other_key, turn_key
from ragwheel.importing.records import Feedback
from ragwheel.importing.verdicts import Scales, grade, is_person, reason_code, verdict
from ragwheel.journal.records import SignalRecord
from ragwheel.kinds import kinds
from ragwheel.redaction import Redaction
from ragwheel.store.imported import ImportedChunk, StoredRanking, TraceWriter
from ragwheel.store.judging import JudgmentRow

__all__ = ["FeedbackWriter"]

MAX_EVENT_ID_CHARS: Final = 128
_ADDRESSES: Final = ("source", "doc_uri", "url", "uri", "file_path", "file_name", "filename", "path", "title")
_NOWHERE: Final = bytes(16)


@dataclass
class FeedbackWriter:
    """Writes feedback. ``written`` counts rows by kind, ``counts`` counts by reason what could not be used.

    Args:
        scales: the scales of all scores of the import.
        people: names of scores that are by people, for tools that do not record the author.
        redaction: the hook that every comment goes through.
    """

    scales: Scales
    people: frozenset[str] = frozenset()
    redaction: Redaction | None = None
    written: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    now_ns: int = field(default_factory=time.time_ns)

    def write(self, record: Feedback, writer: TraceWriter) -> None:
        """Write one."""
        if record.kind is not None:
            self._event(record, writer)
        elif record.position is not None or record.document is not None:
            self._judgment(record, writer)
        else:
            self._verdict(record, writer)

    def _verdict(self, record: Feedback, writer: TraceWriter) -> None:
        """Write feedback on an answer (or on a whole retrieval)."""
        if record.score is None and record.label is None:
            self.counts["notes without a score or label"] += 1
            return
        if not is_person(record, self.people):
            by = "unknown author" if record.author == "unknown" else f"{record.author}"
            self.counts[f"score {record.name!r} by {by}: not a person's word"] += 1
            return
        outcome = verdict(record, self.scales)
        if outcome is None:
            self.counts[f"{record.name!r}: no verdict that is known"] += 1
            return
        kind, value = outcome
        target, target_id, trace = self._target(record, writer)
        self._signal(record, writer, (kind, value), (target, target_id, trace), None, None)

    def _event(self, record: Feedback, writer: TraceWriter) -> None:
        """Write an event that is a signal already, such as a click."""
        spec = kinds().get(record.kind or "")
        if spec is None:
            self.counts[f"event {record.name!r} is no kind of signal"] += 1
            return
        chunk = rank = None
        if spec.about in {"chunk", "chunk or answer"}:
            chunk, rank = record.document, None if record.position is None else record.position + 1
            if chunk is None and rank is None and spec.about == "chunk":
                self.counts[f"event {record.name!r} names no chunk"] += 1
                return
        value = record.value if spec.low is not None else None
        if not spec.accepts(value):
            self.counts[f"event {record.name!r} has a value that cannot be"] += 1
            return
        target, target_id, trace = self._target(record, writer)
        self._signal(record, writer, (spec.name, value), (target, target_id, trace), chunk, rank)

    def _target(self, record: Feedback, writer: TraceWriter) -> tuple[int, bytes, bytes]:
        """Return kind, id and trace of the target: the named retrieval, else the turn, else a future span."""
        if record.span is not None:
            if record.kind is not None or writer.ranking(record.span) is not None:
                return handles.RETRIEVAL, record.span, record.trace or _NOWHERE
            alias = writer.turn_of(record.span)
            if alias is not None:
                return handles.TURN, *alias
        if record.trace is not None:
            return handles.TURN, turn_key(record.trace), record.trace
        return handles.TURN, record.span or other_key(record.key), _NOWHERE

    def _signal(
        self,
        record: Feedback,
        writer: TraceWriter,
        what: tuple[str, float | None],
        target: tuple[int, bytes, bytes],
        chunk: str | None,
        rank: int | None,
    ) -> None:
        event_id = f"{record.tool}:{record.key}"
        if len(event_id) > MAX_EVENT_ID_CHARS or not event_id.isprintable():
            event_id = f"{record.tool}:{other_key(record.key).hex()}"
        at_ns = record.at_ns or self.now_ns
        signal = SignalRecord(
            other_key("signal", event_id),
            target[2],
            event_id,
            what[0],
            target[0],
            target[1],
            chunk,
            rank,
            what[1],
            None,
            None,
            record.subject,
            at_ns,
            self.now_ns,
            (),
            _clean(record.comment),
            reason_code(record),
        )
        if self.redaction is not None:
            self.redaction.signal(signal)
        self.written[f"signals {writer.signal(signal)}"] += 1

    def _judgment(self, record: Feedback, writer: TraceWriter) -> None:
        """Write feedback on one document of a retrieval."""
        value = grade(record, self.scales)
        if value is None:
            self.counts[f"{record.name!r} on a document: no verdict that is known"] += 1
            return
        if record.author == "code" or (record.author == "unknown" and not is_person(record, self.people)):
            self.counts[f"score {record.name!r} on a document by {record.author}: not used"] += 1
            return
        person = record.author != "model"
        ranking, chunk = self._document(record, writer)
        if ranking is None or chunk is None:
            return
        judge = (record.subject if person else None) or f"{record.tool}:{record.name}"
        query, note = ranking.query, _clean(record.comment)
        if self.redaction is not None and note is not None:
            note = self.redaction.text(note)
        row = JudgmentRow(
            query,
            ranking.source,
            chunk.chunk_id,
            value,
            safe.text(judge, 1000)[0],
            "human" if person else "llm",
            note,
            record.at_ns or None,
            chunk.content_hash,
            reason_code(record),
        )
        outcome = writer.judgments.write(row)
        who = "people" if person else "models"
        self.written[f"judgments by {who} {'new' if outcome in {'new', 'changed'} else 'same'}"] += 1

    def _document(
        self, record: Feedback, writer: TraceWriter
    ) -> tuple[StoredRanking | None, ImportedChunk | None]:
        """Return the retrieval and the chunk that feedback is about."""
        ranking = writer.ranking(record.span) if record.span is not None else None
        rankings = [ranking] if ranking is not None else []
        if not rankings and record.trace is not None:
            rankings = writer.rankings_of_turn(turn_key(record.trace))
        if not rankings:
            self.counts["feedback on a document whose retrieval is not in the store"] += 1
            return None, None
        for candidate in rankings:
            chunks = _matching(candidate, record)
            if len(chunks) == 1:
                return candidate, chunks[0]
            if len(chunks) > 1:
                self.counts["feedback on a document that is several chunks"] += 1
                return None, None
        self.counts["feedback on a document that the retrieval does not have"] += 1
        return None, None


def _matching(ranking: StoredRanking, record: Feedback) -> list[ImportedChunk]:
    """Return the chunks of a retrieval that match by position, by id, or by an address in their metadata."""
    if record.position is not None:
        return [chunk for chunk in ranking.chunks if chunk.rank == record.position + 1]
    by_id = [chunk for chunk in ranking.chunks if chunk.chunk_id == record.document]
    return by_id[:1] or [chunk for chunk in ranking.chunks if record.document in _addresses(chunk)]


def _addresses(chunk: ImportedChunk) -> list[str]:
    metadata = json.loads(chunk.metadata) if chunk.metadata else {}
    return [metadata[name] for name in _ADDRESSES if isinstance(metadata.get(name), str)]


def _clean(text: str | None) -> str | None:
    return None if text is None else safe.text(text, 10_000)[0]
