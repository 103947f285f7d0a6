"""SQLite databases in which tools keep their traces, opened read-only."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import ImportingError

__all__ = ["TABLE", "read_sqlite"]

TABLE: Final = "@table"
"""The key under which a row carries the name of its table: ``phoenix.spans``, ``mlflow.spans``, …"""

#: The queries for each tool's database, in this order; those for missing tables are skipped.
_QUERIES: Final = {
    "phoenix.spans": (
        {"spans", "traces", "projects"},
        (
            "SELECT s.*, t.trace_id, p.name AS project FROM spans s JOIN traces t ON t.id = s.trace_rowid"
            " JOIN projects p ON p.id = t.project_rowid ORDER BY s.trace_rowid, s.id"
        ),
    ),
    "phoenix.span_annotations": (
        {"span_annotations", "spans", "traces"},
        (
            "SELECT a.*, s.span_id, t.trace_id FROM span_annotations a JOIN spans s ON s.id = a.span_rowid"
            " JOIN traces t ON t.id = s.trace_rowid ORDER BY a.id"
        ),
    ),
    "phoenix.document_annotations": (
        {"document_annotations", "spans", "traces"},
        (
            "SELECT a.*, s.span_id, t.trace_id FROM document_annotations a"
            " JOIN spans s ON s.id = a.span_rowid"
            " JOIN traces t ON t.id = s.trace_rowid ORDER BY a.id"
        ),
    ),
    "phoenix.trace_annotations": (
        {"trace_annotations", "traces"},
        (
            "SELECT a.*, t.trace_id FROM trace_annotations a JOIN traces t ON t.id = a.trace_rowid"
            " ORDER BY a.id"
        ),
    ),
    "mlflow.traces": ({"trace_info", "spans"}, "SELECT * FROM trace_info ORDER BY timestamp_ms, request_id"),
    "mlflow.metadata": (
        {"trace_request_metadata", "spans"},
        (
            "SELECT request_id, json_group_object(key, value) AS trace_metadata FROM trace_request_metadata"
            " GROUP BY request_id ORDER BY request_id"
        ),
    ),
    "mlflow.spans": ({"spans", "trace_info"}, "SELECT * FROM spans ORDER BY trace_id, start_time_unix_nano"),
    "mlflow.assessments": (
        {"assessments", "trace_info"},
        ("SELECT * FROM assessments ORDER BY trace_id, assessment_id"),
    ),
    "trulens.events": ({"events"}, "SELECT * FROM {events} ORDER BY start_timestamp, event_id"),
    "trulens.records": ({"records"}, "SELECT * FROM {records} ORDER BY ts, record_id"),
    "trulens.feedbacks": ({"feedbacks"}, "SELECT * FROM {feedbacks} ORDER BY feedback_result_id"),
}


def read_sqlite(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a tool's SQLite file, each with the name of its table.

    Raises:
        ImportingError: the file is damaged or locked, or has none of the known tables.
    """
    try:
        with closing(_opened(path)) as connection:
            tables = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            queries = dict(_known_queries(tables))
            if not queries:
                raise ImportingError(
                    f"{path} is a SQLite database of no tool that is known. "
                    f"Looked for the tables of Phoenix (spans, traces, projects), MLflow (trace_info, spans) "
                    f"and TruLens (trulens_events); "
                    f"saw: {', '.join(sorted(tables)[:20]) or 'no table'}."
                )
            connection.row_factory = sqlite3.Row
            empty = True
            for name, query in queries.items():
                for row in connection.execute(query):
                    empty = False
                    yield {TABLE: name, **{key: row[key] for key in row.keys() if row[key] is not None}}  # noqa: SIM118
            if empty:
                raise ImportingError(
                    f"{path} has the tables of a tool that is known ({', '.join(queries)}), and no row in "
                    f"them. While the tool runs, its latest rows are in {path.name}-wal: copy that file "
                    f"with it, or stop the tool before you copy."
                )
    except sqlite3.Error as exc:
        raise ImportingError(
            f"{path} cannot be read as a SQLite database: {exc}. Copy the file while the tool is "
            f"not running, and import the copy."
        ) from exc


def _known_queries(tables: set[str]) -> Iterator[tuple[str, str]]:
    for name, (needed, query) in _QUERIES.items():
        if name.startswith("trulens."):
            (table,) = needed
            actual = next(
                (t for t in sorted(tables) if t in {f"trulens_{table}", table} or t.endswith(f"_{table}")),
                None,
            )
            if actual is not None and any(t.startswith("trulens") for t in tables):
                quoted = '"' + actual.replace('"', '""') + '"'
                yield name, query.replace("{" + table + "}", quoted)
        elif needed <= tables:
            yield name, query


def _opened(path: Path) -> sqlite3.Connection:
    """Return a read-only connection; a file in a folder without write permission is opened as immutable."""
    address = path.absolute().as_uri()
    log = path.with_name(path.name + "-wal")
    at_rest = not log.exists() or log.stat().st_size == 0
    mode = "mode=ro" if os.access(path.parent, os.W_OK) or not at_rest else "mode=ro&immutable=1"
    return sqlite3.connect(f"{address}?{mode}", uri=True, timeout=5.0)
