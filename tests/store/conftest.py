"""A journal and the records to write into it, without a runtime around them."""

import itertools
import sqlite3

import pytest

from ragwheel.guard import guard
from ragwheel.journal import files
from ragwheel.journal.records import RetrievalRecord, SignalRecord, TurnRecord
from ragwheel.journal.writer import Journal


class Writer:
    """Writes plausible records; :meth:`leave` stands for a kill."""

    def __init__(self, db):
        self.db = db
        self.numbers = itertools.count(1)
        self.begin()

    def begin(self):
        self.journal = Journal(
            self.db,
            app="shop",
            version="1",
            power=False,
            clean=lambda text: (text, ()),
            on_write=lambda: None,
        )

    def span(self):
        return next(self.numbers).to_bytes(8, "big")

    def retrieval(self, chunks, *, source="kb", metadata=None, **fields):
        """Write a retrieval of ``{id: text}``; the span id."""
        given = {
            "span_id": self.span(),
            "trace_id": bytes(16),
            "parent_id": None,
            "turn_id": None,
            "outer_id": None,
            "kind": 0,
            "source": source,
            "name": source,
            "version": "",
            "app": "shop",
            "query": "q",
            "session_id": None,
            "user_id": None,
            "start_ns": 1,
            "duration_ns": 1,
            "top_k": None,
            "capture_k": 40,
            "n_returned": len(chunks),
            "scores": None,
            "metadata": metadata,
            "in_ranks": None,
            "error": None,
            "flags": (),
        }
        record = RetrievalRecord(**{**given, **fields})
        assert self.journal.retrieval(record, list(chunks), list(chunks.values()))
        return record.span_id.hex()

    def turn(self, answer="yes", *, span_id=None, revision=1, **fields):
        given = {
            "span_id": span_id or self.span(),
            "trace_id": bytes(16),
            "parent_id": None,
            "revision": revision,
            "app": "shop",
            "query": "q",
            "answer": answer,
            "session_id": None,
            "user_id": None,
            "start_ns": 1,
            "duration_ns": 1,
            "prompted": None,
            "shown": None,
            "citations": None,
            "error": None,
            "flags": (),
        }
        record = TurnRecord(**{**given, **fields})
        assert self.journal.turn(record)
        return record.span_id.hex()

    def signal(self, target="0" * 16, **fields):
        given = {
            "span_id": self.span(),
            "trace_id": bytes(16),
            "event_id": None,
            "kind": "click",
            "target": 0,
            "target_id": bytes.fromhex(target),
            "chunk": None,
            "rank": 1,
            "value": None,
            "query": None,
            "other": None,
            "subject": None,
            "at_ns": 1,
            "received_ns": 1,
            "flags": (),
        }
        record = SignalRecord(**{**given, **fields})
        assert self.journal.signal(record)
        return record.span_id.hex()

    def leave(self):
        """Let go of the segment without a word, as a kill does; the path of the old one."""
        segment = self.journal.segment
        files.release_segment(segment.fd)
        self.begin()
        return segment.path


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


@pytest.fixture
def write(db):
    yield (writer := Writer(db))
    writer.journal.close()
    guard.reset()


@pytest.fixture
def rows(db):
    """Rows of a query, on a connection of its own."""

    def ask(sql, *values):
        connection = sqlite3.connect(db)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    return ask
