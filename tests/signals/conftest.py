"""A configured runtime over a database of its own, and the signals that end up in it."""

from __future__ import annotations

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

    def signals(self, view: str = "signals") -> list[dict[str, Any]]:
        """The signals of a view, oldest first."""
        return self.rows(f"SELECT * FROM {view} ORDER BY received_ns, signal_id")


@pytest.fixture
def store(tmp_path):
    """A configured ragwheel that merges when asked to."""
    guard.reset()
    ragwheel.configure(tmp_path / "traces.db", merge_interval_s=60)
    return Store(tmp_path / "traces.db")
