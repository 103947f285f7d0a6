"""A configured runtime over a database of its own, and what ends up in the store."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ragwheel
from ragwheel.guard import guard
from ragwheel.store import open_store


class Store:
    """What was recorded, read back through the public views."""

    def __init__(self, db: Any) -> None:
        self.db = db

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        assert ragwheel.flush(30)
        connection = open_store(self.db)
        try:
            cursor = connection.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor]
        finally:
            connection.close()

    def retrievals(self) -> list[dict[str, Any]]:
        """Retrievals, oldest first, each with its `ids`, `texts`, `exposures` and `flags` as lists."""
        found = self.rows("SELECT * FROM retrievals ORDER BY start_ns, rowid")
        for row in found:
            ranked = self.rows(
                "SELECT i.chunk_id, c.text, i.exposure, i.score"
                " FROM impressions i JOIN chunks c USING (chunk_version) "
                "WHERE i.retrieval_id = ? ORDER BY i.rank",
                row["retrieval_id"],
            )
            row["ids"] = [each["chunk_id"] for each in ranked]
            row["texts"] = [each["text"] for each in ranked]
            row["scores"] = [each["score"] for each in ranked]
            row["exposures"] = [each["exposure"] for each in ranked]
            row["flags"] = json.loads(row["flags"] or "[]")
        return found

    def retrieval(self) -> dict[str, Any]:
        """The only retrieval."""
        (found,) = self.retrievals()
        return found

    def turn(self) -> dict[str, Any]:
        """The only turn."""
        (found,) = self.rows("SELECT * FROM turns")
        found["flags"] = json.loads(found["flags"] or "[]")
        return found


@pytest.fixture
def store(tmp_path):
    """A configured ragwheel that merges when asked to."""
    guard.reset()
    ragwheel.configure(tmp_path / "traces.db", merge_interval_s=60)
    return Store(tmp_path / "traces.db")
