"""Records from ragwheel's spans: the inverse of :mod:`ragwheel.telemetry`.

A span does not carry everything: the chunks' metadata is missing, and so are the prompted and shown chunks of
a turn if the sender leaves those attributes out. Ids stay the same, so a handle that the sending service gave
out names the same turn here.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from ragwheel import handles
from ragwheel import semconv as sc
from ragwheel.collector.otlp import Span
from ragwheel.host import safe
from ragwheel.journal.records import RetrievalRecord, SignalRecord, TurnRecord
from ragwheel.kinds import kinds

__all__ = ["NotOurs", "Texts", "read_retrieval", "read_signal", "read_turn"]

_TARGETS: Final = {"retrieval": handles.RETRIEVAL, "turn": handles.TURN}


class NotOurs(ValueError):
    """A span is not a valid span of ragwheel; the message says why."""


class Texts:
    """Typed access to the attributes of a span."""

    def __init__(self, span: Span, max_chars: int) -> None:
        self._found = span.attributes
        self._max_chars = max_chars
        self.flags: tuple[str, ...] = ()

    def text(self, *names: str) -> str | None:
        """Return the first of these attributes that is present, made storable."""
        for name in names:
            attribute = self._found.get(name)
            if isinstance(attribute, str):
                return self.clean(attribute)
        return None

    def clean(self, text: str) -> str:
        """Return a storable text, and flag it if it had to be changed."""
        cleaned, flags = safe.text(text, self._max_chars)
        self.flags = tuple(dict.fromkeys(self.flags + flags))
        return cleaned

    def whole(self, name: str) -> int | None:
        """Return an attribute that is an integer, else None."""
        attribute = self._found.get(name)
        return attribute if type(attribute) is int else None

    def number(self, name: str) -> float | None:
        """Return an attribute that is a finite number, else None."""
        attribute = self._found.get(name)
        if isinstance(attribute, bool) or not isinstance(attribute, (int, float)):
            return None
        return float(attribute) if math.isfinite(attribute) else None

    def span_id(self, name: str) -> bytes | None:
        """Return an attribute that is a span id in hex, else None."""
        attribute = self._found.get(name)
        try:
            raw = bytes.fromhex(attribute) if isinstance(attribute, str) else b""
        except ValueError:
            return None
        return raw if len(raw) == 8 else None

    def json(self, name: str) -> Any:
        """Return the value of a JSON attribute, or None if it is missing or is not JSON."""
        attribute = self._found.get(name)
        try:
            return msgspec.json.decode(attribute) if isinstance(attribute, str) else None
        except (msgspec.MsgspecError, RecursionError):
            return None

    def all_flags(self) -> tuple[str, ...]:
        """The sender's flags, and those of the changes that were made here."""
        sent = self._found.get(sc.FLAGS)
        words = [word for word in sent if isinstance(word, str)][:20] if isinstance(sent, list) else []
        return tuple(dict.fromkeys([safe.text(word, 100)[0] for word in words] + list(self.flags)))


def read_retrieval(span: Span, max_chars: int) -> tuple[RetrievalRecord, list[str], list[str]]:
    """Read a ``retrieval`` or ``rerank`` span; return the record, the chunks' ids and their texts.

    Raises:
        NotOurs: the span lacks the source, the query or the documents with their content.
    """
    read = Texts(span, max_chars)
    kind = {"RETRIEVER": 0, "RERANKER": 1}.get(str(span.attributes.get(sc.KIND)))
    source, query = read.text(sc.DATA_SOURCE_ID), read.text(sc.QUERY, sc.INPUT_VALUE)
    error = read.text(sc.ERROR_TYPE)
    documents = read.json(sc.DOCUMENTS)
    if kind is None or source is None or not isinstance(documents, list):
        raise NotOurs("not a span of ragwheel")
    if query is None or not all(isinstance(d, dict) and isinstance(d.get("content"), str) for d in documents):
        raise NotOurs("no content: configure the sender with export_content=True")
    ids = [read.clean(str(document.get("id", ""))) for document in documents]
    texts = [read.clean(document["content"]) for document in documents]
    scores: list[float | None] = [safe.number(document.get("score")) for document in documents]
    n_returned = read.whole(sc.N_RETURNED)
    ranks = span.attributes.get(sc.IN_RANKS)
    record = RetrievalRecord(
        span.span_id, span.trace_id, span.parent_id, read.span_id(sc.TURN_ID), read.span_id(sc.OUTER_ID),
        kind, source, read.text(sc.RETRIEVER_NAME) or source, read.text(sc.RETRIEVER_VERSION) or "",
        span.service, query, read.text(sc.SESSION_ID, sc.CONVERSATION_ID), read.text(sc.USER_ID),
        span.start_ns, max(0, span.end_ns - span.start_ns), read.whole(sc.TOP_K),
        read.whole(sc.CAPTURE_K) or len(ids),
        len(ids) if n_returned is None else max(0, n_returned),
        None if all(score is None for score in scores) else scores, None,
        [r or None if type(r) is int else None for r in ranks] if isinstance(ranks, list) else None,
        error, read.all_flags(),
    )  # fmt: skip
    return record, ids, texts


def read_turn(span: Span, max_chars: int) -> TurnRecord:
    """Read a ``turn`` span. A turn that is exported again with more in it has a higher revision.

    Raises:
        NotOurs: it is another kind of span.
    """
    read = Texts(span, max_chars)
    name, _, app = span.name.partition(" ")
    if name != "turn" or span.attributes.get(sc.KIND) != "CHAIN":
        raise NotOurs("not a span of ragwheel")
    duration_ns = max(0, span.end_ns - span.start_ns)
    citations = read.json(sc.CITATIONS)
    reasoning = read.text(sc.TURN_REASONING)  # before `all_flags`, which says what was changed
    fields = ("marker", "retrieval", "rank", "source", "chunk", "start", "end", "text", "method")
    return TurnRecord(
        span.span_id, span.trace_id, span.parent_id, read.whole(sc.TURN_REVISION) or 1 + duration_ns // 1000,
        span.service or app, read.text(sc.INPUT_VALUE), read.text(sc.OUTPUT_VALUE),
        read.text(sc.SESSION_ID, sc.CONVERSATION_ID), read.text(sc.USER_ID), span.start_ns, duration_ns,
        _places(read.json(sc.TURN_PROMPTED)), _places(read.json(sc.TURN_SHOWN)),
        [{f: c.get(f) for f in fields} for c in citations if isinstance(c, dict)]
        if isinstance(citations, list) else None,
        read.text(sc.ERROR_TYPE), read.all_flags(), reasoning,
    )  # fmt: skip


def read_signal(span: Span, max_chars: int, now_ns: int) -> SignalRecord:
    """Read a ``signal`` span. Without ``ragwheel.signal.target``, its kind says whether it is about a turn.

    Raises:
        NotOurs: it is another kind of span, its kind of signal is unknown, or it has no link.
    """
    read = Texts(span, max_chars)
    spec = kinds().get(str(span.attributes.get(sc.SIGNAL_KIND)))
    if spec is None or not span.links:
        raise NotOurs("not a span of ragwheel" if spec is None else "a signal without a link")
    value = read.number(sc.SIGNAL_VALUE)
    if not spec.accepts(value):
        raise NotOurs("a signal whose value is out of range")
    about_turn = handles.TURN if spec.about == "turn" else handles.RETRIEVAL
    trace_id, target_id = span.links[0]
    comment, reason = read.text(sc.SIGNAL_COMMENT), read.text(sc.SIGNAL_REASON)  # before `all_flags`
    return SignalRecord(
        span.span_id, trace_id, read.text(sc.EVENT_ID), spec.name,
        _TARGETS.get(str(span.attributes.get(sc.SIGNAL_TARGET)), about_turn), target_id,
        read.text(sc.SIGNAL_CHUNK), read.whole(sc.SIGNAL_RANK), value, read.text(sc.QUERY),
        read.text(sc.OTHER), read.text(sc.SUBJECT), span.start_ns, now_ns, read.all_flags(),
        comment, reason,
    )  # fmt: skip


def _places(documents: Any) -> list[tuple[str, int]] | None:
    if not isinstance(documents, list):
        return None
    return [
        (document[0], document[1])
        for document in documents
        if isinstance(document, list)
        and len(document) == 2
        and isinstance(document[0], str)
        and type(document[1]) is int
    ]
