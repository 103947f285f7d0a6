"""Databases to import into, and the real exports where they are at hand."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ragwheel.importing import ImportOptions, import_traces


@pytest.fixture
def exports():
    """The folder with real exports of the tools."""
    root = os.environ.get("RAGWHEEL_TEST_DATA")
    if not root or not Path(root, "exports").is_dir():
        pytest.skip("RAGWHEEL_TEST_DATA names no folder with exports/ of other tools")
    return Path(root, "exports")


class Imported:
    """A database and what the public views show of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *files, **options):
        return import_traces(self.path, files, ImportOptions(**options))

    def rows(self, sql, *values):
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql, values).fetchall()

    def ranked(self):
        """{question: [(rank, chunk id, text, score)]} of every outermost retrieval."""
        table = {}
        sql = """SELECT r.query, i.rank, i.chunk_id, c.text, i.score FROM impressions i
                   JOIN retrievals r USING (retrieval_id) JOIN chunks c USING (chunk_version)
                  WHERE r.outer_id IS NULL ORDER BY r.query, i.rank"""
        for query, *row in self.rows(sql):
            table.setdefault(query, []).append(tuple(row))
        return table


@pytest.fixture
def imported(tmp_path):
    return Imported(tmp_path / "traces.db")


@pytest.fixture
def write(tmp_path):
    """Write records as JSON lines (or any text) to a file."""

    def to(name, records):
        path = tmp_path / name
        text = records if isinstance(records, str) else "".join(json.dumps(r) + "\n" for r in records)
        path.write_text(text, encoding="utf-8")
        return path

    return to


T0 = 1_795_000_000_000_000_000


def openinference(
    n=1, *, trace="aa", question="How do I reset it?", answer="Settings [1].", chunks=None, **root
):
    """A trace of two OpenInference spans as Phoenix's REST answers have them."""
    trace_id = (trace * 32)[:32]
    chunks = chunks or [
        {"id": "reset", "content": "Open Settings, then Security."},
        {"id": "sso", "content": "SAML."},
    ]
    attributes = {"input.value": question}
    for position, chunk in enumerate(chunks):
        for key, value in chunk.items():
            attributes[f"retrieval.documents.{position}.document.{key}"] = value
    common = {"start_time": "2026-11-28T09:00:00+00:00", "end_time": "2026-11-28T09:00:01+00:00"}
    return [
        {
            "name": "ask", "span_kind": "CHAIN", "parent_id": None, **common,
            "context": {"trace_id": trace_id, "span_id": f"{trace_id[:14]}{n:02x}"},
            "attributes": {"input.value": question, "output.value": answer, "session.id": "s1",
                           "user.id": "u1", **root},
        },
        {
            "name": "kb", "span_kind": "RETRIEVER", "parent_id": f"{trace_id[:14]}{n:02x}", **common,
            "context": {"trace_id": trace_id, "span_id": f"{trace_id[:14]}{n + 128:02x}"},
            "attributes": attributes,
        },
    ]  # fmt: skip


@pytest.fixture
def phoenix_trace():
    return openinference
