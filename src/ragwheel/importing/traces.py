"""Assembling the spans of a trace into the retrievals that the app saw, and the turn.

One trace is one turn. If a retriever ran inside another one with the same result, only the outer retrieval is
kept, with ids and scores of both; an inner retrieval with another result is kept, too. If no span is a
retriever's, a retrieval is made from the documents in the input of a later step.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ragwheel.importing.keys import other_key, turn_key
from ragwheel.importing.passages import complete
from ragwheel.importing.records import RetrievedPassage, ToolSpan, TraceFacts

__all__ = ["Retrieved", "Trace", "assemble"]

_RANKED: Final = frozenset({"retriever", "reranker", "vector_db"})
MAX_PARENTS: Final = 200
_RETRIEVES: Final = re.compile(r"retriev|search|vector|lookup|knowledge|similar|bm25", re.IGNORECASE).search


@dataclass
class Retrieved:
    """A retrieval of a trace; ``outer`` is the id of the retrieval that it ran inside."""

    span: ToolSpan
    outer: bytes | None
    query: str
    passages: list[RetrievedPassage]

    @property
    def rerank(self) -> bool:
        """Whether a re-ranker made the ranking."""
        return self.span.kind == "reranker"


@dataclass
class Trace:
    """A turn and its retrievals.

    ``aliases`` are the ids of its other spans, which feedback may name, and ``copies`` those of inner spans
    that only repeat an outer result. ``stand_ins`` are the ids of retrievals that an earlier file's trace may
    have got from the documents of a step, and that are obsolete now. ``counts`` counts by reason what was
    left out or looked odd. ``has_turn`` is False if the trace has only retrievals: a later file may have the
    turn.
    """

    trace: bytes
    tool: str
    retrievals: list[Retrieved] = field(default_factory=list)
    has_turn: bool = False
    root: bytes | None = None
    question: str | None = None
    answer: str | None = None
    prompts: list[str] = field(default_factory=list)
    session: str | None = None
    user: str | None = None
    app: str = ""
    version: str = ""
    start_ns: int = 0
    end_ns: int = 0
    error: str | None = None
    aliases: list[bytes] = field(default_factory=list)
    copies: list[bytes] = field(default_factory=list)
    stand_ins: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def turn_id(self) -> bytes:
        """The id of the turn, which is derived from the trace id."""
        return turn_key(self.trace)


def assemble(spans: Iterable[ToolSpan], facts: Iterable[TraceFacts], *, whole: bool = True) -> Trace | None:
    """Assemble a trace; None if it has nothing to keep.

    ``whole`` is False while spans still arrive: without a root, the question and answer are not known yet.
    """
    counts: Counter[str] = Counter()
    by_id = _distinct(spans, counts)
    facts = list(facts)
    if not by_id and not facts:
        return None
    ordered = sorted(by_id.values(), key=lambda span: (span.start_ns, span.end_ns == 0, -span.end_ns))
    trace = ordered[0].trace if ordered else facts[0].trace
    result = Trace(trace, _tool(ordered, facts), counts=counts)
    whole = whole or bool(facts) or any(span.parent is None for span in ordered)
    if whole and not any(span.kind in _RANKED and span.passages is not None for span in ordered):
        _promote(ordered)
    result.retrievals = _retrievals(ordered, by_id, counts, result.copies)
    _fill_turn(result, ordered, by_id, facts)
    result.has_turn = result.has_turn and whole
    if not result.retrievals and whole:
        _from_documents(result, ordered, by_id)
    kept = {retrieved.span.span for retrieved in result.retrievals}
    result.aliases = [span.span for span in ordered if span.span not in kept]
    stand_ins = {_stand_in_key(span) for span in ordered if span.documents_in or span.documents_out}
    result.stand_ins = sorted(stand_ins - kept)
    result.counts["spans with attributes cut at 128"] += sum(
        span.truncated for span in ordered if span.kind in _RANKED
    )
    return result


def _tool(spans: list[ToolSpan], facts: list[TraceFacts]) -> str:
    records: list[ToolSpan | TraceFacts] = [*spans, *facts]
    names = Counter(record.tool for record in records if record.tool != "otel")
    return names.most_common(1)[0][0] if names else "otel"


def _distinct(spans: Iterable[ToolSpan], counts: Counter[str]) -> dict[bytes, ToolSpan]:
    """Return each span once: its parts are joined, and of two reports the one with more data is kept."""
    by_id: dict[bytes, ToolSpan] = {}
    parts: dict[bytes, list[ToolSpan]] = {}
    for span in spans:
        if span.part is not None:
            parts.setdefault(span.span, []).append(span)
            continue
        previous = by_id.get(span.span)
        if previous is not None:
            counts["spans that came twice"] += 1
            if _weight(previous) >= _weight(span):
                continue
        by_id[span.span] = span
    for span_id, rows in parts.items():
        distinct = {row.part: row for row in rows}
        whole = distinct[min(distinct, key=lambda part: part or 0)]
        whole.passages = [
            p for part in sorted(distinct, key=lambda n: n or 0) for p in distinct[part].passages or ()
        ]
        by_id.setdefault(span_id, whole)
    return by_id


def _weight(span: ToolSpan) -> tuple[int, int]:
    return len(span.passages or ()), sum(
        map(bool, (span.query, span.question, span.answer, span.parent, span.end_ns))
    )


def _parents(span: ToolSpan, by_id: dict[bytes, ToolSpan]) -> list[ToolSpan]:
    """Yield the ancestors of a span, nearest first; a cycle is followed once."""
    above: list[ToolSpan] = []
    seen = {span.span}
    parent = by_id.get(span.parent or b"")
    while parent is not None and parent.span not in seen and len(above) < MAX_PARENTS:
        above.append(parent)
        seen.add(parent.span)
        parent = by_id.get(parent.parent or b"")
    return above


def _retrievals(
    spans: list[ToolSpan], by_id: dict[bytes, ToolSpan], counts: Counter[str], copies: list[bytes]
) -> list[Retrieved]:
    ranked = [span for span in spans if span.kind in _RANKED or (span.passages and span.kind == "other")]
    depth = {span.span: len(_parents(span, by_id)) for span in ranked}
    kept: dict[bytes, Retrieved] = {}
    for span in sorted(ranked, key=lambda span: depth[span.span]):
        outer = next((kept[above.span] for above in _parents(span, by_id) if above.span in kept), None)
        if span.kind == "vector_db" and not span.passages:
            counts["vector database calls without documents"] += 1
            continue
        if outer is not None and span.kind != "reranker" and _copies(outer, span):
            counts["inner spans with the same result"] += 1
            copies.append(span.span)
            continue
        query = (
            span.query
            or span.question
            or (outer.query if outer is not None else None)
            or _query_above(span, by_id)
        )
        if span.passages is None and span.error is None and not _documents_follow(span, spans):
            counts["retrievals without documents"] += 1
            continue
        if query is None:
            counts["retrievals without a query"] += 1
            continue
        kept[span.span] = Retrieved(
            span, outer.span.span if outer is not None else None, query, span.passages or []
        )
    return sorted(kept.values(), key=lambda retrieved: (retrieved.span.start_ns, depth[retrieved.span.span]))


def _copies(outer: Retrieved, inner: ToolSpan) -> bool:
    """Return whether an inner result repeats the outer one; ids and scores that only it has are copied."""
    if not inner.passages or not outer.passages:
        return not inner.passages or (not outer.passages and _take_over(outer, inner))
    if len(inner.passages) != len(outer.passages):
        return False
    same = all(
        (a.text is None or b.text is None or a.text == b.text)
        and (a.id is None or b.id is None or a.id == b.id)
        for a, b in zip(outer.passages, inner.passages)
    )
    return same and _take_over(outer, inner)


def _take_over(outer: Retrieved, inner: ToolSpan) -> bool:
    merged = complete(outer.passages, inner.passages) or []
    outer.passages = outer.span.passages = merged
    return True


def _query_above(span: ToolSpan, by_id: dict[bytes, ToolSpan]) -> str | None:
    return next((above.question for above in _parents(span, by_id) if above.question), None)


def _documents_follow(span: ToolSpan, spans: list[ToolSpan]) -> bool:
    """Return the documents in the input of the parent's next step, if the retriever's span has none."""
    following = (
        s for s in spans if s.parent == span.parent and s.start_ns >= span.start_ns and s.documents_in
    )
    step = next(following, None)
    if step is not None:
        span.passages = step.documents_in
    return step is not None


def _promote(spans: list[ToolSpan]) -> None:
    """If the tool calls no span a retriever, make retrievers of spans with such a name and output."""
    for span in spans:
        alone = span.documents_out and not span.answer  # a chain returns its documents beside an answer
        if span.kind == "other" and alone and span.question and _RETRIEVES(span.name):
            span.kind, span.query, span.passages = "retriever", span.question, span.documents_out


def _from_documents(result: Trace, spans: list[ToolSpan], by_id: dict[bytes, ToolSpan]) -> None:
    """If no span is a retriever's, make a retrieval of the first documents in a step's input or output."""
    steps = [span for span in spans if span.kind != "reranker"]
    reader = next((span for span in steps if span.documents_in), None)
    span = reader or next((span for span in steps if span.documents_out), None)
    if span is None:
        return
    query = _query_above(span, by_id) or span.question or result.question
    if query is None:
        result.counts["retrievals without a query"] += 1
        return
    siblings = [s for s in spans if s.parent == span.parent and s.start_ns < span.start_ns]
    named = siblings[-1].name if siblings and span.parent is not None else "retriever"
    documents = span.documents_in or span.documents_out or []
    stand_in = ToolSpan(
        span.tool,
        span.trace,
        _stand_in_key(span),
        span.parent,
        named if span.documents_in else "retriever",
        "retriever",
        span.start_ns,
        span.start_ns,
        query=query,
        passages=documents,
        app=span.app,
    )
    result.retrievals = [Retrieved(stand_in, None, query, documents)]
    way = "the step after" if span.documents_in else "the output of a step"
    result.counts[f"retrievals read from {way}"] += 1


def _stand_in_key(step: ToolSpan) -> bytes:
    return other_key(step.span.hex(), "documents")


def _fill_turn(
    result: Trace, spans: list[ToolSpan], by_id: dict[bytes, ToolSpan], facts: list[TraceFacts]
) -> None:
    """Set the question, answer, session etc. from the trace's own facts, else the root, else any span."""
    roots = [span for span in spans if by_id.get(span.parent or b"") is None]
    steps = [span for span in roots if span.kind not in _RANKED and not span.passages]
    root = _root_of(steps)
    order: list[TraceFacts | ToolSpan] = [*facts, *([root] if root is not None else []), *roots, *spans]
    models = [span for span in spans if span.kind == "llm"]
    for name in ("session", "user", "app", "version"):
        value = next((v for record in order if (v := getattr(record, name))), None)
        if value:
            setattr(result, name, value)
    head: list[TraceFacts | ToolSpan] = [*facts, *([root] if root is not None else [])]
    result.question = _fullest([record.question for record in head if record.question])
    answers = [record.answer for record in head if record.answer]
    result.answer = _fullest(answers)
    answered = next((span.answer for span in reversed(models) if span.answer), None)
    if answered is not None and (result.answer is None or (not facts and _is_forest(steps))):
        result.answer = answered
    if result.question is None and result.retrievals:
        result.question = next((r.query for r in result.retrievals if r.outer is None), None)
    result.prompts = [span.prompt for span in models if span.prompt]
    result.root = root.span if root is not None else None
    result.error = root.error if root is not None else None
    starts = [record.start_ns for record in order if record.start_ns]
    result.start_ns = min(starts, default=0)
    result.end_ns = max((record.end_ns for record in order), default=0)
    result.has_turn = bool(result.answer is not None or facts or steps or models)


def _root_of(steps: list[ToolSpan]) -> ToolSpan | None:
    """Return the root step of the trace; of several, the one with an answer that ran longest."""
    return max(steps, key=lambda span: (bool(span.answer), span.end_ns - span.start_ns), default=None)


def _is_forest(steps: list[ToolSpan]) -> bool:
    """Return whether several steps have no parent, so that the root itself is not in the file."""
    return len(steps) > 1 and sum(span.parent is None for span in steps) != 1


def _fullest(texts: list[str]) -> str | None:
    """Return the first text, or the complete text of which it is only a preview."""
    if not texts:
        return None
    head = texts[0].removesuffix("...").removesuffix("…")
    if head == texts[0]:
        return texts[0]
    return next((text for text in texts[1:] if len(text) > len(head) and text.startswith(head)), texts[0])
