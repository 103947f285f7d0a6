"""A small store with one citation and many chunks that nobody judged."""

from __future__ import annotations

import pytest

from ragwheel.testing import TraceStore


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "traces.db") as made:
        made.ask("how do I reset it?", ["reset", "length", "billing"], cited=[1], prompted=[1, 2, 3])
        made.ask("what does it cost?", ["billing", "reset"], cited=[1], prompted=[1, 2])
        yield made


@pytest.fixture
def judgments(store):
    """The rows of the public view, in order."""

    def rows(columns="query, source, chunk_id, grade, judge"):
        from contextlib import closing

        from ragwheel.store import open_store

        with closing(open_store(store.path)) as connection:
            return connection.execute(f"SELECT {columns} FROM judgments ORDER BY judgment_id").fetchall()

    return rows
